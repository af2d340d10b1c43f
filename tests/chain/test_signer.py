from __future__ import annotations

import stat
from pathlib import Path

import pytest
from eth_account import Account

from prsm_protocol.chain.signer import (
    KeyFileExists,
    KeyFileWrong,
    KeyInvalid,
    PrivateKeySigner,
    development_account,
    key_address,
    new_key,
    open_key,
    save_key,
)

FAST = 2**12  # rounds of scrypt: a test guards nothing worth a second


def test_development_accounts_are_anvils() -> None:
    assert development_account(0).address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert development_account(9).address == "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"


def test_address_is_that_of_eth_account() -> None:
    signer = new_key()
    assert Account.from_key(signer.secret).address == signer.address


def test_key_file_gives_back_the_key_and_is_the_owners_alone(tmp_path: Path) -> None:
    signer = new_key()
    path = tmp_path / "keys" / "operator.json"
    save_key(path, signer, b"passphrase", rounds=FAST)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_key(path, b"passphrase").secret == signer.secret
    assert key_address(path) == signer.address
    assert signer.secret.hex() not in path.read_text()


def test_key_file_is_refused_with_a_wrong_passphrase_or_broken(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    save_key(path, new_key(), b"right", rounds=FAST)
    with pytest.raises(KeyFileWrong) as refused:
        open_key(path, b"wrong")
    assert refused.value.values["path"] == path
    path.write_text("{}")
    for act in (lambda: open_key(path, b"right"), lambda: key_address(path)):
        with pytest.raises(KeyFileWrong):
            act()


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    save_key(tmp_path / "key.json", new_key(), b"p", rounds=FAST)
    before = (tmp_path / "key.json").read_bytes()
    with pytest.raises(KeyFileExists):
        save_key(tmp_path / "key.json", new_key(), b"p", rounds=FAST)
    assert (tmp_path / "key.json").read_bytes() == before


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), bytes(33)])
def test_key_is_refused_when_it_is_none(key: bytes) -> None:
    with pytest.raises(KeyInvalid):
        PrivateKeySigner(key)


def test_printing_a_signer_shows_its_address_alone() -> None:
    signer = new_key()
    assert repr(signer) == f"PrivateKeySigner({signer.address})"


def test_signed_transaction_is_the_signers() -> None:
    signer = development_account(4)
    raw = signer.sign_transaction(
        {
            "type": 2,
            "chainId": 31337,
            "nonce": 0,
            "gas": 21_000,
            "maxFeePerGas": 10,
            "maxPriorityFeePerGas": 1,
            "value": 5,
            "data": b"",
            "to": development_account(5).address,
        }
    )
    assert Account.recover_transaction(raw) == signer.address
