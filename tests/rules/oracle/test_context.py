"""A context changes with each of its five parts, and its limbs are its bits."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from prsm_protocol.rules.eip712 import FieldInvalid
from prsm_protocol.rules.oracle.context import LIMB_BITS, LIMBS, context, limbs, request

HUB, OPERATOR = "0x" + "11" * 20, "0x" + "22" * 20
GIVEN = (31337, HUB, b"\x03" * 32, b"\x04" * 32, OPERATOR)


def test_context_is_what_the_contracts_hash():
    typehash = keccak(b"Context(uint256 chainId,address hub,bytes32 request,bytes32 circuitId,address operator)")
    packed = encode(["bytes32", "uint256", "address", "bytes32", "bytes32", "address"], [typehash, *GIVEN])
    assert context(*GIVEN) == keccak(packed)


@pytest.mark.parametrize(
    "changed",
    [
        (1, *GIVEN[1:]),
        (GIVEN[0], OPERATOR, *GIVEN[2:]),
        (*GIVEN[:2], b"\x05" * 32, *GIVEN[3:]),
        (*GIVEN[:3], b"\x05" * 32, OPERATOR),
        (*GIVEN[:4], HUB),
    ],
    ids=["chain", "hub", "request", "circuit", "operator"],
)
def test_context_differs_when_one_part_does(changed: tuple[int, str, bytes, bytes, str]):
    assert context(*changed) != context(*GIVEN)


def test_limbs_hold_the_whole_context_least_significant_first():
    word = bytes(range(32))
    parts = limbs(word)
    assert len(parts) == LIMBS
    assert all(0 <= part < 1 << LIMB_BITS for part in parts)
    assert sum(part << (LIMB_BITS * at) for at, part in enumerate(parts)) == int.from_bytes(word, "big")


def test_request_is_keccak_of_job_and_salt():
    assert request(b"\x01" * 32, 7) == keccak(encode(["bytes32", "uint256"], [b"\x01" * 32, 7]))


def test_request_refuses_a_salt_beyond_a_word():
    with pytest.raises(FieldInvalid):
        request(b"\x01" * 32, 1 << 256)
