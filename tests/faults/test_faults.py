"""Things die, things are away, people mistype: each time one clear sentence, a documented exit code, and no FTNS is lost.

1. A question killed at any moment goes on with `--resume` and pays once.
2. An operator's node killed in the middle of its work.
3. The chain or the tangle silent for a while.
4. Bad input, refused before a coin moves.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from prsm_protocol.chain.escrow import TaskStatus
from tests.faults.kill_operator import STATES, State, one_run
from tests.flows.real_world import PRSM, Asking, Ended, RealWorld, until, words

QUESTION = "Which of these cases are malignant?"
ROWS = 2


def ask(world: RealWorld, name: str) -> Asking:
    return world.ask(QUESTION, "--data", str(world.table(name, ROWS)), "--task", "predict", "--budget", "5")


def statuses(world: RealWorld, run: str) -> list[TaskStatus]:
    job = world.job_of(run)
    return list(world.book(job).tasks.values()) if job else []


def check_answer(world: RealWorld, ended: Ended, run: str, before: int) -> None:
    """Answered, every row paid once, and the asker poorer by exactly that."""
    assert ended.code == 0, ended.err
    answer = ended.json()
    assert (answer["run"], answer["state"], answer["tier"]) == (run, "answered", "proved")
    book = world.check_money(world.job_of(run))
    assert list(book.tasks.values()) == [TaskStatus.PAID] * ROWS
    assert (int(answer["spent"]), int(answer["refunded"])) == (book.paid, book.refunded)
    assert before - world.wealth() == book.paid
    assert len(world.jobs()) == len(set(world.jobs()))


# ── 1. the asker's process dies ──────────────────────────────────────────────────────────────────────────────────────

MOMENTS: dict[str, Callable[[RealWorld, str], bool]] = {
    "when the budget is locked": lambda world, run: bool(world.job_of(run)),
    "when the tasks are assigned": lambda world, run: len(statuses(world, run)) == ROWS,
    "when one row is paid": lambda world, run: TaskStatus.PAID in statuses(world, run),
}


def test_question_killed_again_and_again_pays_once_and_is_answered(world: RealWorld) -> None:
    before = world.wealth()
    asking = ask(world, "killed-asker")
    run = until(asking.run, 60, "the run's id")
    for moment, has_come in MOMENTS.items():

        def look(has_come: Callable[[RealWorld, str], bool] = has_come, now: Asking = asking) -> bool:
            return has_come(world, run) or now.process.poll() is not None

        until(look, 90, moment)
        assert asking.process.poll() is None, f"ended before it could be killed {moment}: {asking.err()}"
        asking.kill()
        asking = world.ask("--resume", run)
    check_answer(world, asking.ended(), run, before)
    # The same run again is the same answer, and costs nothing.
    check_answer(world, world.prsm("ask", "--resume", run, "--json"), run, before)
    bundle = world.state / "homes" / "asker" / "runs" / f"run-{run}.car"
    checked = world.prsm("verify", str(bundle), "--rpc", world.local.network().rpc)
    assert checked.code == 0, checked.out


def test_second_question_of_a_home_is_refused_while_one_runs(world: RealWorld) -> None:
    lock = world.state / "homes" / "linear-owner" / "lock"
    with lock.open("a+") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        person = world.home("linear-owner")
        code = (
            "from prsm_protocol.workflow.world import World\n"
            "from prsm_protocol.workflow.runtime import opened\n"
            "from prsm_protocol.errors import PrsmError\n"
            "try:\n"
            "    with opened(World().home('linear-owner')): pass\n"
            "except PrsmError as error:\n"
            "    print(error); raise SystemExit(error.exit_code)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=world.environment(), capture_output=True, text=True, check=False
        )
    assert done.returncode == 7, done.stderr
    assert str(person.folder) in done.stdout
    assert "wait for it" in done.stdout


# ── 2. an operator's node dies ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "state", "seconds_down"), [(0, STATES[5], 8.0), (1, STATES[8], 1.0)], ids=lambda value: str(value)[:30]
)
def test_killed_node_loses_nothing(world: RealWorld, number: int, state: State, seconds_down: float) -> None:
    """Away for long the other node does its rows, for a moment it does them itself; `kill_operator.py` leaves it dead."""
    outcome = one_run(world, number, state, seconds_down)
    assert outcome.lost == ""
    assert outcome.answered, outcome
    assert outcome.deposited == outcome.paid + outcome.refunded > 0


# ── 3. somebody is away ──────────────────────────────────────────────────────────────────────────────────────────────

AWAY_SECONDS = 8


@pytest.mark.parametrize("part", ["chain", "tangle"])
def test_silent_part_is_waited_for_and_nothing_is_lost(world: RealWorld, part: str) -> None:
    before = world.wealth()
    asking = ask(world, f"silent-{part}")
    run = until(asking.run, 60, "the run's id")
    until(lambda: len(statuses(world, run)) == ROWS, 60, "the assignment")
    with world.frozen(part):
        threading.Event().wait(AWAY_SECONDS)
        assert asking.process.poll() is None, asking.err()
    check_answer(world, asking.ended(), run, before)


def test_command_says_that_the_chain_is_away(world: RealWorld, tmp_path: Path) -> None:
    """A copy of the world's address book that names a dead endpoint: nobody answers there."""
    for folder in ("world", "homes"):
        (tmp_path / folder).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    network = json.loads(world.local.network_file.read_text())
    (tmp_path / "world" / "network.json").write_text(json.dumps({**network, "rpc": f"http://127.0.0.1:{port}"}))
    (tmp_path / "homes" / "asker").symlink_to(world.state / "homes" / "asker")
    done = RealWorld(tmp_path).prsm("ask", QUESTION, "--data", str(world.table("away", ROWS)), "--yes", "--json")
    assert done.code == 6, done.err
    assert done.json()["type"] == "EndpointUnreachable"
    assert not words(done.err, [f"127.0.0.1:{port}", "prsm up"])


