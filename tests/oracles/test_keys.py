"""Key files: private, never overwritten, never printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracles import keys
from prsm_protocol.chain.anvil import development_account
from prsm_protocol.chain.errors import ChainError
from prsm_protocol.chain.signer import KeyFileWrong


def test_made_keys_open_with_their_passphrase_and_no_other(tmp_path: Path) -> None:
    made = keys.create(tmp_path, secret="right", scrypt_n=2)
    held = keys.open_keys(tmp_path, "right")
    assert (held.operator, held.signer.address, held.sender.address, held.identity.did) == (
        made["operator"],
        made["signer"],
        made["sender"],
        made["identity"],
    )
    assert len(set(made.values())) == 4
    with pytest.raises(KeyFileWrong):
        keys.open_keys(tmp_path, "wrong")


def test_imported_key_is_that_account(tmp_path: Path) -> None:
    account = development_account(3)
    source = tmp_path / "raw"
    source.write_text("0x" + account.secret.hex())
    source.chmod(0o600)
    made = keys.create(tmp_path / "home", secret="s", scrypt_n=2, imported={"operator": source})
    assert made["operator"] == account.address


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    keys.create(tmp_path, secret="s", scrypt_n=2)
    with pytest.raises(keys.KeyFileExists) as caught:
        keys.create(tmp_path, secret="s", scrypt_n=2)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    keys.create(tmp_path, secret="s", scrypt_n=2)
    path = tmp_path / "keys" / "signer.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    with pytest.raises(keys.KeyFileOpen) as caught:
        keys.open_keys(tmp_path, "s")
    assert caught.value.values["mode"] == mode


def test_operator_key_may_be_kept_elsewhere(tmp_path: Path) -> None:
    made = keys.create(tmp_path, secret="s", scrypt_n=2)
    (tmp_path / "keys" / "operator.json").unlink()
    assert keys.open_keys(tmp_path, "s", made["operator"]).operator == made["operator"]
    with pytest.raises(keys.KeyFileMissing):
        keys.open_keys(tmp_path, "s")


def test_missing_passphrase_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRSM_NODE_PASSPHRASE_FILE", raising=False)
    with pytest.raises(keys.PassphraseMissing, match="PRSM_NODE_PASSPHRASE_FILE"):
        keys.passphrase(tmp_path)
    keys.write_passphrase(tmp_path)
    assert len(keys.passphrase(tmp_path)) >= 32


def test_key_errors_belong_to_known_families() -> None:
    assert issubclass(KeyFileWrong, ChainError)
    assert issubclass(keys.KeyFileOpen, keys.KeyFileError)
