"""Hashes and signatures of anything a contract reads: EIP-712 with version "1", chain id and contract.

Knows the encoding of types and nothing of networks, keys in files or time. `Struct` gives a frozen dataclass the three
forms it needs: the tuple a contract call takes, the hash a signature covers and the JSON that travels over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import ClassVar, TypeVar

from coincurve import PublicKey
from eth_utils.address import is_checksum_formatted_address, to_checksum_address
from eth_utils.crypto import keccak as _keccak

from prsm_protocol.errors import ChainError

S = TypeVar("S", bound="Struct")

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
VERSION = "1"

# Half of the order of secp256k1: a signature with a larger s is the twin of another one, and contracts refuse it.
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


class TypeStringInvalid(ChainError):
    text = "type {type!r} is not an EIP-712 struct such as Voucher(bytes32 channelId,uint64 sequence)"


class FieldInvalid(ChainError):
    text = "value {value!r} does not fit the type {type} of field {field!r}; give a value inside the type's range"


class FieldCountWrong(ChainError):
    text = "{type} has {expected} fields and {given} values were given; give one value a field, in order"


class SignatureMalformed(ChainError):
    text = "signature {signature} is not r, s, v of a key (65 bytes, low s, v 27 or 28); sign the digest again"


def keccak(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it."""
    return bytes(_keccak(data))


@lru_cache(maxsize=256)
def members(type_string: str) -> tuple[tuple[str, str], ...]:
    """(type, name) of each field of a struct's type string, in order."""
    match = re.fullmatch(r"[A-Za-z_]\w*\((.*)\)", type_string)
    if match is None:
        raise TypeStringInvalid(type=type_string)
    pairs = [part.split(" ") for part in match.group(1).split(",")] if match.group(1) else []
    if any(len(pair) != 2 for pair in pairs):
        raise TypeStringInvalid(type=type_string)
    return tuple((kind, name) for kind, name in pairs)


@lru_cache(maxsize=256)
def type_hash(type_string: str) -> bytes:
    return keccak(type_string.encode())


def word(kind: str, value: object, field: str = "") -> bytes:
    """The 32 bytes that stand for one value inside a struct's hash; dynamic values stand as their own hash."""
    try:
        return _word(kind, value, field)
    except (ValueError, TypeError, OverflowError):
        raise FieldInvalid(value=value, type=kind, field=field) from None


def _word(kind: str, value: object, field: str) -> bytes:
    if kind.endswith("[]"):
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise ValueError
        return keccak(b"".join(_word(kind[:-2], item, field) for item in value))
    if kind == "address":
        return address_bytes(value).rjust(32, b"\0")
    if kind == "bytes32":
        if not isinstance(value, bytes) or len(value) != 32:
            raise ValueError
        return value
    if kind == "bytes":
        if not isinstance(value, bytes):
            raise ValueError
        return keccak(value)
    if kind == "string":
        if not isinstance(value, str):
            raise ValueError
        return keccak(value.encode())
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError
        return int(value).to_bytes(32, "big")
    bits = re.fullmatch(r"uint(\d+)", kind)
    if bits is None or isinstance(value, bool) or not isinstance(value, int) or value >> int(bits.group(1)):
        raise ValueError  # a negative number keeps its sign when shifted, so it is refused here too
    return value.to_bytes(32, "big")


def address_bytes(value: object) -> bytes:
    """The 20 bytes of an address in text. Mixed case must be its checksum: a typing error must not become a payee."""
    if not isinstance(value, str) or not re.fullmatch(r"0x[0-9a-fA-F]{40}", value):
        raise FieldInvalid(value=value, type="address", field="")
    if is_checksum_formatted_address(value) and to_checksum_address(value) != value:
        raise FieldInvalid(value=value, type="address", field="checksum")
    return bytes.fromhex(value[2:])


def checksum(address: bytes) -> str:
    return str(to_checksum_address(address))


def struct_hash(type_string: str, values: Sequence[object]) -> bytes:
    """Hash of a struct whose fields have these values, in the order of the type string."""
    pairs = members(type_string)
    if len(pairs) != len(values):
        raise FieldCountWrong(type=type_string.split("(")[0], expected=len(pairs), given=len(values))
    words = [word(kind, value, name) for (kind, name), value in zip(pairs, values, strict=True)]
    return keccak(type_hash(type_string) + b"".join(words))