# ── 4. bad input ─────────────────────────────────────────────────────────────────────────────────────────────────────


def columns_cut(lines: list[str]) -> str:
    return "\n".join(",".join(line.split(",")[:5]) for line in lines)


TABLES: dict[str, tuple[Callable[[list[str]], str], int, list[str]]] = {
    "few_columns": (columns_cut, 1, ["'mean compactness'", "breast-cancer", "rename or add"]),
    "header_alone": (lambda lines: lines[0], 1, ["column names but no row", "give a CSV table"]),
    "nothing": (lambda lines: "", 1, ["the file is empty", "give a CSV table"]),
    "short_line": (lambda lines: lines[0] + "\n" + lines[1].rsplit(",", 1)[0], 1, ["line 2 has 29 cells", "30"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_that_does_not_fit_is_refused_and_named(world: RealWorld, tmp_path: Path, name: str) -> None:
    make, code, said = TABLES[name]
    path = tmp_path / f"{name}.csv"
    path.write_text(make(world.table("whole", ROWS).read_text().splitlines()))
    refused(world, ["--data", str(path)], code, [f"{name}.csv", *said])


def test_file_that_cannot_be_read_is_refused_and_named(world: RealWorld, tmp_path: Path) -> None:
    refused(world, ["--data", str(tmp_path / "missing.csv")], 1, ["missing.csv", "no such file", "give a CSV table"])
    refused(world, ["--data", str(tmp_path)], 1, [tmp_path.name, "directory", "give a CSV table"])


def test_option_that_cannot_be_is_refused_with_what_can(world: RealWorld) -> None:
    data = ["--data", str(world.table("whole", ROWS))]
    refused(world, [*data, "--budget", "0.001"], 1, ["0.001", "cheapest quote of 0.1 FTNS", "--budget 0.1", "--local"])
    refused(world, [*data, "--budget", "many"], 2, ["'many'", "write for example 5"])
    refused(world, [*data, "--task", "divine"], 2, ["'divine'", "predict, compare, explain"])
    refused(world, [*data, "--deadline", "1"], 1, ["1 s", "--deadline"])
    refused(world, ["--resume", "deadbeef"], 1, ["deadbeef", "prsm runs ls"])


def refused(world: RealWorld, arguments: list[str], code: int, said: list[str]) -> None:
    """One sentence on standard error, the same in JSON, the exit code, and nothing locked."""
    before = (world.jobs(), world.chain.vault.free_of(world.home().address))
    question = [] if "--resume" in arguments else [QUESTION]
    done = world.prsm("ask", *question, *arguments, "--yes", "--json")
    assert done.code == code, done.err
    assert not words(done.json()["detail"], said), done.out
    assert not words(" ".join(done.err.split()), said), done.err
    assert (world.jobs(), world.chain.vault.free_of(world.home().address)) == before


def test_row_without_a_number_is_skipped_named_and_not_paid(world: RealWorld, tmp_path: Path) -> None:
    lines = world.table("whole", ROWS).read_text().splitlines()
    path = tmp_path / "nan.csv"
    path.write_text("\n".join([lines[0], "NaN" + lines[1][lines[1].index(",") :], lines[2]]))
    before = world.wealth()
    done = world.prsm("ask", QUESTION, "--data", str(path), "--task", "predict", "--yes", "--json")
    assert done.code == 0, done.err
    answer = done.json()
    assert "1 of 2 rows were skipped: row 1 (no number in 'mean radius')" in answer["answer"]
    book = world.check_money(world.job_of(answer["run"]))
    assert list(book.tasks.values()) == [TaskStatus.PAID]
    assert before - world.wealth() == book.paid


def test_model_too_large_to_be_proved_is_refused_with_the_estimate(world: RealWorld, tmp_path: Path) -> None:
    wide = 1400  # two million weights: 2^22 rows of a circuit
    numbers = np.random.default_rng(1)

    def tensor(name: str, shape: tuple[int, ...]) -> onnx.TensorProto:
        return numpy_helper.from_array(numbers.normal(0, 0.05, shape).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["a"], transB=1),
            helper.make_node("Relu", ["a"], ["c"]),
            helper.make_node("Gemm", ["c", "w2", "b2"], ["d"], transB=1),
            helper.make_node("Relu", ["d"], ["e"]),
            helper.make_node("Gemm", ["e", "w3", "b3"], ["y"], transB=1),
        ],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 30])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [
            tensor("w1", (wide, 30)), tensor("b1", (wide,)), tensor("w2", (wide, wide)), tensor("b2", (wide,)),
            tensor("w3", (1, wide)), tensor("b3", (1,)),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "wide.onnx"
    onnx.save(model, path)
    before = world.wealth()
    done = world.prsm("circuit", "build", str(path), "--rows", str(world.table("whole", ROWS)), "--name", "wide")
    assert done.code == 1, done.err
    assert not words(
        " ".join(done.err.split()), ["CircuitTooLarge", "2^22", "bytes of", " s of ", "take a smaller student"]
    )
    assert world.wealth() == before


# ── 5. worlds ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_question_without_a_world_says_how_to_start_one(tmp_path: Path) -> None:
    done = RealWorld(tmp_path).prsm("ask", "--sample", "wine", "--yes", "--json")
    assert done.code == 6, done.err
    assert done.json()["type"] == "NoWorldRunning"
    assert not words(done.err, [tmp_path.name, "prsm up"])


def test_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"chain": port, "ledger": 0, "prover": 0, "gateway": 0, "nodes": [0, 0]}
        (tmp_path / "world" / "ports.json").write_text(json.dumps(ports))
        done = RealWorld(tmp_path).prsm("up", "--json")
    assert done.code == 1, done.err
    assert done.json()["type"] == "PortTaken"
    assert not words(" ".join(done.err.split()), [str(port), "of chain", "prsm down --purge"])


def test_second_up_at_the_same_moment_is_told_to_wait(tmp_path: Path) -> None:
    with (tmp_path / "world.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = subprocess.run(
            [str(PRSM), "up", "--json"], env={**os.environ, "PRSM_STATE": str(tmp_path)}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert json.loads(done.stdout)["type"] == "WorldBusy"
    assert "wait for it" in " ".join(done.stderr.split())
