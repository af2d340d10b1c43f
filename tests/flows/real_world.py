"""A whole local world behind the command line, as a person starts it: for stories and for faults.

One world serves every test of a session that asks for it: models take half a minute to make. What tests read of money they
read from the chain, never from what a command printed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from prsm_protocol.chain import Chain, Deployment, connect
from prsm_protocol.chain.client import Event
from prsm_protocol.chain.escrow import TaskStatus
from prsm_protocol.orchestration import samples
from prsm_protocol.rules.market.escrow import Assignment, JobStatus, JobTerms
from prsm_protocol.workflow import processes
from prsm_protocol.workflow.home import Home
from prsm_protocol.workflow.processes import Started
from prsm_protocol.workflow.world import NODES
from prsm_protocol.workflow.world import World as LocalWorld

PRSM = Path(sys.executable).with_name("prsm")
SAMPLE = "breast-cancer"
T = TypeVar("T")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code, its standard output and what it said on standard error."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def run(self) -> str:
        """The run's id, which `prsm ask` tells as soon as the run is kept."""
        return next(line.split()[1] for line in self.err.splitlines() if line.startswith("run "))


@dataclass(frozen=True)
class JobBook:
    """One job's money as the escrow's events and books have it. `balance` is what is wrong, to the wei."""

    job: bytes
    deposited: int
    paid: int
    refunded: int
    locked: int
    open_tasks: int
    tasks: dict[bytes, TaskStatus]

    @property
    def balance(self) -> int:
        return self.deposited - self.paid - self.refunded - self.locked


