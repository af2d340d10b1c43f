"""Stardust bytes: blocks, tagged data, transactions of basic outputs, milestones.

Knows the layouts and nothing else: no network, no store, no clock. Decoding is strict, so that a block has exactly
one encoding here: what cannot be encoded back to the same bytes is refused. Little endian; every hash is
BLAKE2b-256.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from prsm_protocol.errors import LedgerError

T = TypeVar("T")

PROTOCOL_VERSION = 2
MAX_BLOCK_BYTES = 32_768
MAX_PARENTS = 8
MAX_TAG_BYTES = 64
MAX_INPUTS = MAX_OUTPUTS = 128
ZERO_ID = bytes(32)  # the genesis block and the milestone before the first

TAGGED_DATA, TRANSACTION, MILESTONE = 5, 6, 7
_ESSENCE_REGULAR, _OUTPUT_BASIC, _ED25519 = 1, 3, 0
_UNLOCK_SIGNATURE, _UNLOCK_REFERENCE = 0, 1


class BlockMalformed(LedgerError):
    text = "block breaks a rule at byte {offset}: {rule}; it was damaged, or made by something that is not Stardust"


class BlockUnsupported(LedgerError):
    text = "block holds {kind}, which is not read here; only tagged data, basic transactions and milestones are"


def blake2b(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


# ── what blocks hold ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TaggedData:
    tag: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Input:
    transaction: bytes
    index: int


@dataclass(frozen=True, slots=True)
class BasicOutput:
    """An amount of the ledger's own coin that one Ed25519 key may spend."""

    amount: int
    key_hash: bytes


@dataclass(frozen=True, slots=True)
class SignatureUnlock:
    key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ReferenceUnlock:
    reference: int


@dataclass(frozen=True, slots=True)
class Transaction:
    network: int
    inputs: tuple[Input, ...]
    commitment: bytes
    outputs: tuple[BasicOutput, ...]
    payload: TaggedData | None
    unlocks: tuple[SignatureUnlock | ReferenceUnlock, ...]

    @property
    def essence(self) -> bytes:
        out = struct.pack("<BQH", _ESSENCE_REGULAR, self.network, len(self.inputs))
        out += b"".join(struct.pack("<B32sH", 0, each.transaction, each.index) for each in self.inputs)
        out += self.commitment + struct.pack("<H", len(self.outputs))
        out += b"".join(
            struct.pack("<BQBBBB32sB", _OUTPUT_BASIC, each.amount, 0, 1, 0, _ED25519, each.key_hash, 0)
            for each in self.outputs
        )
        return out + _sized(_payload_bytes(self.payload))

    @property
    def id(self) -> bytes:
        return blake2b(_payload_bytes(self))

    @property
    def signed_message(self) -> bytes:
        return blake2b(self.essence)


@dataclass(frozen=True, slots=True)
class MilestoneSignature:
    key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Milestone:
    """The coordinator's word: these parents, hence this set of blocks in this order, at this time."""

    index: int
    timestamp: int
    previous: bytes
    parents: tuple[bytes, ...]
    inclusion_root: bytes
    applied_root: bytes
    signatures: tuple[MilestoneSignature, ...]

    @property
    def essence(self) -> bytes:
        out = struct.pack("<IIB32sB", self.index, self.timestamp, PROTOCOL_VERSION, self.previous, len(self.parents))
        return out + b"".join(self.parents) + self.inclusion_root + self.applied_root + struct.pack("<HB", 0, 0)

    @property
    def id(self) -> bytes:
        """The milestone's id, which is also the message that its keys sign."""
        return blake2b(self.essence)

    @property
    def payload(self) -> bytes:
        return _payload_bytes(self)


Payload = TaggedData | Transaction | Milestone


@dataclass(frozen=True, slots=True)
class Block:
    parents: tuple[bytes, ...]
    payload: Payload | None
    nonce: int = 0


def block_id(raw: bytes) -> bytes:
    return blake2b(raw)


