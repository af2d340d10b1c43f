"""Set-up files are what their labels say; a ceremony's genuine file proves end to end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provers.errors import (
    SetupFormatInvalid,
    SetupHashUnknown,
    SetupKindRefused,
    SetupMissing,
    SetupOtherCeremony,
    SetupTooSmall,
    SetupTruncated,
)
from provers.launch import Limits, launch
from provers.setup_files import G1_BYTES, SetupFiles, check_network, check_size, from_ptau
from prsm_protocol.rules.oracle.tiers import Setup
from tests.provers.conftest import network

PTAU = Path(__file__).parent.parent / "vectors" / "powers_of_tau_28_hermez_final_08.ptau"
LIMITS = Limits(seconds=120, address_space=None, threads=2)
K = 8


@pytest.fixture
def made(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a development file in a worker."""

    def make(k: int) -> Path:
        launch("make_srs", {"k": k}, tmp_path / "made", LIMITS, tools=tmp_path / "tools")
        return tmp_path / "made" / "made.srs"

    return make


def test_single_file_is_made_once_and_labelled_with_its_danger(tmp_path: Path, made: Callable[[int], Path]):
    files, calls = SetupFiles(tmp_path / "setup"), []

    def counted(k: int) -> Path:
        calls.append(k)
        return made(k)

    first, second = files.single(6, counted), files.single(6, counted)
    assert (first, calls) == (second, [6])
    label = json.loads((tmp_path / "setup" / "single_6.json").read_text())
    assert label["kind"] == "SINGLE"
    assert "forge any proof" in label["warning"]
    assert first.digest == hashlib.sha256(first.path.read_bytes()).hexdigest()


def test_shared_folder_goes_before_the_homes_own(tmp_path: Path, made: Callable[[int], Path]):
    shared = SetupFiles(tmp_path / "shared").single(6, made)
    files = SetupFiles(tmp_path / "setup", tmp_path / "shared")
    assert files.single(6, made) == shared
    assert not (tmp_path / "setup").exists()


def test_flipped_byte_truncation_and_size_are_named(tmp_path: Path, made: Callable[[int], Path]):
    files = SetupFiles(tmp_path / "setup")
    path = files.single(6, made).path
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(SetupHashUnknown):
        files.find(Setup.SINGLE, 6)
    path.write_bytes(data[:-1])
    with pytest.raises(SetupTruncated, match=f"{len(data) - 1} bytes, {len(data)}"):
        files.find(Setup.SINGLE, 6)
    path.write_bytes(b"\x07" + data[1:])
    with pytest.raises(SetupFormatInvalid):
        check_size(path, 6)


def test_single_is_refused_off_development_networks():
    check_network(Setup.SINGLE, "local", is_development=True)
    check_network(Setup.CEREMONY, "main", is_development=False)
    with pytest.raises(SetupKindRefused, match="'main'"):
        check_network(Setup.SINGLE, "main", is_development=False)


def test_ceremony_file_is_taken_by_its_published_hash_only(tmp_path: Path):
    data = bytearray(PTAU.read_bytes())
    data[5_000] ^= 1
    changed = tmp_path / "changed.ptau"
    changed.write_bytes(data)
    with pytest.raises(SetupHashUnknown, match=hashlib.blake2b(data).hexdigest()):
        from_ptau(changed, K, tmp_path / "out")


def test_ceremony_file_with_other_powers_is_another_ceremonys(tmp_path: Path):
    data = bytearray(PTAU.read_bytes())
    data[12 + 44 + 12 + 200] ^= 1  # inside the section of powers
    changed = tmp_path / "changed.ptau"
    changed.write_bytes(data)
    with pytest.raises(SetupOtherCeremony, match="hermez"):
        from_ptau(changed, K, tmp_path / "out", files={hashlib.blake2b(data).hexdigest(): "hermez"})


def test_ceremony_file_too_small_says_what_is_needed(tmp_path: Path):
    with pytest.raises(SetupTooSmall, match=r"2\^8 rows, the circuit needs 2\^9"):
        from_ptau(PTAU, K + 1, tmp_path / "out")
    with pytest.raises(SetupMissing, match="CEREMONY"):
        SetupFiles(tmp_path).ceremony(K)


@pytest.fixture
def smallest(tmp_path: Path) -> Path:
    """A circuit of at most 2^8 rows, compiled: two inputs, one output, eight columns."""
    (tmp_path / "rows.json").write_text(json.dumps([[100 + at, 50 - at] for at in range(8)]))
    (tmp_path / "source.onnx").write_bytes(network((2, 1)).SerializeToString())
    folder = tmp_path / "smallest"
    wrapped = {"model": str(tmp_path / "source.onnx"), "hashed": False}
    launch("inspect", wrapped, folder, LIMITS, tools=tmp_path / "tools")
    values: dict[str, object] = {
        "model": str(folder / "model.onnx"),
        "rows": str(tmp_path / "rows.json"),
        "bits": 7,
        "hashed": False,
        "base": 64,
        "legs": 4,
        "columns": 8,
        "max_k": K,
    }
    found = launch("compile", values, folder, LIMITS, tools=tmp_path / "tools").values
    assert found["k"] <= K
    return folder


def prove(folder: Path, srs: Path, tmp_path: Path) -> None:
    """Set up, prove and verify one row."""
    values: dict[str, object] = {"compiled": str(folder / "circuit.compiled"), "srs": str(srs)}
    launch("setup", values, folder, LIMITS, tools=tmp_path / "tools")
    values |= {
        "key": str(folder / "proving.key"),
        "verifying_key": str(folder / "verifying.key"),
        "settings": str(folder / "settings.json"),
        "rows": str(tmp_path / "rows.json"),
        "take": [0],
    }
    launch("prove_rows", values, folder, LIMITS, tools=tmp_path / "tools")


def test_genuine_ceremony_file_proves_end_to_end(smallest: Path, tmp_path: Path):
    k = json.loads((smallest / "settings.json").read_text())["run_args"]["logrows"]
    setup = SetupFiles(tmp_path / "setup").import_ptau(PTAU, k)
    assert (setup.kind, setup.k, setup.warning) == (Setup.CEREMONY, k, "")
    prove(smallest, setup.path, tmp_path)


def test_lagrange_points_in_snarkjs_order_fail(smallest: Path, tmp_path: Path):
    k = json.loads((smallest / "settings.json").read_text())["run_args"]["logrows"]
    from_ptau(PTAU, k, tmp_path / "good.srs")
    data = (tmp_path / "good.srs").read_bytes()
    start, size = 4 + (G1_BYTES << k), G1_BYTES << k
    points = [data[start + at : start + at + G1_BYTES] for at in range(0, size, G1_BYTES)]
    unordered = [points[0], *reversed(points[1:])]
    (tmp_path / "bad.srs").write_bytes(data[:start] + b"".join(unordered) + data[start + size :])
    with pytest.raises(Exception, match="step prove_rows failed"):
        prove(smallest, tmp_path / "bad.srs", tmp_path)
