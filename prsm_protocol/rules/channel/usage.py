"""Metered use as lines, and the tree whose root a voucher carries.

A leaf is keccak(keccak(abi.encode(channel, sequence, index, listing, unit, quantity, amount))) and pairs are sorted
before they are hashed, so OpenZeppelin's `MerkleProof` checks a line on chain. Hashing a leaf twice keeps a node of
the tree from passing for a leaf; sequence and index keep a line from counting in two vouchers or twice in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from prsm_protocol.errors import UsageError
from prsm_protocol.rules.eip712 import keccak, word
from prsm_protocol.types import Wei

NOTHING_USED = bytes(32)
"""The root of no lines."""


class UsageLineUnknown(UsageError):
    text = "the batch has {lines} usage lines, there is no line {index}"


class Unit(IntEnum):
    """What was counted."""

    ROWS = 0
    INPUT_TOKENS = 1
    OUTPUT_TOKENS = 2
    BYTES = 3
    SECONDS = 4


@dataclass(frozen=True, slots=True)
class UsageLine:
    """So much of one listing was used, for so much. `listing` is the SHA-256 digest of the listing's block."""

    listing: bytes
    unit: Unit
    quantity: int
    amount: Wei

    def leaf(self, channel: bytes, sequence: int, index: int) -> bytes:
        encoded = (
            word("bytes32", channel, "channel")
            + word("uint64", sequence, "sequence")
            + word("uint32", index, "index")
            + word("bytes32", self.listing, "listing")
            + word("uint8", int(self.unit), "unit")
            + word("uint64", self.quantity, "quantity")
            + word("uint96", self.amount, "amount")
        )
        return keccak(keccak(encoded))


def total(lines: Sequence[UsageLine]) -> Wei:
    return Wei(sum(each.amount for each in lines))


def usage_root(channel: bytes, sequence: int, lines: Sequence[UsageLine]) -> bytes:
    """The root that voucher `sequence` of `channel` carries for these lines."""
    if not lines:
        return NOTHING_USED
    return _levels(channel, sequence, lines)[-1][0]


def usage_proof(channel: bytes, sequence: int, lines: Sequence[UsageLine], index: int) -> list[bytes]:
    """The siblings from line `index` up to the root."""
    if not 0 <= index < len(lines):
        raise UsageLineUnknown(lines=len(lines), index=index)
    proof: list[bytes] = []
    for level in _levels(channel, sequence, lines)[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        index >>= 1
    return proof


def verify_usage(root: bytes, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """The loop of OpenZeppelin's `MerkleProof.verify`."""
    for sibling in proof:
        leaf = _pair(leaf, sibling)
    return leaf == root


def _levels(channel: bytes, sequence: int, lines: Sequence[UsageLine]) -> list[list[bytes]]:
    """The tree from leaves to root; a lone last node is carried up."""
    levels = [[each.leaf(channel, sequence, index) for index, each in enumerate(lines)]]
    while len(levels[-1]) > 1:
        level = levels[-1]
        pairs = [_pair(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        levels.append(pairs + level[len(level) & ~1 :])
    return levels


def _pair(left: bytes, right: bytes) -> bytes:
    return keccak(min(left, right) + max(left, right))