# ── encoding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def encode(block: Block) -> bytes:
    """The block's bytes. Refuses what `decode` would refuse, so that nothing unreadable leaves this process."""
    raw = struct.pack("<BB", PROTOCOL_VERSION, len(block.parents) & 0xFF) + b"".join(block.parents)
    raw += _sized(_payload_bytes(block.payload)) + struct.pack("<Q", block.nonce)
    decode(raw)
    return raw


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _payload_bytes(payload: Payload | None) -> bytes:
    if payload is None:
        return b""
    if isinstance(payload, TaggedData):
        if len(payload.tag) > MAX_TAG_BYTES:
            raise BlockMalformed(offset=0, rule=f"a tag of {len(payload.tag)} bytes; {MAX_TAG_BYTES} at most")
        return struct.pack("<IB", TAGGED_DATA, len(payload.tag)) + payload.tag + _sized(payload.data)
    if isinstance(payload, Transaction):
        unlocks = b"".join(_unlock_bytes(each) for each in payload.unlocks)
        return struct.pack("<I", TRANSACTION) + payload.essence + struct.pack("<H", len(payload.unlocks)) + unlocks
    signatures = b"".join(struct.pack("<B32s64s", _ED25519, each.key, each.signature) for each in payload.signatures)
    return struct.pack("<I", MILESTONE) + payload.essence + struct.pack("<B", len(payload.signatures)) + signatures


def _unlock_bytes(unlock: SignatureUnlock | ReferenceUnlock) -> bytes:
    if isinstance(unlock, SignatureUnlock):
        return struct.pack("<BB32s64s", _UNLOCK_SIGNATURE, _ED25519, unlock.key, unlock.signature)
    return struct.pack("<BH", _UNLOCK_REFERENCE, unlock.reference)


# ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def decode(raw: bytes) -> Block:
    """The block in these bytes, all of them."""
    if len(raw) > MAX_BLOCK_BYTES:
        raise BlockMalformed(offset=MAX_BLOCK_BYTES, rule=f"{len(raw)} bytes; a block has {MAX_BLOCK_BYTES} at most")
    reader = _Reader(raw)
    version = reader.u8("protocol version")
    reader.check(version == PROTOCOL_VERSION, f"protocol version {version}, expected {PROTOCOL_VERSION}")
    parents = reader.parents("block")
    payload = reader.sized_payload()
    nonce = reader.u64("nonce")
    reader.end()
    if isinstance(payload, Milestone):
        reader.check(payload.parents == parents, "a milestone's block must have the milestone's parents")
    return Block(parents, payload, nonce)


def decode_milestone(payload: bytes) -> Milestone:
    """A milestone payload alone, as nodes hand it out."""
    reader = _Reader(payload)
    found = reader.payload(len(payload))
    reader.end()
    if not isinstance(found, Milestone):
        raise BlockUnsupported(kind="a payload that is no milestone")
    return found


