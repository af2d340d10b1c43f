"""The milestone over an order of blocks that this node chose: the roots follow from the order alone."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prsm_protocol.ledger import milestones
from prsm_protocol.ledger.codec import Milestone, blake2b
from prsm_protocol.trace import merkle

NOTHING_APPLIED = blake2b(b"")  # the applied root while no block changes the ledger's coin


def confirm(
    index: int,
    timestamp: int,
    previous: bytes,
    parents: Sequence[bytes],
    order: Sequence[bytes],
    keys: Sequence[Ed25519PrivateKey],
) -> Milestone:
    """The signed milestone that references `order`."""
    root = merkle.root(order, blake2b)
    return milestones.sign_milestone(index, timestamp, previous, parents, root, NOTHING_APPLIED, keys)
