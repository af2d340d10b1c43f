"""Receipts of inclusion: what verifies, and each way in which one must not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.ledger import block_json, codec, inclusion
from prsm_protocol.ledger.codec import Block, Milestone, MilestoneSignature, TaggedData
from prsm_protocol.ledger.inclusion import (
    Inclusion,
    InclusionKeyUnknown,
    InclusionMalformed,
    InclusionNetworkMismatch,
    InclusionPathInvalid,
    InclusionSignatures,
    Trust,
    TrustedKey,
)
from prsm_protocol.ledger.milestones import public_bytes
from prsm_protocol.ledger.node.confirm import confirm

NETWORK = inclusion.network_id("private_tangle1")
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([each]) * 32) for each in (1, 2)]
TRUST = Trust(tuple(TrustedKey(public_bytes(each)) for each in KEYS), 2, NETWORK)
PREVIOUS = b"\x07" * 32


def block_of(number: int) -> bytes:
    return codec.encode(Block((bytes(32),), TaggedData(b"prsm/notice/", number.to_bytes(4, "big"))))


def receipt_of(leaf: int, leaves: int) -> Inclusion:
    raws = [block_of(each) for each in range(leaves)]
    order = [codec.block_id(each) for each in raws]
    milestone = confirm(9, 1_700_000_000, PREVIOUS, [order[-1]], order, KEYS)
    return inclusion.make(order, leaf, raws[leaf], milestone.payload, NETWORK)


def signed_anew(milestone: Milestone, keys: list[Ed25519PrivateKey]) -> Milestone:
    signatures = [
        MilestoneSignature(public_bytes(key), key.sign(milestone.id)) for key in sorted(keys, key=public_bytes)
    ]
    return dataclasses.replace(milestone, signatures=tuple(signatures))


# ── what verifies ────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70).flatmap(lambda leaves: st.tuples(st.integers(0, leaves - 1), st.just(leaves))))
def test_receipt_verifies_and_survives_both_forms(place):
    receipt = receipt_of(*place)
    included = inclusion.verify(receipt, TRUST)
    assert (included.id, included.milestone, included.at) == (codec.block_id(receipt.block), 9, 1_700_000_000)
    assert Inclusion.decode(receipt.encode()) == receipt
    read = Inclusion.from_json(json.loads(json.dumps(receipt.to_json())), NETWORK)
    assert inclusion.verify(read, TRUST) == included
    assert read.path == receipt.path


def test_json_form_is_that_of_the_inclusion_tool():
    proof = receipt_of(2, 3).to_json()["proof"]
    assert isinstance(proof, dict)
    assert set(proof) == {"l", "r"}
    assert set(proof["l"]) == {"h"}
    assert proof["r"] == {"value": "0x" + codec.block_id(block_of(2)).hex()}


def test_recorded_milestone_of_hornet_is_signed_by_its_keys():
    exchange = json.loads((Path(__file__).parents[1] / "vectors/iota_stardust_exchange.json").read_text())["exchange"]
    answer = next(each["response"] for each in exchange if "milestones" in each["path"])
    trust = Trust.of([each["publicKey"] for each in answer["signatures"]], 2, "private_tangle1")
    milestone = block_json.milestone_from_json(answer)
    inclusion.check_milestone(milestone, trust)
    # Its only block is its own parent, the block of the milestone before.
    root = milestone.inclusion_root
    assert inclusion.merkle.verify_inclusion(root, milestone.parents[0], 0, 1, [], codec.blake2b)


def test_receipt_of_a_hundred_blocks_is_short():
    receipt = receipt_of(50, 100)
    assert len(receipt.encode()) - len(receipt.block) < 700


# ── what must not ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_receipt_is_refused_when_the_block_is_another():
    receipt = dataclasses.replace(receipt_of(3, 8), block=block_of(99))
    with pytest.raises(InclusionPathInvalid):
        inclusion.verify(receipt, TRUST)


@pytest.mark.parametrize("leaf", [0, 2, 4, 7, 8])
def test_receipt_is_refused_at_another_leaf(leaf):
    with pytest.raises(InclusionPathInvalid):
        inclusion.verify(dataclasses.replace(receipt_of(3, 8), leaf=leaf), TRUST)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 31), st.integers(0, 7), st.integers(0, 2))
def test_receipt_is_refused_when_a_bit_of_the_path_changed(byte, bit, node):
    receipt = receipt_of(3, 8)
    path = [bytearray(each) for each in receipt.path]
    path[node][byte] ^= 1 << bit
    with pytest.raises(InclusionPathInvalid):
        inclusion.verify(dataclasses.replace(receipt, path=tuple(bytes(each) for each in path)), TRUST)


def test_receipt_is_refused_when_a_signature_is_wrong():
    receipt = receipt_of(0, 2)
    milestone = codec.decode_milestone(receipt.milestone)
    first, second = milestone.signatures
    broken = dataclasses.replace(first, signature=first.signature[:-1] + bytes([first.signature[-1] ^ 1]))
    forged = dataclasses.replace(milestone, signatures=(broken, second)).payload
    with pytest.raises(InclusionSignatures) as caught:
        inclusion.verify(dataclasses.replace(receipt, milestone=forged), TRUST)
    assert caught.value.values == {"milestone": 9, "valid": 1, "needed": 2}


def test_receipt_is_refused_when_the_root_was_exchanged_under_the_signatures():
    receipt, other = receipt_of(0, 2), receipt_of(0, 3)
    milestone = codec.decode_milestone(receipt.milestone)
    root = codec.decode_milestone(other.milestone).inclusion_root
    forged = dataclasses.replace(milestone, inclusion_root=root).payload
    with pytest.raises(InclusionSignatures):
        inclusion.verify(dataclasses.replace(other, milestone=forged), TRUST)


def test_receipt_is_refused_when_strangers_signed():
    receipt = receipt_of(0, 2)
    stranger = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
    forged = signed_anew(codec.decode_milestone(receipt.milestone), [KEYS[0], stranger]).payload
    with pytest.raises(InclusionKeyUnknown) as caught:
        inclusion.verify(dataclasses.replace(receipt, milestone=forged), TRUST)
    assert caught.value.values == {"key": public_bytes(stranger).hex(), "milestone": 9}


@pytest.mark.parametrize(("first", "last", "fine"), [(0, 8, False), (0, 9, True), (9, None, True), (10, None, False)])
def test_key_counts_only_for_the_milestones_it_may_sign(first, last, fine):
    trust = Trust(tuple(TrustedKey(public_bytes(each), first, last) for each in KEYS), 2, NETWORK)
    if fine:
        inclusion.verify(receipt_of(0, 2), trust)
    else:
        with pytest.raises(InclusionKeyUnknown):
            inclusion.verify(receipt_of(0, 2), trust)


def test_receipt_of_another_network_is_refused():
    with pytest.raises(InclusionNetworkMismatch):
        inclusion.verify(dataclasses.replace(receipt_of(0, 2), network=bytes(8)), TRUST)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_receipts_never_say_anything_else(data):
    # The count of leaves alone may change unnoticed: a tree of three has the same way to leaf 1 as one of four.
    receipt = receipt_of(1, 4)
    raw = bytearray(receipt.encode())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        found = inclusion.verify(Inclusion.decode(bytes(raw)), TRUST)
    except inclusion.LedgerError:
        return
    assert found == inclusion.verify(receipt, TRUST)


@pytest.mark.parametrize(
    "proof", [{}, {"l": {}, "r": {}}, {"h": "0x00"}, {"value": "0x00"}, None, {"l": {"h": 1}, "r": 2}]
)
def test_malformed_json_proofs_are_named(proof):
    value = receipt_of(0, 2).to_json() | {"proof": proof}
    with pytest.raises(InclusionMalformed):
        Inclusion.from_json(value, NETWORK)


@pytest.mark.parametrize(("threshold", "fine"), [(0, False), (1, True), (2, True), (3, False)])
def test_trust_needs_a_threshold_that_its_keys_can_reach(threshold, fine):
    keys = [public_bytes(each).hex() for each in KEYS]
    if fine:
        assert Trust.of(keys, threshold, "n").threshold == threshold
    else:
        with pytest.raises(InclusionMalformed):
            Trust.of(keys, threshold, "n")


# ── equivocation ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_signed_milestones_of_one_index_are_proof_of_fault():
    first = codec.decode_milestone(receipt_of(0, 2).milestone)
    second = codec.decode_milestone(receipt_of(0, 3).milestone)
    found = inclusion.equivocation(first, second, TRUST)
    assert found is not None
    assert (found.index, found.first, found.second) == (9, first.essence, second.essence)


def test_one_milestone_twice_and_two_indexes_prove_nothing():
    first = codec.decode_milestone(receipt_of(0, 2).milestone)
    assert inclusion.equivocation(first, first, TRUST) is None
    later = confirm(10, 1_700_000_001, first.id, [PREVIOUS], [PREVIOUS], KEYS)
    assert inclusion.equivocation(first, later, TRUST) is None


def test_forged_milestones_cannot_accuse_the_coordinator():
    first = codec.decode_milestone(receipt_of(0, 2).milestone)
    forged = dataclasses.replace(first, timestamp=first.timestamp + 1)
    with pytest.raises(InclusionSignatures):
        inclusion.equivocation(first, forged, TRUST)
