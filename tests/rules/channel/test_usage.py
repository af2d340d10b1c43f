"""Usage lines and their tree: one known value, and every proof against tampering."""

from __future__ import annotations

import pytest
from eth_abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.rules.channel.usage import (
    NOTHING_USED,
    Unit,
    UsageLine,
    UsageLineUnknown,
    total,
    usage_proof,
    usage_root,
    verify_usage,
)
from prsm_protocol.rules.eip712 import FieldInvalid, keccak
from prsm_protocol.types import Wei

CHANNEL = b"\x01" * 32

lines = st.lists(
    st.builds(
        UsageLine,
        st.binary(min_size=32, max_size=32),
        st.sampled_from(Unit),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**96 - 1).map(Wei),
    ),
    min_size=1,
    max_size=40,
)


@given(lines, st.integers(0, 2**64 - 1))
def test_leaf_is_the_double_hash_of_the_abi_encoding(found, sequence):
    line = found[0]
    kinds = ["bytes32", "uint64", "uint32", "bytes32", "uint8", "uint64", "uint96"]
    values = [CHANNEL, sequence, 3, line.listing, int(line.unit), line.quantity, line.amount]
    assert line.leaf(CHANNEL, sequence, 3) == keccak(keccak(encode(kinds, values)))


@settings(max_examples=60, deadline=None)
@given(lines, st.data())
def test_every_line_is_proved_and_no_other_passes(found, data):
    root = usage_root(CHANNEL, 1, found)
    index = data.draw(st.integers(0, len(found) - 1))
    proof = usage_proof(CHANNEL, 1, found, index)
    leaf = found[index].leaf(CHANNEL, 1, index)
    assert verify_usage(root, leaf, proof)
    assert not verify_usage(root, found[index].leaf(CHANNEL, 2, index), proof)
    assert not verify_usage(root, found[index].leaf(CHANNEL, 1, index + 1), proof)
    assert not verify_usage(root, found[index].leaf(b"\x02" * 32, 1, index), proof)


def test_root_of_one_line_is_its_leaf_and_of_none_is_zero():
    line = UsageLine(CHANNEL, Unit.ROWS, 1, Wei(1))
    assert usage_root(CHANNEL, 1, [line]) == line.leaf(CHANNEL, 1, 0)
    assert usage_root(CHANNEL, 1, []) == NOTHING_USED == bytes(32)


def test_inner_node_is_no_leaf():
    found = [UsageLine(CHANNEL, Unit.ROWS, number, Wei(1)) for number in range(4)]
    root = usage_root(CHANNEL, 1, found)
    proof = usage_proof(CHANNEL, 1, found, 0)
    left = keccak(b"".join(sorted([found[0].leaf(CHANNEL, 1, 0), proof[0]])))
    assert verify_usage(root, left, proof[1:])  # the path's arithmetic holds …
    assert left != found[0].leaf(CHANNEL, 1, 0)  # … but no line hashes to it: leaves are hashed twice


def test_equal_lines_count_as_two():
    line = UsageLine(CHANNEL, Unit.ROWS, 1, Wei(5))
    assert usage_root(CHANNEL, 1, [line]) != usage_root(CHANNEL, 1, [line, line])
    assert total([line, line]) == 10


@pytest.mark.parametrize("index", [-1, 2])
def test_unknown_line_has_no_proof(index):
    with pytest.raises(UsageLineUnknown):
        usage_proof(CHANNEL, 1, [UsageLine(CHANNEL, Unit.ROWS, 1, Wei(1))] * 2, index)


@pytest.mark.parametrize("line", [(2**64, 0), (0, 2**96), (-1, 0)])
def test_values_beyond_their_types_are_refused(line):
    with pytest.raises(FieldInvalid):
        UsageLine(CHANNEL, Unit.ROWS, line[0], Wei(line[1])).leaf(CHANNEL, 1, 0)
