"""Ids, commitments and the flattening of lineages against Provenance."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prsm_protocol.chain import Call, Chain
from prsm_protocol.rules import eip712
from prsm_protocol.rules.registry.lineage import (
    MAX_ANCESTORS,
    Kind,
    Parent,
    Registration,
    Share,
    commitment,
    flatten,
    lineage_hash,
    record_id,
)
from prsm_protocol.testing import Accounts, Advance, Send

CAP = 5_000  # local.yaml: what all ancestors together may be given
bytes32 = st.binary(min_size=32, max_size=32)

small_ids = st.integers(1, 30).map(lambda n: bytes([n]) * 32)
lineages = st.lists(
    st.builds(Share, small_ids, st.integers(0, 600)), max_size=8, unique_by=lambda share: share.record
).map(tuple)
families = st.lists(st.builds(Parent, small_ids, st.integers(0, 1_250), lineages), max_size=8)


# ── flattening ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(families)
def test_flatten_gives_exactly_what_the_parents_were_given(parents: list[Parent]) -> None:
    shares = flatten(parents)
    assert sum(share.bps for share in shares) == sum(parent.share_bps for parent in parents)


@given(families)
def test_flatten_keeps_at_most_eight_and_every_parent(parents: list[Parent]) -> None:
    shares = flatten(parents)
    records = [share.record for share in shares]
    assert len(records) == len(set(records)) <= MAX_ANCESTORS
    assert {parent.record for parent in parents} <= set(records)


def test_flatten_drops_the_later_of_two_smallest_and_gives_it_back_to_its_parent() -> None:
    old = tuple(Share(bytes([n]) * 32, 1_000) for n in range(1, 9))
    shares = flatten([Parent(b"p" * 32, 1_000, old)])
    # Nine entries of 100 and a parent that keeps 200: the last of the equal ones goes back to the parent.
    assert shares == (Share(b"p" * 32, 300), *(Share(share.record, 100) for share in old[:7]))


def test_lineage_hash_of_nothing_is_zero() -> None:
    assert lineage_hash(()) == bytes(32)


# ── parity with the contract ─────────────────────────────────────────────────────────────────────────────────────────

FAMILY = 14
steps = st.lists(
    st.lists(st.tuples(st.integers(0, FAMILY - 1), st.integers(0, CAP // 4)), max_size=8), min_size=4, max_size=FAMILY
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, salt=bytes32)
def test_flatten_is_what_provenance_registers(
    chain: Chain, accounts: Accounts, advance: Advance, steps: list[list[tuple[int, int]]], salt: bytes
) -> None:
    """A family grows record by record, each with parents among the earlier ones; after each step both agree."""
    snapshot = chain.rpc("evm_snapshot")
    grow(chain, accounts, advance, steps, salt)
    chain.rpc("evm_revert", snapshot)


def grow(chain: Chain, accounts: Accounts, advance: Advance, steps: list[list[tuple[int, int]]], salt: bytes) -> None:
    owner = accounts.owner.address
    registrations = [
        Registration(Kind.MODEL, eip712.keccak(salt + bytes([index])), owner, 100, 0) for index in range(len(steps))
    ]
    for registration in registrations:
        submit(chain, owner, chain.provenance.commit(registration, salt, owner).data)
    advance(5)
    known: dict[bytes, tuple[Share, ...]] = {}
    for index, (registration, picks) in enumerate(zip(registrations, steps, strict=True)):
        parents, left = [], CAP
        for pick, bps in picks:
            if index and (share := min(bps, left)) >= 0:
                record = registrations[pick % index].record
                parents.append(Parent(record, share, known[record]))
                left -= share
        submit(chain, owner, chain.provenance.register(registration, parents, salt).data)
        known[registration.record] = flatten(parents)
        assert chain.provenance.ancestors_hash_of(registration.record) == lineage_hash(known[registration.record])
        found = chain.provenance.record_of(registration.record)
        assert found is not None
        assert found.ancestors == len(known[registration.record])


def submit(chain: Chain, sender: str, data: bytes) -> None:
    """Straight to anvil, which holds the development keys: hundreds of calls without a journal."""
    message = {"from": sender, "to": chain.provenance.address, "data": "0x" + data.hex(), "gas": hex(5_000_000)}
    transaction = bytes.fromhex(str(chain.rpc("eth_sendTransaction", message))[2:])
    end = time.monotonic() + 10
    while (receipt := chain.receipt(transaction)) is None:
        assert time.monotonic() < end
    if not receipt.succeeded:
        chain.read(Call(chain.provenance.address, data), sender=sender)
    assert receipt.succeeded


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(Kind), digest=bytes32)
def test_record_id_is_the_contracts(chain: Chain, kind: Kind, digest: bytes) -> None:
    assert record_id(kind, digest) == chain.provenance.record_id_of(kind, digest)


def test_commitment_opens_only_for_its_sender(chain: Chain, accounts: Accounts, send: Send, advance: Advance) -> None:
    registration = Registration(Kind.DATA, b"d" * 32, accounts.owner.address, 100, 0)
    send(accounts.owner, chain.provenance.commit(registration, b"s" * 32, accounts.owner.address))
    assert chain.provenance.committed_at(
        commitment(registration, b"s" * 32, accounts.owner.address), accounts.owner.address
    )
    advance(2)
    receipt = send(accounts.owner, chain.provenance.register(registration, [], b"s" * 32))
    event = receipt.event("RecordRegistered")
    assert event.fields["record_id"] == registration.record
    assert event.fields["registration"] == registration
