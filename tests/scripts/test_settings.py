"""One compiler for all: foundry.toml, ape-config.yaml, package.json and the parameters say the same."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from prsm_protocol.chain.parameters import local_parameters

ROOT = Path(__file__).resolve().parents[2]


def test_compiler_settings_agree_everywhere() -> None:
    foundry = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    ape = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["solidity"]
    params = local_parameters().file.compiler
    version = json.loads((ROOT / "package.json").read_text())["devDependencies"]["solc"]
    assert {version, ape["version"], params.solc, foundry["solc"].rsplit("-v", 1)[1]} == {version}
    assert foundry["evm_version"] == ape["evm_version"] == params.evm
    assert foundry["optimizer_runs"] == ape["optimization_runs"] == params.runs
    assert foundry["optimizer"] is ape["optimize"] is True
    assert foundry["via_ir"] is ape["via_ir"] is False


def test_ape_takes_the_contract_library_that_is_installed() -> None:
    (dependency,) = yaml.safe_load((ROOT / "ape-config.yaml").read_text())["dependencies"]
    installed = json.loads((ROOT / "node_modules" / "@openzeppelin" / "contracts" / "package.json").read_text())
    assert dependency["version"] == installed["version"]


def test_export_check_names_what_is_stale() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/export_abi.py", "--check", "FTNS"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
