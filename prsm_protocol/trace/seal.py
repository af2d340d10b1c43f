"""Structure and payload apart: a sealed reference names a payload without letting anybody guess it.

digest = SHA-256("prsm/seal/1" ‖ salt ‖ CID), salt = HMAC-SHA-256(run secret, CID): equal payloads of one run seal
equally, nobody can guess a short payload, and each is opened alone by giving its `Opening`. Redacting is leaving
openings out.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from prsm_protocol.errors import TraceError
from prsm_protocol.types import Cid

PREFIX = b"prsm/seal/1"


class SealMismatch(TraceError):
    text = "the payload given for seal {digest} is not the one recorded; ask for the run's own file"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A payload's seal. `size_class` is the bit length of its size, so that a reader knows what is withheld."""

    digest: bytes
    size_class: int


Ref = Cid | Sealed
"""A plain link to something public, or a seal."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What opens one seal, and no other."""

    digest: bytes
    salt: bytes
    cid: Cid


def seal(secret: bytes, cid: Cid, size: int) -> tuple[Sealed, Opening]:
    """The seal of a payload of `size` bytes, and what opens it."""
    salt = hmac.new(secret, cid.bytes, hashlib.sha256).digest()
    digest = _digest(salt, cid)
    return Sealed(digest, size.bit_length()), Opening(digest, salt, cid)


def open_with(opening: Opening) -> Cid:
    """The payload's CID; refused when the opening does not fit its digest."""
    if not hmac.compare_digest(_digest(opening.salt, opening.cid), opening.digest):
        raise SealMismatch(digest=opening.digest.hex())
    return opening.cid


def _digest(salt: bytes, cid: Cid) -> bytes:
    return hashlib.sha256(PREFIX + salt + cid.bytes).digest()
