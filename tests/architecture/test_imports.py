"""Imports point one way: `.importlinter` says how, for the package, its services and its scripts; contracts likewise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.architecture.files import ROOT, tracked

SHARED = {"base/Governed.sol", "safety/Haltable.sol", "oracle/Tiers.sol"}
"""Mixins that several domains inherit, and the one file of enumerations that they all speak."""


SOLIDITY = [path for path in tracked() if path.parts[0] == "contracts" and path.suffix == ".sol"]


def lint(*options: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache", *options], cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_import_of_package_services_and_scripts_points_the_right_way() -> None:
    done = lint()
    assert done.returncode == 0, done.stdout[done.stdout.find("Contracts:") :]
    assert "0 broken" in done.stdout


def test_a_layer_turned_round_is_found(tmp_path: Path) -> None:
    """The configuration really judges: with two layers exchanged, the same files break it."""
    turned = (ROOT / ".importlinter").read_text().replace("    workflow\n    orch", "    orch", 1)
    turned = turned.replace("    rules | trace\n", "    rules | trace\n    workflow\n", 1)
    path = tmp_path / "importlinter"
    path.write_text(turned)
    done = lint("--config", str(path))
    assert done.returncode != 0
    assert "prsm_protocol.workflow is not allowed to import prsm_protocol" in done.stdout


def test_layers_are_those_of_the_package() -> None:
    parser = ConfigParser()
    parser.read(ROOT / ".importlinter")
    named = set(re.findall(r"\w+", parser["importlinter:contract:layers"]["layers"]))
    modules = [path for path in tracked() if path.parts[0] == "prsm_protocol" and path.suffix == ".py"]
    assert named == {path.parts[1].removesuffix(".py") for path in modules} - {"__init__"}


def test_verifier_of_strangers_runs_on_the_standard_library_alone() -> None:
    """It asks for one package more where that is installed, for speed; in an interpreter that refuses it, it still starts."""
    script = ROOT / "prsm_protocol/trace/verify.py"
    names = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0] if not node.level else "relative")
    assert names - sys.stdlib_module_names <= {"cryptography"}
    start = (
        "import runpy, sys; sys.modules['cryptography'] = None;"
        f"sys.argv = ['verify.py', '--help']; runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-I", "-c", start], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", SOLIDITY, ids=str)
def test_contract_knows_other_domains_by_interface_only(path: Path) -> None:
    text = (ROOT / path).read_text()
    for found in re.findall(r'from "(\.[^"]+)"', text):
        target = (ROOT / path.parent / found).resolve().relative_to(ROOT / "contracts")
        own = target.parts[0] == path.parts[1]
        assert own or str(target) in SHARED or re.match("I[A-Z]", target.name), f"{path} imports {target}"
