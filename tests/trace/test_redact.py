"""Redacted copies: what stays readable is said, and keeping nothing is refused. `test_verify` checks that none is false."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prsm_protocol.trace import bundle, redact


def test_kept_seal_is_named_by_its_beginning(whole: Any, tmp_path: Path) -> None:
    source = bundle.load(whole.path)
    digest = source.openings.openings[0].digest.hex()
    result = redact.redact(source, {digest[:12]}, tmp_path / "copy.car")
    assert sum(result.opened.values()) == 1
    assert [opening.digest.hex() for opening in bundle.load(result.path).openings.openings] == [digest]


@pytest.mark.parametrize("keep", [set(), {"nothing of this kind"}, {"abc"}])
def test_keeping_nothing_is_refused(whole: Any, tmp_path: Path, keep: set[str]) -> None:
    with pytest.raises(redact.NothingKept) as refused:
        redact.redact(bundle.load(whole.path), keep, tmp_path / "copy.car")
    assert "answer" in str(refused.value)
    assert not (tmp_path / "copy.car").exists()


def test_reader_is_told_what_stays_visible(whole: Any, tmp_path: Path) -> None:
    result = redact.redact(bundle.load(whole.path), {"answer"}, tmp_path / "copy.car")
    assert redact.describe(result).startswith("a reader sees: 1 answer; ")


def test_payload_bytes_are_gone(whole: Any, synthetic: Any, tmp_path: Path) -> None:
    result = redact.redact(bundle.load(whole.path), {"prediction"}, tmp_path / "copy.car")
    data = result.path.read_bytes()
    assert b"Clump thickness" in whole.data
    assert b"Clump thickness" not in data
    assert b"Which of these cases" not in data
