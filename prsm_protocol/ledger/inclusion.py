"""Receipts of inclusion: proof, checkable offline, that a milestone contains a block at its time.

A block is a leaf of the tree whose root stands in a milestone that the network's coordinator keys signed. Whoever
holds the receipt and trusts the keys needs no node. What the keys can do is delay or reorder; two signed milestones
of one index are proof of their fault (`equivocation`). Data blocks and milestones carry no network id, so
coordinator keys must never serve two networks; the receipt names the network as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from prsm_protocol.errors import ContentError, LedgerError, TraceError
from prsm_protocol.ledger import block_json
from prsm_protocol.ledger.block_json import Json
from prsm_protocol.ledger.codec import Milestone, blake2b, block_id, decode, decode_milestone, encode
from prsm_protocol.trace import dag_cbor, merkle


class InclusionMalformed(LedgerError):
    text = "receipt of inclusion is malformed at {field!r}; ask whoever gave it for a new one"


class InclusionPathInvalid(LedgerError):
    text = "receipt's path does not lead to inclusion root {expected}; the block is not the one the milestone contains"


class InclusionKeyUnknown(LedgerError):
    text = "milestone {milestone} is signed by key {key}, which is not trusted; compare the network's parameters"


class InclusionSignatures(LedgerError):
    text = "milestone {milestone} has {valid} valid signatures of trusted keys and needs {needed}; do not rely on it"


class InclusionNetworkMismatch(LedgerError):
    text = "receipt is of network {got}, expected {expected}; check which ledger it came from"


# ── whom to trust ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A coordinator key and the milestones it may sign."""

    key: bytes
    first: int = 0
    last: int | None = None

    def covers(self, index: int) -> bool:
        return self.first <= index and (self.last is None or index <= self.last)


@dataclass(frozen=True, slots=True)
class Trust:
    """A network's coordinator keys, how many must sign, and the network's 8-byte id."""

    keys: tuple[TrustedKey, ...]
    threshold: int
    network: bytes

    @classmethod
    def of(cls, keys: Iterable[str], threshold: int, network_name: str) -> Trust:
        """From a network's parameters: public keys in hexadecimal."""
        trusted = tuple(TrustedKey(bytes.fromhex(each.removeprefix("0x"))) for each in keys)
        if not 1 <= threshold <= len({each.key for each in trusted}):
            raise InclusionMalformed(field="threshold")
        return cls(trusted, threshold, network_id(network_name))


def network_id(name: str) -> bytes:
    return blake2b(name.encode())[:8]


def check_milestone(milestone: Milestone, trust: Trust) -> None:
    """Raise unless enough trusted keys signed this milestone."""
    trusted = {each.key for each in trust.keys if each.covers(milestone.index)}
    signed = {each.key for each in milestone.signatures}
    valid = sum(_signed(each.key, each.signature, milestone.id) for each in milestone.signatures if each.key in trusted)
    if valid >= trust.threshold:
        return
    if len(signed & trusted) < trust.threshold and signed - trusted:
        raise InclusionKeyUnknown(key=min(signed - trusted).hex(), milestone=milestone.index)
    raise InclusionSignatures(milestone=milestone.index, valid=valid, needed=trust.threshold)


