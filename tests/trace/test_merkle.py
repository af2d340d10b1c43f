"""Merkle trees after RFC 9162, checked against the recursive definition and published values."""

from __future__ import annotations

import hashlib
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.trace import merkle, verify


def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def by_definition(leaves: list[bytes], hash: merkle.Hash) -> bytes:
    if not leaves:
        return hash(b"")
    if len(leaves) == 1:
        return hash(b"\x00" + leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hash(b"\x01" + by_definition(leaves[:half], hash) + by_definition(leaves[half:], hash))


leaf_lists = st.lists(st.binary(max_size=8), max_size=40)


@given(leaf_lists)
def test_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    for hash in (merkle.sha256, blake2b):
        assert merkle.root(leaves, hash) == by_definition(leaves, hash)
    assert verify.merkle_root(leaves) == merkle.root(leaves)


def test_root_is_that_of_published_trees() -> None:
    """The eight test leaves that Certificate Transparency implementations share."""
    texts = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
    leaves = [bytes.fromhex(text) for text in texts]
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.root(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert merkle.root(leaves).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(leaf_lists.filter(bool), st.data())
def test_inclusion_holds_for_its_leaf_only(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    for hash in (merkle.sha256, blake2b):
        path = merkle.inclusion(leaves, index, hash)
        holds = partial(merkle.verify_inclusion, merkle.root(leaves, hash), hash=hash)
        assert holds(leaves[index], index, len(leaves), path)
        assert not holds(leaves[index] + b"x", index, len(leaves), path)
        assert not holds(leaves[index], index, len(leaves), [*path, bytes(32)])
        assert not holds(leaves[index], len(leaves), len(leaves), path)
        if path:
            assert not holds(leaves[index], index, len(leaves), path[:-1])


def test_inclusion_of_an_unknown_leaf_is_refused() -> None:
    with pytest.raises(merkle.LeafUnknown) as refused:
        merkle.inclusion([b"a"], 1)
    assert refused.value.values == {"size": 1, "index": 1}
