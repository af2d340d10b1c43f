"""The file that keeps a seed: Argon2id and AES-256-GCM, mode 0600, written aside and renamed.

The header is associated data, so weakening its parameters breaks the file; the memory parameter is bounded when read, so a
hostile file cannot exhaust the machine.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from prsm_protocol.errors import IdentityError

MEMORY_KIB = 64 * 1024
"""64 MiB and three passes: RFC 9106's second recommended option, about 0.1 s on one core."""
PASSES = 3
_MAX_MEMORY_KIB = 1024 * 1024


class KeystoreParametersRefused(IdentityError):
    text = "the key file asks for {memory} KiB of memory, the limit is {limit}; it was not written by prsm"


class KeystoreDamaged(IdentityError):
    text = "key file {path} cannot be read ({reason}); restore it from your backup"


class PassphraseWrong(IdentityError):
    text = "the passphrase does not open {path}; try again or restore the key from its backup"


class KeystoreExists(IdentityError):
    text = "{path} exists and is never overwritten; move it away first"


@dataclass(frozen=True)
class Keystore:
    """An opened key file."""

    path: Path
    seed: bytes

    @classmethod
    def create(cls, path: Path, passphrase: str, seed: bytes | None = None) -> Keystore:
        if path.exists():
            raise KeystoreExists(path=str(path))
        secret = seed or os.urandom(32)
        _write(path, passphrase, secret)
        return cls(path, secret)

    @classmethod
    def open(cls, path: Path, passphrase: str) -> Keystore:
        try:
            document = json.loads(path.read_bytes())
            header = document["header"]
            salt, nonce = bytes.fromhex(header["salt"]), bytes.fromhex(header["nonce"])
            memory, passes, sealed = int(header["memory_kib"]), int(header["passes"]), bytes.fromhex(document["sealed"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KeystoreDamaged(path=str(path), reason=error) from None
        if not 8 <= memory <= _MAX_MEMORY_KIB or not 1 <= passes <= 16:
            raise KeystoreParametersRefused(memory=memory, limit=_MAX_MEMORY_KIB)
        key = _stretch(passphrase, salt, memory, passes)
        try:
            return cls(path, AESGCM(key).decrypt(nonce, sealed, _canonical(header)))
        except InvalidTag:
            raise PassphraseWrong(path=str(path)) from None

    def change_passphrase(self, passphrase: str) -> None:
        _write(self.path, passphrase, self.seed)


def _write(path: Path, passphrase: str, seed: bytes) -> None:
    salt, nonce = os.urandom(16), os.urandom(12)
    header = {
        "v": 1,
        "kdf": "argon2id",
        "memory_kib": MEMORY_KIB,
        "passes": PASSES,
        "cipher": "aes-256-gcm",
        "salt": salt.hex(),
        "nonce": nonce.hex(),
    }
    sealed = AESGCM(_stretch(passphrase, salt, MEMORY_KIB, PASSES)).encrypt(nonce, seed, _canonical(header))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(json.dumps({"header": header, "sealed": sealed.hex()}, indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def _stretch(passphrase: str, salt: bytes, memory_kib: int, passes: int) -> bytes:
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=1, memory_cost=memory_kib).derive(
        passphrase.encode()
    )


def _canonical(header: dict[str, object]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