def _signed(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# ── receipts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Included:
    """What a verified receipt says: this block, in this milestone, at this time (unix seconds)."""

    id: bytes
    milestone: int
    at: int


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The receipt: block and milestone payload as raw bytes, and the path between them, lowest first."""

    network: bytes
    block: bytes
    leaf: int
    leaves: int
    path: tuple[bytes, ...]
    milestone: bytes

    def encode(self) -> bytes:
        return dag_cbor.encode(
            {
                "network": self.network,
                "block": self.block,
                "leaf": self.leaf,
                "leaves": self.leaves,
                "path": list(self.path),
                "milestone": self.milestone,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Inclusion:
        try:
            fields = dag_cbor.decode(data)
        except (TraceError, ContentError):
            raise InclusionMalformed(field="") from None
        if not isinstance(fields, dict) or set(fields) != set(cls.__slots__):
            raise InclusionMalformed(field="")
        network, block, milestone = (_bytes(fields[name], name) for name in ("network", "block", "milestone"))
        path = fields["path"]
        if not isinstance(path, list):
            raise InclusionMalformed(field="path")
        nodes = tuple(_bytes(each, "path") for each in path)
        return cls(network, block, _count(fields["leaf"], "leaf"), _count(fields["leaves"], "leaves"), nodes, milestone)

    def to_json(self) -> Json:
        """The form of IOTA's inclusion tool: `{milestone, block, proof}`."""
        proof: object = {"value": block_json.hex_of(block_id(self.block))}
        for sibling, is_left in zip(self.path, _sides(self.leaf, self.leaves), strict=True):
            node = {"h": block_json.hex_of(sibling)}
            proof = {"l": node, "r": proof} if is_left else {"l": proof, "r": node}
        return {
            "milestone": block_json.payload_to_json(decode_milestone(self.milestone)),
            "block": block_json.block_to_json(decode(self.block)),
            "proof": proof,
        }

    @classmethod
    def from_json(cls, value: object, network: bytes) -> Inclusion:
        """Read the tool's form. It does not tell how many leaves there were: the smallest fitting count is taken."""
        if not isinstance(value, dict) or not {"milestone", "block", "proof"} <= set(value):
            raise InclusionMalformed(field="milestone, block, proof")
        block = encode(block_json.block_from_json(value["block"]))
        sides, path = _descend(value["proof"], block_id(block))
        leaf, leaves = _place(sides)
        milestone = block_json.milestone_from_json(value["milestone"]).payload
        return cls(network, block, leaf, leaves, tuple(reversed(path)), milestone)


def make(order: Sequence[bytes], leaf: int, block: bytes, milestone: bytes, network: bytes) -> Inclusion:
    """The receipt of the block that stands at `leaf` in the milestone's white-flag `order` of block ids."""
    if order[leaf] != block_id(block):
        raise InclusionMalformed(field="leaf")
    path = merkle.inclusion(order, leaf, blake2b)
    return Inclusion(network, block, leaf, len(order), tuple(path), milestone)


def verify(inclusion: Inclusion, trust: Trust) -> Included:
    """Check a receipt offline: block to leaf, leaf and path to the root, the root's milestone to trusted keys."""
    if inclusion.network != trust.network:
        raise InclusionNetworkMismatch(expected=trust.network.hex(), got=inclusion.network.hex())
    decode(inclusion.block)
    milestone = decode_milestone(inclusion.milestone)
    id = block_id(inclusion.block)
    root = milestone.inclusion_root
    if not merkle.verify_inclusion(root, id, inclusion.leaf, inclusion.leaves, inclusion.path, blake2b):
        raise InclusionPathInvalid(expected=root.hex())
    check_milestone(milestone, trust)
    return Included(id, milestone.index, milestone.timestamp)


# ── fault of the coordinator ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two different milestones of one index, both signed by trusted keys."""

    index: int
    first: bytes
    second: bytes


def equivocation(first: Milestone, second: Milestone, trust: Trust) -> Equivocation | None:
    """Proof that the keys signed one index twice, or None. Unsigned forgeries prove nothing and raise."""
    check_milestone(first, trust)
    check_milestone(second, trust)
    if first.index != second.index or first.id == second.id:
        return None
    return Equivocation(first.index, first.essence, second.essence)


# ── places in the tree ───────────────────────────────────────────────────────────────────────────────────────────────


def _sides(leaf: int, leaves: int) -> list[bool]:
    """For each step upwards: does the sibling stand on the left?"""
    if leaves <= 1:
        return []
    half = 1 << (leaves - 1).bit_length() - 1
    if leaf < half:
        return [*_sides(leaf, half), False]
    return [*_sides(leaf - half, leaves - half), True]


def _place(sides: Sequence[bool]) -> tuple[int, int]:
    """The smallest tree, as (leaf, leaves), whose way down has these sides; top first."""
    if not sides:
        return 0, 1
    if not sides[0]:  # in the left half, which is full: the rest of the way spells the position
        half = 1 << len(sides) - 1
        return int("".join("01"[each] for each in sides), 2), half + 1
    leaf, leaves = _place(sides[1:])
    half = 1 << (leaves - 1).bit_length()
    return half + leaf, half + leaves


def _descend(node: object, id: bytes) -> tuple[list[bool], list[bytes]]:
    """Sides and siblings from the top of the tool's nested proof down to the leaf with this id."""
    sides: list[bool] = []
    path: list[bytes] = []
    while True:
        if not isinstance(node, dict) or len(sides) > 64:
            raise InclusionMalformed(field="proof")
        if set(node) == {"value"}:
            if node["value"] != block_json.hex_of(id):
                raise InclusionMalformed(field="proof.value")
            return sides, path
        if set(node) != {"l", "r"}:
            raise InclusionMalformed(field="proof")
        is_left = isinstance(node["l"], dict) and "h" in node["l"]
        sibling = node["l"] if is_left else node["r"]
        if not isinstance(sibling, dict) or not isinstance(sibling.get("h"), str):
            raise InclusionMalformed(field="proof.h")
        try:
            path.append(bytes.fromhex(sibling["h"].removeprefix("0x")))
        except ValueError:
            raise InclusionMalformed(field="proof.h") from None
        sides.append(is_left)
        node = node["r"] if is_left else node["l"]


def _bytes(value: object, field: str) -> bytes:
    if not isinstance(value, bytes):
        raise InclusionMalformed(field=field)
    return value


def _count(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InclusionMalformed(field=field)
    return value
