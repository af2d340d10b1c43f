"""How every command ends: exit codes, one sentence or one JSON object, and a start that loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from prsm_protocol import __version__
from prsm_protocol.cli.common import Ended, clean, register, reporting
from prsm_protocol.workflow.network import NoWorldRunning
from tests.cli.conftest import Run

HEAVY = {
    "torch",
    "transformers",
    "ezkl",
    "xllamacpp",
    "ape",
    "sklearn",
    "onnx",
    "onnxruntime",
    "web3",
    "dbos",
    "oracles",
    "provers",
}

NEEDING_A_WORLD = [
    ("funds",),
    ("claim", "--all"),
    ("why-paid", "0x" + "11" * 32),
    ("runs", "ls"),
    ("models", "list"),
    ("vault", "show"),
    ("vault", "deposit", "1"),
    ("vault", "withdraw", "1"),
    ("vault", "exit", "1"),
    ("channel", "show"),
    ("channel", "top-up", "channel-00", "1"),
    ("channel", "close", "channel-00"),
    ("channel", "withdraw", "channel-00"),
    ("ledger", "show"),
    ("ledger", "receipt", "channel-00", "1"),
    ("trace", "list"),
    ("trace", "show", "00"),
    ("trace", "export", "00"),
    ("trace", "delete", "00", "--yes"),
    ("get", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"),
    ("circuit", "list"),
    ("circuit", "show", "name"),
    ("circuit", "check", "name"),
    ("circuit", "announce", "name"),
    ("ask", "How many cells divide?", "--budget", "1"),
    ("ask", "--resume", "00" * 16),
]


def invoke(*arguments: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """In this process, which is faster: for cases that end before anything is loaded or opened."""
    from prsm_protocol.settings import settings

    monkeypatch.setenv("PRSM_STATE", str(state))
    settings.cache_clear()
    try:
        done = CliRunner().invoke(register(), list(arguments))
    finally:
        settings.cache_clear()
    return done.exit_code, done.stdout, done.stderr


# ── beginnings ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_version_is_printed(prsm: Run) -> None:
    done = prsm("--version")
    assert (done.returncode, done.stdout) == (0, f"prsm {__version__}\n")


def test_help_loads_nothing_heavy(prsm: Run) -> None:
    script = (
        "import sys\nsys.argv = ['prsm', '--help']\nfrom prsm_protocol.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
        "print('CODE', code)\nprint('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)
    *_, code, loaded = done.stdout.splitlines()
    assert code == "CODE 0"
    assert "prsm_protocol" in loaded.split()
    assert HEAVY & set(loaded.split()) == set()


# ── wrong words ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "arguments", [("--nonsense",), ("funds", "--nonsense"), ("nonsense",), ("vault", "nonsense"), ("get",)]
)
def test_unknown_words_are_wrong_usage(
    arguments: tuple[str, ...], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke(*arguments, state=state, monkeypatch=monkeypatch)[0] == 2


@pytest.mark.parametrize("arguments", NEEDING_A_WORLD, ids=" ".join)
def test_command_is_told_that_no_world_runs(
    arguments: tuple[str, ...], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, stdout, _ = invoke(*arguments, "--json", state=state, monkeypatch=monkeypatch)
    told = json.loads(stdout)
    assert (code, told["type"], told["exit"]) == (6, "NoWorldRunning", 6)
    assert "prsm up" in told["detail"]
    assert not (state / "homes").exists(), "nothing is made by asking"


def test_down_has_nothing_to_end_where_nothing_runs(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, stdout, _ = invoke("down", "--json", state=state, monkeypatch=monkeypatch)
    assert (code, json.loads(stdout)) == (0, {"ended": [], "purged": False})


# ── how errors end ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_expected_error_is_one_sentence_on_standard_error(prsm: Run, state: Path) -> None:
    done = prsm("funds")
    assert done.returncode == 6
    assert done.stdout == ""
    assert done.stderr == f"NoWorldRunning: no local world runs in {state / 'world'}; start one with: prsm up\n"


def test_reporting_turns_an_error_into_one_object_with_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reporting(True):
        raise NoWorldRunning(state="here")
    assert ended.value.exit_code == 6
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "here"


def test_reporting_lets_what_is_not_expected_through() -> None:
    with pytest.raises(ZeroDivisionError), reporting(False):
        raise ZeroDivisionError


def test_reporting_ends_with_the_code_a_command_chose() -> None:
    with pytest.raises(typer.Exit) as ended, reporting(False):
        raise Ended(4)
    assert ended.value.exit_code == 4


def test_clean_takes_out_what_a_terminal_would_obey() -> None:
    assert clean("a\x1b[31mb\u202ec\u2066d\x07\te\n") == "a[31mbcd\te\n"
