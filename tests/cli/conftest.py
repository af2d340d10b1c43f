"""The program as a person types it, in a state folder where nothing runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def prsm(state: Path, tmp_path: Path) -> Run:
    """Run `prsm` as a process of its own: exit code, both outputs, no terminal."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PRSM_")}
        root = Path(__file__).resolve().parents[2]
        return subprocess.run(
            [sys.executable, "-c", "from prsm_protocol.cli import main; main()", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            env=environment | {"PRSM_STATE": str(state), "PYTHONPATH": str(root)},
        )

    return run
