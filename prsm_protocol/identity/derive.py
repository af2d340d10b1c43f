"""One seed, many keys: HKDF-SHA-512 (RFC 5869) with a context that an observer cannot link.

info = length-prefixed purpose and context, then the index as u32, so no two contexts share anything testable.
"""

from __future__ import annotations

import unicodedata
from enum import Enum

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from prsm_protocol.errors import IdentityError

_SALT = b"prsm identity 1"
_MAX_CONTEXT = 64


class ContextNameTooLong(IdentityError):
    text = "context name has {length} bytes, the limit is {limit}; choose a shorter one"


class SeedInvalid(IdentityError):
    text = "a seed has 32 bytes, this one {length}"


class Purpose(Enum):
    SIGN = "SIGN"  # Ed25519
    WALLET = "WALLET"  # secp256k1, for chain's signer


def derive(seed: bytes, purpose: Purpose, context: str, index: int = 0) -> bytes:
    """64 bytes of key material; Ed25519 takes the first 32, secp256k1 reduces all of them."""
    if len(seed) != 32:
        raise SeedInvalid(length=len(seed))
    name = unicodedata.normalize("NFC", context).encode()
    if len(name) > _MAX_CONTEXT:
        raise ContextNameTooLong(length=len(name), limit=_MAX_CONTEXT)
    label = purpose.value.encode()
    info = bytes([len(label)]) + label + bytes([len(name)]) + name + index.to_bytes(4, "big")
    return HKDF(algorithm=SHA512(), length=64, salt=_SALT, info=info).derive(seed)


_SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def wallet_key(seed: bytes, context: str, index: int = 0) -> bytes:
    """A secp256k1 private key; 64 bytes reduced modulo the order leave no bias worth naming."""
    number = int.from_bytes(derive(seed, Purpose.WALLET, context, index), "big") % (_SECP256K1_ORDER - 1) + 1
    return number.to_bytes(32, "big")
