"""Keys that sign for accounts: the port, a key in memory, and key files of the usual form (keystore v3, scrypt).

A signer never sends. What a remote signer answers must be recovered to its address before use; a key file is readable
by its owner alone and never holds a key in clear.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from coincurve import PrivateKey
from eth_account import Account

from prsm_protocol.errors import ChainError
from prsm_protocol.rules.eip712 import checksum, keccak

# scrypt with 2**18 rounds takes about a second and 256 MB: the usual cost of a stolen file, per guess.
ROUNDS = 2**18


class KeyInvalid(ChainError):
    text = "a key of the chain has 32 bytes and is not zero; {length} bytes were given"


class KeyFileWrong(ChainError):
    text = "key file {path} cannot be opened: {reason}; check the passphrase"


class KeyFileExists(ChainError):
    text = "key file {path} exists; move it away first, a key that is overwritten is lost for good"


class WalletSigner(Protocol):
    """An account that signs for the chain."""

    @property
    def address(self) -> str: ...

    def sign_transaction(self, transaction: Mapping[str, object]) -> bytes:
        """The raw bytes to broadcast."""
        ...

    def sign_digest(self, digest: bytes) -> bytes:
        """65 bytes r ‖ s ‖ v over an EIP-712 digest, v 27 or 28, low s."""
        ...


class PrivateKeySigner:
    """A key held in memory."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32 or not any(key):
            raise KeyInvalid(length=len(key))
        self._key = PrivateKey(key)
        self._address = checksum(keccak(self._key.public_key.format(compressed=False)[1:])[12:])

    @property
    def address(self) -> str:
        return self._address

    @property
    def secret(self) -> bytes:
        """The key itself, for `save_key`."""
        return bytes(self._key.secret)

    def sign_transaction(self, transaction: Mapping[str, object]) -> bytes:
        signed = Account.sign_transaction(dict(transaction), self._key.secret)
        return bytes(signed.raw_transaction)

    def sign_digest(self, digest: bytes) -> bytes:
        if len(digest) != 32:
            raise KeyInvalid(length=len(digest))
        signature = self._key.sign_recoverable(digest, hasher=None)
        return bytes(signature[:64]) + bytes([signature[64] + 27])

    def __repr__(self) -> str:  # a key must not reach a log by being printed
        return f"PrivateKeySigner({self._address})"


def new_key() -> PrivateKeySigner:
    """A signer with a fresh key from the system's random source."""
    return PrivateKeySigner(bytes(PrivateKey().secret))


def save_key(path: Path, signer: PrivateKeySigner, passphrase: bytes, *, rounds: int = ROUNDS) -> None:
    """Write a key file, readable by its owner alone, synced to disk. Never overwrites."""
    document = Account.encrypt(signer.secret, passphrase.decode(), kdf="scrypt", iterations=rounds)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileExists(path=path) from None
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())


def open_key(path: Path, passphrase: bytes) -> PrivateKeySigner:
    """The signer inside a key file."""
    try:
        return PrivateKeySigner(bytes(Account.decrypt(json.loads(path.read_text()), passphrase.decode())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileWrong(path=path, reason=str(error)) from error


def key_address(path: Path) -> str:
    """The address a key file says it holds, without opening it."""
    try:
        return checksum(bytes.fromhex(str(json.loads(path.read_text())["address"]).removeprefix("0x")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileWrong(path=path, reason=str(error)) from error


DEVELOPMENT_MNEMONIC = "test test test test test test test test test test test junk"
"""Known to everybody, as are the keys that come from it: anvil gives them coin on a local chain, and only there."""


@lru_cache(maxsize=32)
def development_account(index: int) -> PrivateKeySigner:
    """Account `index` of anvil's default mnemonic."""
    Account.enable_unaudited_hdwallet_features()
    account = Account.from_mnemonic(DEVELOPMENT_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return PrivateKeySigner(bytes(account.key))