class Asking:
    """A running `prsm ask`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self._folder = folder

    def err(self) -> str:
        return (self._folder / "err").read_text()

    def run(self) -> str | None:
        lines = [line for line in self.err().splitlines() if line.startswith("run ")]
        return lines[0].split()[1] if lines else None

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def ended(self, timeout: float = 300) -> Ended:
        code = self.process.wait(timeout)
        return Ended(code, (self._folder / "out").read_text(), self.err())


class RealWorld:
    """A world in one state folder, driven through `prsm`."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.local = LocalWorld(state)

    # ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def environment(self) -> dict[str, str]:
        # A home folder of the world's own, so that a test can say what was written into it.
        return {**os.environ, "PRSM_STATE": str(self.state), "HOME": str(self.home_folder)}

    @property
    def home_folder(self) -> Path:
        folder = self.state.parent / f"{self.state.name}-home"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def prsm(self, *arguments: str, timeout: float = 300) -> Ended:
        done = subprocess.run(
            [str(PRSM), *arguments], env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    def ask(self, *arguments: str) -> Asking:
        """Start `prsm ask … --yes --json` and leave it running."""
        folder = Path(tempfile.mkdtemp(prefix="ask-", dir=self.state))
        with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
            process = subprocess.Popen(
                [str(PRSM), "ask", *arguments, "--yes", "--json"], env=self.environment(), stdout=out, stderr=err, text=True,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        return Asking(process, folder)

    def up(self) -> None:
        done = self.prsm("up", "--models", SAMPLE, "--json")
        assert done.code == 0, done.err

    def down(self) -> None:
        self.prsm("down", "--purge")
        shutil.rmtree(self.state, ignore_errors=True)

    # ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────

    def process(self, name: str) -> Started:
        return next(each for each in self.local.started() if each.name == name)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A process that answers nobody: stopped, not ended, so that connections hang."""
        started = self.process(name)
        os.kill(started.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(started.pid, signal.SIGCONT)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until the kernel has taken the process away."""
        started = self.process(name)
        os.kill(started.pid, signal.SIGKILL)
        until(lambda: not started.is_running() or reap(started.pid), 10, f"the end of {name}")

    def start_again(self, name: str) -> None:
        """The same command on the same home, as a service manager restarts it; `prsm down` will find it."""
        command = processes.module("oracles", "run", "--home", str(self.local.folder / name))
        environment = {"PRSM_STATE": str(self.state)}
        started = processes.start(name, command, self.local.logs, environment)
        others = [vars(each) for each in self.local.started() if each.name != name]
        (self.local.folder / "processes.json").write_text(json.dumps([*others, vars(started)]))
        processes.ready(started)

    # ── what the chain says ──────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def chain(self) -> Chain:
        network = self.local.network()
        return connect(network.rpc, Deployment.load(Path(network.deployment)))

    def home(self, person: str = "asker") -> Home:
        return self.local.home(person)

    def events(self, *names: str) -> list[Event]:
        return self.chain.escrow.events(self.chain.deployment.start_block, "latest", set(names))

    def jobs(self) -> list[bytes]:
        """Every job ever opened, oldest first."""
        return [_bytes(event.fields["job_id"]) for event in self.events("EscrowOpened")]

    def job_of(self, run: str) -> bytes:
        """A run's job: its salt is the run's id. Empty where nothing was locked."""
        for event in self.events("EscrowOpened"):
            terms = event.fields["terms"]
            assert isinstance(terms, JobTerms)
            if terms.salt == int(run, 16):
                return _bytes(event.fields["job_id"])
        return b""

    def book(self, job: bytes) -> JobBook:
        deposited = paid = refunded = 0
        prices: dict[bytes, int] = {}
        parts: dict[bytes, int] = {}
        for event in self.events("EscrowOpened", "EscrowToppedUp", "TaskAssigned", "TaskPaid", "EscrowClosed"):
            fields = event.fields
            if event.name == "TaskPaid":
                task = _bytes(fields["task_id"])
                assert task not in parts, "a task is paid once"
                parts[task] = sum(_int(fields[name]) for name in ("net", "fee", "royalty"))
            elif fields["job_id"] != job:
                continue
            elif event.name == "TaskAssigned":
                assignment = fields["assignment"]
                assert isinstance(assignment, Assignment)
                prices[_bytes(fields["task_id"])] = assignment.price
            elif event.name == "EscrowClosed":
                refunded += _int(fields["refunded"])
            else:
                deposited += _int(fields.get("budget", fields.get("amount")))
        for task, price in prices.items():
            if task in parts:
                assert parts[task] == price, "net, fee and royalty are the price"
                paid += price
        book = self.chain.escrow.job(job)
        statuses = {task: self.chain.escrow.task(task).status for task in prices}
        return JobBook(job, deposited, paid, refunded, book.free + book.reserved, book.open_tasks, statuses)

    def check_money(self, job: bytes) -> JobBook:
        """A job that ended: nothing locked, nothing open, deposited = paid + refunded to the wei."""
        book = self.book(job)
        assert self.chain.escrow.job(job).status is JobStatus.CLOSED, f"job {job.hex()} is open: {book}"
        assert (book.locked, book.open_tasks, book.balance) == (0, 0, 0), book
        return book

    def wealth(self, person: str = "asker") -> int:
        """Everything that an account owns here: wallet, free balance, and what locks hold for it."""
        from prsm_protocol.workflow.funds import funds

        home = self.home(person)
        found = funds(home.chain, home.address)
        return found.wallet + found.free + sum(lock.amount for lock in found.locks if lock.held_by != "Royalties")

    # ── what a node has done ─────────────────────────────────────────────────────────────────────────────────────────

    def node_work(self, node: str, job: bytes) -> dict[str, str]:
        """Task → how far the node is with it, from its store, opened for reading only. A sent delivery reads `deliver`."""
        path = self.local.folder / node / "node.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as database:
            rows = database.execute("SELECT task, quote, work FROM tasks").fetchall()
            sent = {
                task for (task,) in database.execute("SELECT task FROM intents WHERE kind = 'deliver' AND hash <> ''")
            }
        wanted = "0x" + job.hex()
        return {
            task: "deliver" if task in sent else work
            for task, quote, work in rows
            if json.loads(quote)["assignment"]["job_id"] == wanted
        }

    # ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def table(self, name: str, rows: int) -> Path:
        """The first held-out rows of the sample without labels, under a name of the test's own."""
        folder = self.state / "tables"
        path = folder / f"{name}.csv"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            cases, _ = samples.write_sample(SAMPLE, folder / "sample")
            path.write_text("\n".join(cases.read_text().splitlines()[: rows + 1]) + "\n")
        return path


def until(look: Callable[[], T], seconds: float, what: str, every: float = 0.05) -> T:
    """The first answer that is true; a wait that never ends is an error that says what it waited for."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        pause.wait(every)


def reap(pid: int) -> bool:
    """Take the remains of a child of ours; whoever is another's child is another's business."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


@cache
def shared_world() -> RealWorld:
    """The one world of this session; `stop_shared` ends it.

    `PRSM_TEST_WORLD` names the state folder of a world that is kept running while tests are written; it is left as it is.
    """
    kept = os.environ.get("PRSM_TEST_WORLD")
    if kept:
        return RealWorld(Path(kept))
    world = RealWorld(Path(tempfile.mkdtemp(prefix="prsm-flows-")))
    _shared.append(world)
    world.up()
    return world


def stop_shared() -> None:
    while _shared:
        _shared.pop().down()
    shared_world.cache_clear()


_shared: list[RealWorld] = []


def words(text: str, wanted: Sequence[str]) -> list[str]:
    """Which of these do not stand in the text."""
    return [word for word in wanted if word not in text]


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


__all__ = [
    "NODES",
    "PRSM",
    "SAMPLE",
    "Asking",
    "Ended",
    "JobBook",
    "RealWorld",
    "shared_world",
    "stop_shared",
    "until",
    "words",
]