def domain_separator(name: str, chain_id: int, contract: str) -> bytes:
    return struct_hash(DOMAIN_TYPE, [name, VERSION, chain_id, contract])


def digest(name: str, chain_id: int, contract: str, hashed: bytes) -> bytes:
    """What is signed: `hashed` (a struct hash) within the domain `name` of one contract on one chain."""
    return keccak(b"\x19\x01" + domain_separator(name, chain_id, contract) + hashed)


def recover(digest32: bytes, signature: bytes) -> str:
    """The address whose key signed. Refuses what a contract would refuse: other lengths, high s, other v."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise SignatureMalformed(signature="0x" + signature.hex())
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise SignatureMalformed(signature="0x" + signature.hex())
    try:
        key = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest32, hasher=None)
    except Exception as error:  # coincurve raises a bare Exception for a point that does not exist
        raise SignatureMalformed(signature="0x" + signature.hex()) from error
    return checksum(keccak(key.format(compressed=False)[1:])[12:])


@dataclass(frozen=True)
class Struct:
    """Base of the structs that contracts read. Subclasses name their Solidity type and list its fields in its order."""

    TYPE: ClassVar[str]

    def values(self) -> tuple[object, ...]:
        """The fields as a contract call takes them."""
        return tuple(_plain(getattr(self, item.name)) for item in fields(self))

    def struct_hash(self) -> bytes:
        return struct_hash(self.TYPE, self.values())

    def to_json(self) -> dict[str, object]:
        """Names as in Python; bytes as 0x-hex, numbers of 64 bits and more as decimal text (JavaScript rounds)."""
        found: dict[str, object] = {}
        for item, (kind, _) in zip(fields(self), members(self.TYPE), strict=True):
            value = getattr(self, item.name)
            if kind.endswith("[]"):
                found[item.name] = [_to_json(kind[:-2], part) for part in value]
            else:
                found[item.name] = _to_json(kind, value)
        return found

    @classmethod
    def from_json(cls: type[S], document: Mapping[str, object]) -> S:
        """Reads `to_json`, checks every value against its type, and refuses missing and unknown names."""
        pairs = members(cls.TYPE)
        names = [item.name for item in fields(cls)]
        if set(document) != set(names):
            raise FieldInvalid(value=sorted(set(document) ^ set(names)), type=cls.__name__, field="names")
        read: dict[str, object] = {}
        for name, (kind, _) in zip(names, pairs, strict=True):
            value = document[name]
            if kind.endswith("[]"):
                if not isinstance(value, list):
                    raise FieldInvalid(value=value, type=kind, field=name)
                read[name] = tuple(_from_json(kind[:-2], part, name) for part in value)
            else:
                read[name] = _from_json(kind, value, name)
        return cls(**read)

    @classmethod
    def from_values(cls: type[S], values: Sequence[object]) -> S:
        """From what web3 decodes: lists become tuples, addresses their checksum form."""
        read: dict[str, object] = {}
        for item, (kind, _), value in zip(fields(cls), members(cls.TYPE), values, strict=True):
            read[item.name] = tuple(value) if kind.endswith("[]") and isinstance(value, list | tuple) else value
        return cls(**read)


def _plain(value: object) -> object:
    if isinstance(value, Struct):
        return value.values()
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    return value


def _is_wide(kind: str) -> bool:
    return kind.startswith("uint") and int(kind[4:]) >= 64


def _to_json(kind: str, value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if _is_wide(kind) else int(value)
    return value


def _from_json(kind: str, value: object, name: str) -> object:
    found = value
    try:
        if kind.startswith("bytes"):
            if not isinstance(value, str) or not value.startswith("0x"):
                raise ValueError
            found = bytes.fromhex(value[2:])
        elif kind.startswith("uint") and isinstance(value, str):
            if not re.fullmatch(r"0|[1-9][0-9]{0,77}", value):
                raise ValueError
            found = int(value)
        elif kind == "address":
            found = checksum(address_bytes(value))
    except ValueError:
        raise FieldInvalid(value=value, type=kind, field=name) from None
    word(kind, found, name)
    return found
