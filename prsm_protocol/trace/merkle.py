"""Merkle trees after RFC 9162: leaf 0x00, node 0x01, split at the largest power of two below the size.

The hash is handed in: SHA-256 for traces, BLAKE2b-256 for the tangle's milestones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from prsm_protocol.errors import TraceError

Hash = Callable[[bytes], bytes]


class LeafUnknown(TraceError):
    text = "the tree has {size} leaves, there is no leaf {index}"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def root(leaves: Sequence[bytes], hash: Hash = sha256) -> bytes:
    """The tree's root; that of no leaves is the hash of nothing."""
    if not leaves:
        return hash(b"")
    level = [hash(b"\x00" + leaf) for leaf in leaves]
    # Pairing neighbours and carrying a lone last node up gives the same tree as splitting at powers of two.
    while len(level) > 1:
        pairs = [hash(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
    return level[0]


def inclusion(leaves: Sequence[bytes], index: int, hash: Hash = sha256) -> list[bytes]:
    """The nodes that lead from a leaf to the root, lowest first."""
    if not 0 <= index < len(leaves):
        raise LeafUnknown(size=len(leaves), index=index)
    level = [hash(b"\x00" + leaf) for leaf in leaves]
    path: list[bytes] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        pairs = [hash(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
        index >>= 1
    return path


def verify_inclusion(
    root: bytes, leaf: bytes, index: int, size: int, path: Sequence[bytes], hash: Hash = sha256
) -> bool:
    """Is `leaf` the leaf number `index` of the tree of `size` leaves with this root? (RFC 9162, 2.1.3.2)"""
    if not 0 <= index < size:
        return False
    here, last = index, size - 1
    node = hash(b"\x00" + leaf)
    for sibling in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            node = hash(b"\x01" + sibling + node)
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            node = hash(b"\x01" + node + sibling)
        here >>= 1
        last >>= 1
    return last == 0 and node == root
