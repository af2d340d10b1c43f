"""Ed25519 signatures over `prsm/<domain>` ‖ 0 ‖ length ‖ message, and did:key names.

A signature made for one domain is worthless in another. Verification refuses keys of small order and non-canonical S, which
RFC 8032 leaves to the implementation.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from prsm_protocol.errors import IdentityError
from prsm_protocol.identity.derive import Purpose, derive

_ORDER = 2**252 + 27742317777372353535851937790883648493
_PRIME = 2**255 - 19
# y-coordinates of the eight points whose order divides 8 (RFC 8032, 5.1): 1, -1, 0 and the two order-8 values, with their
# non-canonical twins y + p where these still fit 255 bits.
_Y8 = 2707385501144840649318225287225658788936804267575313519463743609750303021885
_SMALL_ORDER_Y = {0, 1, _PRIME - 1, _PRIME, _PRIME + 1, _Y8, _PRIME - _Y8}
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MULTICODEC = b"\xed\x01"


class DidInvalid(IdentityError):
    text = "{did!r} is not the did:key of an Ed25519 key; it begins with did:key:z6Mk"


def signed_bytes(domain: str, message: bytes) -> bytes:
    """What is really signed."""
    return b"prsm/" + domain.encode() + b"\0" + len(message).to_bytes(8, "big") + message


class Identity:
    """An Ed25519 key pair that implements `types.Signer`."""

    def __init__(self, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public_key: bytes = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.did: str = did_of(self.public_key)

    @classmethod
    def generate(cls) -> Identity:
        return cls(os.urandom(32))

    @classmethod
    def from_seed(cls, seed: bytes, context: str = "default", index: int = 0) -> Identity:
        return cls(derive(seed, Purpose.SIGN, context, index)[:32])

    @classmethod
    def from_seed32(cls, secret: bytes) -> Identity:
        """From an RFC 8032 secret of 32 bytes."""
        return cls(secret)

    def sign(self, domain: str, message: bytes) -> bytes:
        return self._key.sign(signed_bytes(domain, message))

    def __repr__(self) -> str:
        return f"Identity({self.did})"


def verify(did: str, domain: str, message: bytes, signature: bytes) -> bool:
    """Is this `did`'s signature over the message in the domain?"""
    key = public_key_of(did)
    if len(signature) != 64 or int.from_bytes(signature[32:], "little") >= _ORDER:
        return False
    if int.from_bytes(key, "little") & ((1 << 255) - 1) in _SMALL_ORDER_Y:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed_bytes(domain, message))
    except InvalidSignature:
        return False
    return True


def did_of(public_key: bytes) -> str:
    number = int.from_bytes(_MULTICODEC + public_key, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "did:key:z" + text


def public_key_of(did: str) -> bytes:
    body = did.removeprefix("did:key:z")
    if body == did or not 40 <= len(body) <= 60 or any(character not in _ALPHABET for character in body):
        raise DidInvalid(did=did[:80])
    number = 0
    for character in body:
        number = number * 58 + _ALPHABET.index(character)
    try:
        raw = number.to_bytes(34, "big")
    except OverflowError:
        raise DidInvalid(did=did[:80]) from None
    if raw[:2] != _MULTICODEC or did_of(raw[2:]) != did:
        raise DidInvalid(did=did[:80])
    return raw[2:]