class _Reader:
    """Walks through the bytes; every refusal names the offset where it stands."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def check(self, holds: bool, rule: str) -> None:
        if not holds:
            raise BlockMalformed(offset=self.at, rule=rule)

    def take(self, count: int, what: str) -> bytes:
        self.check(len(self.raw) - self.at >= count, f"{what} needs {count} bytes, {len(self.raw) - self.at} are left")
        self.at += count
        return self.raw[self.at - count : self.at]

    def u8(self, what: str) -> int:
        return self.take(1, what)[0]

    def u16(self, what: str) -> int:
        return int.from_bytes(self.take(2, what), "little")

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        return int.from_bytes(self.take(8, what), "little")

    def end(self) -> None:
        self.check(self.at == len(self.raw), f"{len(self.raw) - self.at} bytes left over")

    def many(self, count: int, limit: int, what: str, read: Callable[[], T]) -> tuple[T, ...]:
        self.check(1 <= count <= limit, f"{count} {what}, from 1 to {limit} are allowed")
        return tuple(read() for _ in range(count))

    def parents(self, of: str) -> tuple[bytes, ...]:
        parents = self.many(self.u8("count of parents"), MAX_PARENTS, "parents", lambda: self.take(32, "parent"))
        ascending = all(left < right for left, right in pairwise(parents))
        self.check(ascending, f"parents of the {of} are unsorted or repeated")
        return parents

    def sized_payload(self) -> Payload | None:
        size = self.u32("length of the payload")
        if size == 0:
            return None
        self.check(len(self.raw) - self.at >= size, f"payload of {size} bytes reaches beyond the block")
        end = self.at + size
        payload = self.payload(size)
        self.check(self.at == end, f"payload says {size} bytes and has {self.at - end + size}")
        return payload

    def payload(self, size: int) -> Payload:
        kind = self.u32("kind of the payload")
        if kind == TAGGED_DATA:
            return self.tagged_data()
        if kind == TRANSACTION:
            return self.transaction()
        if kind == MILESTONE:
            return self.milestone()
        raise BlockUnsupported(kind=f"a payload of kind {kind} ({size} bytes)")

    def tagged_data(self) -> TaggedData:
        size = self.u8("length of the tag")
        self.check(size <= MAX_TAG_BYTES, f"a tag of {size} bytes; {MAX_TAG_BYTES} at most")
        tag = self.take(size, "tag")
        return TaggedData(tag, self.take(self.u32("length of the data"), "data"))

    def transaction(self) -> Transaction:
        self.only("essence", self.u8("kind of the essence"), _ESSENCE_REGULAR)
        network = self.u64("network id")
        inputs = self.many(self.u16("count of inputs"), MAX_INPUTS, "inputs", self.input)
        commitment = self.take(32, "commitment to the inputs")
        outputs = self.many(self.u16("count of outputs"), MAX_OUTPUTS, "outputs", self.output)
        payload = self.sized_payload()
        if payload is not None and not isinstance(payload, TaggedData):
            raise BlockUnsupported(kind="a transaction with a payload that is not tagged data")
        count = self.u16("count of unlocks")
        self.check(count == len(inputs), f"{count} unlocks for {len(inputs)} inputs")
        unlocks = self.many(count, MAX_INPUTS, "unlocks", self.unlock)
        return Transaction(network, inputs, commitment, outputs, payload, unlocks)

    def only(self, what: str, kind: int, known: int) -> None:
        if kind != known:
            raise BlockUnsupported(kind=f"{what} of kind {kind}")

    def input(self) -> Input:
        self.only("an input", self.u8("kind of the input"), 0)
        return Input(self.take(32, "transaction id"), self.u16("index of the output"))

    def output(self) -> BasicOutput:
        self.only("an output", self.u8("kind of the output"), _OUTPUT_BASIC)
        amount = self.u64("amount")
        if self.u8("count of native tokens"):
            raise BlockUnsupported(kind="an output with native tokens")
        self.only("an output with conditions", self.u8("count of unlock conditions"), 1)
        self.only("an unlock condition", self.u8("kind of the condition"), 0)
        self.only("an address", self.u8("kind of the address"), _ED25519)
        key_hash = self.take(32, "hash of the key")
        if self.u8("count of features"):
            raise BlockUnsupported(kind="an output with features")
        return BasicOutput(amount, key_hash)

    def unlock(self) -> SignatureUnlock | ReferenceUnlock:
        kind = self.u8("kind of the unlock")
        if kind == _UNLOCK_REFERENCE:
            return ReferenceUnlock(self.u16("reference"))
        self.only("an unlock", kind, _UNLOCK_SIGNATURE)
        self.only("a signature", self.u8("kind of the signature"), _ED25519)
        return SignatureUnlock(self.take(32, "key"), self.take(64, "signature"))

    def milestone(self) -> Milestone:
        index, timestamp = self.u32("index"), self.u32("timestamp")
        version = self.u8("protocol version")
        self.check(version == PROTOCOL_VERSION, f"milestone of protocol version {version}")
        previous = self.take(32, "id of the previous milestone")
        parents = self.parents("milestone")
        inclusion, applied = self.take(32, "inclusion root"), self.take(32, "applied root")
        if self.u16("length of the metadata") or self.u8("count of options"):
            raise BlockUnsupported(kind="a milestone with metadata or options")
        count = self.u8("count of signatures")
        signatures = self.many(count, 255, "signatures", self.milestone_signature)
        keys = [each.key for each in signatures]
        self.check(keys == sorted(set(keys)), "signatures of the milestone are unsorted or repeated")
        return Milestone(index, timestamp, previous, parents, inclusion, applied, signatures)

    def milestone_signature(self) -> MilestoneSignature:
        self.only("a signature", self.u8("kind of the signature"), _ED25519)
        return MilestoneSignature(self.take(32, "key"), self.take(64, "signature"))
