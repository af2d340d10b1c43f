"""HTTP requests signed by an identity: who asks is proved by four headers, once, within a minute."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from prsm_protocol.errors import IdentityError
from prsm_protocol.identity.sign import DidInvalid, verify
from prsm_protocol.types import Signer

WINDOW_SECONDS = 60
DOMAIN = "http"


class RequestUnsigned(IdentityError):
    text = "the request carries no {header} header; sign it with `identity.requests.sign_headers`"


class RequestStale(IdentityError):
    text = "the request was signed {age} s from now, the limit is {limit} s; check the clock and sign again"


class RequestReplayed(IdentityError):
    text = "nonce {nonce} was used before; sign the request again"


class RequestSignatureInvalid(IdentityError):
    text = "the signature of {did} does not fit this request"


def _message(method: str, path: str, time: str, nonce: str, body: bytes) -> bytes:
    return f"{method.upper()}\n{path}\n{time}\n{nonce}\n{hashlib.sha256(body).hexdigest()}".encode()


def sign_headers(identity: Signer, method: str, path: str, body: bytes, now: float) -> dict[str, str]:
    time, nonce = str(int(now)), os.urandom(16).hex()
    signature = identity.sign(DOMAIN, _message(method, path, time, nonce, body))
    return {"PRSM-Did": identity.did, "PRSM-Time": time, "PRSM-Nonce": nonce, "PRSM-Signature": signature.hex()}


def check_headers(
    headers: Mapping[str, str], method: str, path: str, body: bytes, now: float, seen: dict[str, float]
) -> str:
    """The did that signed. `seen` holds nonces of the last minute (the caller keeps it); it is pruned and added to."""
    values = []
    for header in ("PRSM-Did", "PRSM-Time", "PRSM-Nonce", "PRSM-Signature"):
        value = headers.get(header) or headers.get(header.lower())
        if not value:
            raise RequestUnsigned(header=header)
        values.append(value)
    did, time, nonce, signature = values
    try:
        age = abs(now - int(time))
        raw = bytes.fromhex(signature)
    except ValueError:
        raise RequestSignatureInvalid(did=did[:80]) from None
    if age > WINDOW_SECONDS:
        raise RequestStale(age=int(age), limit=WINDOW_SECONDS)
    for old in [key for key, at in seen.items() if now - at > 2 * WINDOW_SECONDS]:
        del seen[old]
    if f"{did} {nonce}" in seen:
        raise RequestReplayed(nonce=nonce[:64])
    try:
        valid = verify(did, DOMAIN, _message(method, path, time, nonce, body), raw)
    except DidInvalid:
        valid = False
    if not valid:
        raise RequestSignatureInvalid(did=did[:80])
    seen[f"{did} {nonce}"] = now
    return did
