"""Milestones made: signed by a coordinator's keys and put into their block. Pure: time, roots and keys come in."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from prsm_protocol.ledger.codec import Block, Milestone, MilestoneSignature, encode


def sign_milestone(
    index: int,
    timestamp: int,
    previous: bytes,
    parents: Sequence[bytes],
    inclusion_root: bytes,
    applied_root: bytes,
    keys: Sequence[Ed25519PrivateKey],
) -> Milestone:
    """The milestone with these roots, signed by every key; signatures ascend by key as the layout demands."""
    ascending = tuple(sorted(parents))
    unsigned = Milestone(index, timestamp, previous, ascending, inclusion_root, applied_root, ())
    by_key = {public_bytes(each): each for each in keys}
    signatures = tuple(MilestoneSignature(public, by_key[public].sign(unsigned.id)) for public in sorted(by_key))
    return Milestone(index, timestamp, previous, ascending, inclusion_root, applied_root, signatures)


def milestone_block(milestone: Milestone) -> bytes:
    return encode(Block(milestone.parents, milestone))


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
