"""Hashes against eth-account, an implementation of its own; signatures against what a contract would refuse."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.chain.signer import PrivateKeySigner, development_account
from prsm_protocol.rules import eip712
from prsm_protocol.rules.market.escrow import DOMAIN, Agreement, Assignment, Decline, JobTerms
from prsm_protocol.types import Wei

ESCROW = development_account(3).address
ALICE = development_account(1)

bytes32 = st.binary(min_size=32, max_size=32)
address = st.binary(min_size=20, max_size=20).map(eip712.checksum)


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


assignments = st.builds(
    Assignment,
    job_id=bytes32,
    operator=address,
    payee=address,
    records=st.lists(bytes32, max_size=4).map(tuple),
    circuit_id=bytes32,
    input_hash=bytes32,
    spec=bytes32,
    price=uint(96).map(Wei),
    at_risk=uint(96).map(Wei),
    tier=uint(8),
    verdict_class=uint(8),
    deliver_within=uint(32),
    window=uint(32),
    started_bps=uint(16),
    quote_until=uint(40),
    salt=uint(256),
)


def by_eth_account(struct: eip712.Struct, chain_id: int) -> bytes:
    name = struct.TYPE.split("(")[0]
    members = eip712.members(struct.TYPE)
    document: dict[str, Any] = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: [{"name": field, "type": kind} for kind, field in members],
        },
        "primaryType": name,
        "domain": {"name": DOMAIN, "version": "1", "chainId": chain_id, "verifyingContract": ESCROW},
        "message": {
            field: list(value) if isinstance(value, tuple) else value
            for (_, field), value in zip(members, struct.values(), strict=True)
        },
    }
    return bytes(_hash_eip191_message(encode_typed_data(full_message=document)))


# ── hashing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(assignments, st.integers(1, 2**63))
def test_digest_is_that_of_eth_account(assignment: Assignment, chain_id: int) -> None:
    assert eip712.digest(DOMAIN, chain_id, ESCROW, assignment.struct_hash()) == by_eth_account(assignment, chain_id)


@given(bytes32, uint(96), uint(40), uint(8))
def test_digest_of_short_structs_is_that_of_eth_account(task: bytes, amount: int, until: int, code: int) -> None:
    for struct in (Agreement(task, Wei(amount), until), Decline(task, code)):
        assert eip712.digest(DOMAIN, 1, ESCROW, struct.struct_hash()) == by_eth_account(struct, 1)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint96", 2**96),
        ("uint40", -1),
        ("uint256", True),
        ("bytes32", b"short"),
        ("address", "0x12"),
        ("address", ESCROW.swapcase().replace("0X", "0x")),
        ("bool", 1),
        ("bytes32[]", b"x" * 32),
    ],
)
def test_word_is_refused_when_the_value_does_not_fit(kind: str, value: object) -> None:
    with pytest.raises(eip712.FieldInvalid):
        eip712.word(kind, value, "field")


def test_word_takes_the_largest_value_of_a_type() -> None:
    assert eip712.word("uint96", 2**96 - 1) == (2**96 - 1).to_bytes(32, "big")


def test_struct_hash_is_refused_with_a_value_missing() -> None:
    with pytest.raises(eip712.FieldCountWrong) as refused:
        eip712.struct_hash(Decline.TYPE, [b"t" * 32])
    assert refused.value.values == {"type": "Decline", "expected": 2, "given": 1}


# ── signatures ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(bytes32)
def test_recover_names_the_signer(digest: bytes) -> None:
    assert eip712.recover(digest, ALICE.sign_digest(digest)) == ALICE.address


@given(bytes32, st.binary(min_size=32, max_size=32).filter(any))
def test_signer_has_the_address_that_its_signatures_recover_to(digest: bytes, key: bytes) -> None:
    if int.from_bytes(key, "big") < 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141:
        signer = PrivateKeySigner(key)
        assert eip712.recover(digest, signer.sign_digest(digest)) == signer.address


def test_recover_is_refused_for_the_twin_with_high_s() -> None:
    digest = b"\x07" * 32
    signature = ALICE.sign_digest(digest)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = (order - int.from_bytes(signature[32:64], "big")).to_bytes(32, "big")
    twin = signature[:32] + high + bytes([55 - signature[64]])
    with pytest.raises(eip712.SignatureMalformed):
        eip712.recover(digest, twin)


@pytest.mark.parametrize("cut", [lambda s: s[:64], lambda s: s[:64] + b"\x00", lambda s: bytes(65), lambda s: b""])
def test_recover_is_refused_for_what_is_no_signature(cut: Any) -> None:
    with pytest.raises(eip712.SignatureMalformed):
        eip712.recover(b"\x07" * 32, cut(ALICE.sign_digest(b"\x07" * 32)))


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(assignments)
def test_json_round_trip_gives_the_same_struct(assignment: Assignment) -> None:
    document = assignment.to_json()
    assert Assignment.from_json(document) == assignment
    assert isinstance(document["price"], str)
    assert isinstance(document["window"], int)


def test_from_json_is_refused_when_a_name_is_missing_unknown_or_a_value_too_large() -> None:
    terms = JobTerms(ALICE.address, ALICE.address, bytes(32), 60, 1).to_json()
    for wrong in (
        {name: value for name, value in terms.items() if name != "salt"},
        terms | {"extra": 1},
        terms | {"open_for": 2**32},
        terms | {"salt": "1e3"},
        terms | {"question": "00"},
        terms | {"buyer": "0x00"},
    ):
        with pytest.raises(eip712.FieldInvalid):
            JobTerms.from_json(wrong)


def test_fields_follow_the_type_string() -> None:
    for kind in (JobTerms, Assignment, Agreement, Decline):
        names = [name for _, name in eip712.members(kind.TYPE)]
        snake = ["".join("_" + c.lower() if c.isupper() else c for c in name) for name in names]
        assert [field.name for field in fields(kind)] == snake
