"""A run survives the death of its process: finished steps never run again, errors replay as they were."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path

import pytest

from prsm_protocol.errors import WorkflowError
from prsm_protocol.types import Cid, DeadlinePassed, RunId, Wei
from prsm_protocol.workflow.engine.serializer import (
    NotSerializable,
    StoredError,
    Table,
    UnknownRecord,
    ValueTooLarge,
)
from prsm_protocol.workflow.engine.store import HomeBusy, HomeLock, RunStore
from prsm_protocol.workflow.recovery.categories import Category, classify


class Colour(Enum):
    RED = 1


class Sad(WorkflowError):
    text = "{what} is sad; cheer it up"


@dataclass(frozen=True)
class Thing:
    name: str
    amount: Wei
    parts: tuple[bytes, ...]


@pytest.fixture
def table() -> Table:
    found = Table()
    found.register(Thing, Colour, Sad)
    return found


# ── what may be stored ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -5,
        10**30,
        "text",
        b"\x00\xff",
        Cid.of(b"x"),
        datetime(2026, 11, 24, tzinfo=UTC),
        timedelta(microseconds=7),
        Decimal("1.50"),
        Path("a/b"),
        Colour.RED,
        Thing("a", Wei(10**20), (b"1", b"2")),
        [1, (2, {"three": [None]})],
        {1: "number key", "$": "tag key"},
    ],
)
def test_table_returns_what_was_stored(table: Table, value: object) -> None:
    assert table.load(table.dump(value)) == value


def test_table_returns_errors_with_their_values(table: Table) -> None:
    back = table.load(table.dump(Sad(what="cat")))
    assert (type(back), str(back), back.what) == (Sad, "cat is sad; cheer it up", "cat")
    other = table.load(table.dump(KeyError("lost")))
    assert isinstance(other, StoredError)
    assert other.error_name == "KeyError"


def test_table_refuses_strangers_nan_and_large_values(table: Table) -> None:
    class Stranger:
        pass

    with pytest.raises(NotSerializable):
        table.dump(Stranger())
    with pytest.raises(ValueError, match="not JSON compliant"):
        table.dump(float("nan"))
    with pytest.raises(ValueTooLarge):
        table.dump("x" * 300_000)
    with pytest.raises(UnknownRecord, match="Missing"):
        table.load('{"$":"record","t":"Missing","v":{}}')
    with pytest.raises(ValueError, match="two records"):
        table.register(type("Thing", (), {}))


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

PROGRAM = """
import os, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from prsm_protocol.errors import WorkflowError
from prsm_protocol.types import Call, RunId, Waiting
from prsm_protocol.workflow.engine import DbosEngine, Definition
from prsm_protocol.workflow.engine.serializer import Table

class Refused(WorkflowError):
    text = "refused {number}"

folder, die_after = Path(sys.argv[1]), int(sys.argv[2])

def effect(name):
    def run():
        with (folder / "effects").open("a") as file:
            file.write(name + "\\n")
        return name
    return run

def work(run, arguments, steps):
    done = 0
    def passed():
        nonlocal done
        done += 1
        if done == die_after:
            os._exit(9)
    names = [steps.once("first", effect("first"))]
    passed()
    def branch(n):
        def inside():
            a = steps.once(f"branch {n}/a", effect(f"{n}a"))
            b = steps.once(f"branch {n}/b", effect(f"{n}b"))
            return [a, b]
        return inside
    for name, value in steps.as_done([Call(f"branch {n}", branch(n)) for n in range(3)], 2):
        names.append(sorted(value))
        passed()
    def fails():
        effect("fails")()
        raise Refused(number=7)
    try:
        steps.once("fails", fails)
    except Refused as error:
        names.append(error.number)
    passed()
    steps.wait(Waiting("nothing", datetime.now(UTC) + timedelta(seconds=5), "go on"), lambda: True)
    names.append(steps.once("last", effect("last")))
    passed()
    return sorted(map(str, names))

table = Table()
table.register(Refused)
engine = DbosEngine(folder, table)
engine.register(Definition("work", work))
engine.open()
engine.start("work", {"n": 1}, run=RunId("ab" * 16))
print(engine.result(RunId("ab" * 16)))
print(len(engine.history(RunId("ab" * 16))))
engine.close()
"""


def run_program(folder: Path, die_after: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder), str(die_after)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_every_finished_step_has_its_effect_once_wherever_the_process_dies(tmp_path: Path) -> None:
    whole = run_program(tmp_path / "whole", 0) if (tmp_path / "whole").mkdir() is None else None
    assert whole is not None
    assert whole.returncode == 0, whole.stderr
    for die_after in (1, 2, 3, 4, 5, 6):
        folder = tmp_path / str(die_after)
        folder.mkdir()
        assert run_program(folder, die_after).returncode == 9
        finished = {step.name for step in RunStore(folder / "runs.db").history(RunId("ab" * 16))}
        before = Counter((folder / "effects").read_text().split())
        again = run_program(folder, 0)
        assert again.returncode == 0, again.stderr
        assert again.stdout == whole.stdout
        after = Counter((folder / "effects").read_text().split())
        assert set(after) == {"first", "0a", "0b", "1a", "1b", "2a", "2b", "fails", "last"}
        for step in finished:
            name = step.removeprefix("branch ").replace("/", "")
            assert after[name] == before[name], f"finished step {step} ran again after dying at {die_after}"
        # Only a step that was cut off between its effect and its record may run twice, one a thread.
        assert sum(after.values()) - len(after) <= 2


def test_stored_values_hold_no_pickle(tmp_path: Path) -> None:
    run_program(tmp_path, 0)
    for path in tmp_path.glob("*.db*"):
        raw = path.read_bytes()
        assert b"gASV" not in raw, f"{path.name} holds a base64 pickle"
        assert b"\x80\x04\x95" not in raw, f"{path.name} holds a pickle"


def test_a_home_has_one_owner(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    with pytest.raises(HomeBusy) as caught:
        HomeLock(tmp_path)
    assert caught.value.exit_code == 7
    lock.release()
    HomeLock(tmp_path).release()


# ── categories ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (ConnectionResetError(), Category.TRANSIENT_NETWORK),
        (DeadlinePassed(for_what="x", deadline="now", then="stop"), Category.TIMEOUT_STALL),
        (MemoryError(), Category.RESOURCE_EXHAUSTED),
        (Sad(what="x"), Category.INPUT_OR_CODE),
        (KeyError("x"), Category.INPUT_OR_CODE),
        (type("EscrowBudgetTooLow", (WorkflowError,), {"text": "x"})(), Category.ECONOMIC),
        (type("ReceiptInvalid", (WorkflowError,), {"text": "x"})(), Category.SECURITY_POLICY),
        (type("BlockMismatch", (WorkflowError,), {"text": "x"})(), Category.DATA_INTEGRITY),
        (type("UnknownRecord", (WorkflowError,), {"text": "x"})(), Category.VERSION_MISMATCH),
        (type("ProverUnreachable", (WorkflowError,), {"text": "x"})(), Category.DEPENDENCY_DOWN),
    ],
)
def test_classify_is_total(error: BaseException, category: Category) -> None:
    assert classify(error) is category
