"""Records, their ids, and how the ancestors of a parent become those of its child: exactly as Provenance does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from eth_abi.abi import encode as abi_encode

from prsm_protocol.rules.eip712 import Struct, keccak, members, word

MAX_ANCESTORS = 8
MAX_PARENTS = 8
BPS = 10_000


class Kind(IntEnum):
    """What a record stands for."""

    MODEL = 0
    DATA = 1
    OTHER = 2


class AnchorKind(IntEnum):
    """What an anchored digest is the root of; a trace's subject is its jobId, a listing's its record."""

    TRACE = 0
    LISTING = 1
    COMMITMENT = 2
    AUDIT = 3
    REPORT = 4
    TANGLE = 5


@dataclass(frozen=True)
class Registration(Struct):
    """What is registered. `derivative_bps` is the share that a direct descendant must give."""

    TYPE: ClassVar[str] = "Registration(uint8 kind,bytes32 digest,address owner,uint16 royaltyBps,uint16 derivativeBps)"

    kind: int
    digest: bytes
    owner: str
    royalty_bps: int
    derivative_bps: int

    @property
    def record(self) -> bytes:
        return record_id(self.kind, self.digest)


@dataclass(frozen=True)
class Share(Struct):
    """An ancestor and its part of a record's royalty, in basis points."""

    TYPE: ClassVar[str] = "Share(bytes32 record,uint16 bps)"

    record: bytes
    bps: int


@dataclass(frozen=True)
class Parent:
    """A direct ancestor, what it is given, and its own ancestors as they were registered."""

    record: bytes
    share_bps: int
    lineage: tuple[Share, ...] = ()

    def values(self) -> tuple[object, ...]:
        """The fields as a contract call takes them."""
        return (self.record, self.share_bps, tuple(share.values() for share in self.lineage))


def record_id(kind: int, digest: bytes) -> bytes:
    """keccak of kind and SHA-256 digest: one artifact, one record."""
    return keccak(word("uint8", int(kind), "kind") + word("bytes32", digest, "digest"))


def commitment(registration: Registration, salt: bytes, caller: str) -> bytes:
    """What `commit` fixes before a registration is shown: bound to its sender, so that a copy is worthless."""
    pairs = zip(members(registration.TYPE), registration.values(), strict=True)
    body = b"".join(word(kind, value, name) for (kind, name), value in pairs)
    return keccak(body + word("bytes32", salt, "salt") + word("address", caller, "caller"))


def lineage_hash(shares: Sequence[Share]) -> bytes:
    """What Provenance keeps of a record's ancestors; zero where there are none."""
    if not shares:
        return bytes(32)
    return keccak(abi_encode(["(bytes32,uint16)[]"], [[share.values() for share in shares]]))


def flatten(parents: Sequence[Parent]) -> tuple[Share, ...]:
    """The ancestors of a record with these parents, at most eight, in the order of their first appearance.

    A parent with share s gives its own ancestor with share x the part ⌊s · x / 10,000⌋ and keeps the rest. While more
    than eight remain, the smallest that is no parent (the later on a tie) goes, each part of it back to the parent it
    came through: never to the registrant, so dummy parents gain nothing by pushing out grandparents.
    """
    shares: dict[bytes, int] = {}
    parts: dict[bytes, list[tuple[bytes, int]]] = {}
    for parent in parents:
        shares.setdefault(parent.record, 0)
        kept = parent.share_bps
        for ancestor in parent.lineage:
            part = parent.share_bps * ancestor.bps // BPS
            shares[ancestor.record] = shares.get(ancestor.record, 0) + part
            parts.setdefault(ancestor.record, []).append((parent.record, part))
            kept -= part
        shares[parent.record] += kept
    direct = {parent.record for parent in parents}
    while len(shares) > MAX_ANCESTORS:
        dropped = min(reversed([record for record in shares if record not in direct]), key=shares.__getitem__)
        del shares[dropped]
        for through, part in parts[dropped]:
            shares[through] += part
    return tuple(Share(record, bps) for record, bps in shares.items())
