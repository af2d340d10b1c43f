"""`ape run deploy` as a deployer types it, against a chain of the test's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prsm_protocol.chain import Deployment, abi
from prsm_protocol.chain.anvil import AnvilProcess, anvil_binary, start_anvil
from prsm_protocol.chain.connection import Connection

ROOT = Path(__file__).resolve().parents[2]
NETWORK = ("--network", "ethereum:local:foundry")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[AnvilProcess]:
    process = start_anvil(tmp_path / "chain", block_time=None)
    yield process
    process.stop()


def ape(tmp_path: Path, *arguments: str, host: str = "") -> subprocess.CompletedProcess[str]:
    """ape with its folders inside the test's, and a home folder that must stay empty."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    environment = os.environ | {
        "HOME": str(home),
        "APE_DATA_FOLDER": str(tmp_path / "ape"),
        "SOLCX_BINARY_PATH": str(ROOT / ".tools" / "solc"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(anvil_binary().parent), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "PRSM_STATE": str(tmp_path / "state"),
    }
    if host:
        environment["APE_FOUNDRY_HOST"] = host
    command = [str(Path(sys.executable).parent / "ape"), "run", "deploy", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_plan_apply_and_verify_work_one_after_the_other(tmp_path: Path, running: AnvilProcess) -> None:
    planned = ape(tmp_path, "plan", *NETWORK, "--account", "TEST::0", host=running.url)
    assert planned.returncode == 0, planned.stderr
    match = re.search(r"^plan ([0-9a-f]{64})$", planned.stdout, re.MULTILINE)
    assert match, planned.stdout
    assert Connection(running.url).block().number == 0

    registry = tmp_path / "registry.json"
    apply = ("apply", match.group(1), *NETWORK, "--account", "TEST::0", "--yes", "--registry", str(registry))
    applied = ape(tmp_path, *apply, host=running.url)
    assert applied.returncode == 0, applied.stderr
    assert set(Deployment.load(registry).contracts) == set(abi.CONTRACTS)

    verify = ("verify", *NETWORK, "--registry", str(registry))
    agreed = ape(tmp_path, *verify, host=running.url)
    assert (agreed.returncode, "agree" in agreed.stdout) == (0, True), agreed.stdout + agreed.stderr
    escrow = Deployment.load(registry).address("Escrow")
    Connection(running.url).rpc("anvil_setCode", escrow, "0x")
    differs = ape(tmp_path, *verify, host=running.url)
    assert differs.returncode == 1
    assert f"Escrow: no code at {escrow}" in differs.stdout
    assert list((tmp_path / "home").iterdir()) == []


def test_plan_starts_a_chain_of_its_own_where_none_is_named(tmp_path: Path) -> None:
    planned = ape(tmp_path, "plan", *NETWORK, "--account", "TEST::0")
    assert planned.returncode == 0, planned.stderr
    for name in abi.CONTRACTS:
        assert re.search(rf"^\s+\d+\s+{name}\s+0x", planned.stdout, re.MULTILINE), name
