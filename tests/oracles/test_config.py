"""`node.toml`: what is written is what is read, and a misspelt key is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracles import config

RAW: dict[str, object] = {
    "network": "registry.json",
    "endpoints": ["http://127.0.0.1:1", "http://127.0.0.1:2"],
    "confirmations": 3,
    "poll_seconds": 0.25,
    "prover": {"url": "http://127.0.0.1:3", "token_file": "token"},
    "price": {"margin_bps": 500},
}


def test_written_configuration_is_read_back(tmp_path: Path) -> None:
    config.save(tmp_path, RAW)
    read = config.load(tmp_path)
    assert read.endpoints == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert (read.confirmations, read.poll_seconds, read.price.margin_bps) == (3, 0.25, 500)
    assert read.prover is not None
    assert (read.network, read.prover.token_file) == (tmp_path / "registry.json", tmp_path / "token")


def test_home_is_never_overwritten(tmp_path: Path) -> None:
    config.save(tmp_path, RAW)
    with pytest.raises(config.HomeExists) as caught:
        config.save(tmp_path, RAW)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"confirmation": 3}, "confirmation"),
        ({"endpoints": []}, "endpoints"),
        ({"confirmations": 0}, "confirmations"),
        ({"price": {"margin_bps": -1}}, "price.margin_bps"),
        ({"prover": {"url": "x"}}, "prover.token_file"),
        ({"keys": {"passphrase": "secret"}}, "keys.passphrase"),
    ],
)
def test_wrong_key_is_named(tmp_path: Path, changes: dict[str, object], field: str) -> None:
    with pytest.raises(config.ConfigInvalid) as caught:
        config.save(tmp_path, RAW | changes)
    assert caught.value.values["field"] == field


def test_missing_home_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigMissing, match="prsm node init"):
        config.load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ['a"b', "line\nbreak", "C:\\path", "ü"])
def test_text_survives_the_file(tmp_path: Path, text: str) -> None:
    config.save(tmp_path, RAW | {"public_url": text})
    assert config.load(tmp_path).public_url == text
