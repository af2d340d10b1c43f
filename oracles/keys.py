"""The node's four keys: operator (cold), signer, sender and identity, each in a file of its own with mode 0600.

The signer holds no coin and the sender signs no result, so a stolen hot key loses gas money or is replaced by the operator.
No secret is ever an argument, a setting or a log line: keys come from files, the passphrase from a file.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from oracles.config import Environment
from prsm_protocol.chain.signer import PrivateKeySigner, key_address, new_key, open_key, save_key
from prsm_protocol.errors import NodeError
from prsm_protocol.identity import Identity, Keystore

ROLES = ("operator", "signer", "sender")
_IDENTITY = "identity.json"


class KeyFileError(NodeError):
    """Anything about the node's key files."""


class KeyFileMissing(KeyFileError):
    text = "{path} is not there; `prsm node init` makes it, or copy it from your backup"


class KeyFileOpen(KeyFileError):
    text = "{path} can be read by others (mode {mode:o}); run: chmod 600 {path}"


class KeyFileExists(KeyFileError):
    exit_code = 7
    text = "{path} exists and is never overwritten; move it away first"


class KeyFileInvalid(KeyFileError):
    text = "{path} is not a key that can be used: {reason}"


class PassphraseMissing(KeyFileError):
    text = "no passphrase: put it into {path} (mode 600) or name its file in PRSM_NODE_PASSPHRASE_FILE"


@dataclass(frozen=True)
class Keys:
    """The keys a running node holds. The operator's stays closed: only `stake`, `unstake` and `exit` open it."""

    operator: str  # address
    signer: PrivateKeySigner
    sender: PrivateKeySigner
    identity: Identity


def passphrase(home: Path) -> str:
    """From the service's credential file, else from the home's own; either must be private."""
    path = Environment().passphrase_file or home / "passphrase"
    return _private_text(path, PassphraseMissing)


def create(home: Path, *, secret: str, scrypt_n: int, imported: dict[str, Path] | None = None) -> dict[str, str]:
    """Make the key files, from files of raw keys where given; returns the addresses by role and the identity's did."""
    folder = home / "keys"
    for name in (*(f"{role}.json" for role in ROLES), _IDENTITY):
        if (folder / name).exists():
            raise KeyFileExists(path=folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    made: dict[str, str] = {}
    for role in ROLES:
        source = (imported or {}).get(role)
        key = new_key() if source is None else PrivateKeySigner(_read_key(source))
        save_key(folder / f"{role}.json", key, secret.encode(), rounds=scrypt_n)
        made[role] = key.address
    made["identity"] = Identity.from_seed(Keystore.create(folder / _IDENTITY, secret).seed, "node").did
    return made


def open_keys(home: Path, secret: str, operator: str = "") -> Keys:
    """The hot keys and the operator's address, from its key file where the settings do not name it."""
    return Keys(
        operator=operator or key_address(_private(home / "keys" / "operator.json")),
        signer=open_role(home, "signer", secret),
        sender=open_role(home, "sender", secret),
        identity=Identity.from_seed(Keystore.open(_private(home / "keys" / _IDENTITY), secret).seed, "node"),
    )


def open_role(home: Path, role: str, secret: str) -> PrivateKeySigner:
    return open_key(_private(home / "keys" / f"{role}.json"), secret.encode())


def write_token(home: Path) -> Path:
    """The owner's token for the routes that are nobody else's business."""
    path = home / "token"
    if not path.exists():
        _write_private(path, secrets.token_hex(32).encode())
    return path


def write_passphrase(home: Path) -> None:
    """A generated passphrase for a node that starts by itself; a person who wants another writes the file first."""
    path = home / "passphrase"
    if not path.exists() and Environment().passphrase_file is None:
        home.mkdir(parents=True, exist_ok=True)
        _write_private(path, secrets.token_urlsafe(24).encode())


def _read_key(path: Path) -> bytes:
    text = _private_text(path, KeyFileMissing).removeprefix("0x")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise KeyFileInvalid(path=path, reason="it is not hexadecimal") from None
    if len(key) != 32:
        raise KeyFileInvalid(path=path, reason=f"a key has 32 bytes, this one {len(key)}")
    return key


def _private(path: Path, missing: type[KeyFileError] = KeyFileMissing) -> Path:
    """The path, if the file is there and nobody else can read it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise missing(path=path) from None
    if mode & 0o077:
        raise KeyFileOpen(path=path, mode=mode)
    return path


def _private_text(path: Path, missing: type[KeyFileError]) -> str:
    return _private(path, missing).read_text(encoding="utf-8").strip()


def _write_private(path: Path, data: bytes) -> None:
    aside = path.with_name(path.name + ".part")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
