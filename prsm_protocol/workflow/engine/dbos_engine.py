"""The engine over DBOS Transact 3.4 on SQLite: which runs exist, how each ended, and who goes on after a crash.

DBOS's own limits are built around: its serializer would pickle (ours is handed in), one process holds one instance, and the
executor id is the home's, so a restart recovers its own runs.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from dbos import DBOS, DBOSConfig, SetWorkflowID
from sqlalchemy import event

from prsm_protocol.errors import PrsmError, WorkflowError
from prsm_protocol.types import RunId
from prsm_protocol.workflow.engine.port import Arguments, Definition, RunState, StepRecord, Watch
from prsm_protocol.workflow.engine.serializer import CanonicalSerializer, StoredError, Table
from prsm_protocol.workflow.engine.steps import DurableSteps
from prsm_protocol.workflow.engine.store import HomeLock, RunStore

GENERATION = "runs-1"
"""Raised by hand when the order or the names of a definition's steps change; never a hash of source."""


class RunIdTaken(WorkflowError):
    text = "run {run} exists with other arguments; start a new run"


class RunUnknown(WorkflowError):
    text = "no run {run} in this home; `prsm runs ls` lists them"


class DbosEngine:
    """One per process and home; `open()` before use, `close()` at the end."""

    def __init__(self, folder: Path, table: Table, watch: Watch | None = None) -> None:
        self._folder = folder
        self._table = table
        self.watch = watch or Watch()
        self._definitions: dict[str, Definition] = {}
        self._lock: HomeLock | None = None
        self._cancelled: set[RunId] = set()
        self._workflow: Callable[[str, str, str], str] | None = None

    def register(self, definition: Definition) -> None:
        self._definitions[definition.name] = definition

    def open(self) -> list[RunId]:
        self._lock = HomeLock(self._folder)
        self.store = RunStore(self._folder / "runs.db")
        for name in ("dbos", "sqlalchemy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        config: DBOSConfig = {
            "name": "prsm",
            "system_database_url": f"sqlite:///{self._folder / 'dbos.db'}",
            "application_version": GENERATION,
            "executor_id": "home",
            "serializer": CanonicalSerializer(self._table),
            "notification_listener_polling_interval_sec": 0.05,
            "log_level": "CRITICAL",
        }
        DBOS(config=config)

        def run_body(definition: str, run: str, arguments: str) -> str:
            return self._body(definition, run, arguments)

        self._workflow = DBOS.workflow(name="run")(run_body)
        DBOS.launch()
        _tune(DBOS)
        return [run.run for run in self.runs() if run.state == "PENDING"]

    def _body(self, definition: str, run: str, arguments: str) -> str:
        work = self._definitions[definition].work
        run_id = RunId(run)
        steps = DurableSteps(run_id, self.store, self._table, self.watch, lambda: self._is_cancelled(run_id))
        try:
            return self._table.dump(work(run_id, cast("Arguments", self._table.load(arguments)), steps))
        except PrsmError:
            raise
        except Exception as error:
            # Not one of ours: the run keeps its name, the home keeps where it happened.
            with (self._folder / "errors.log").open("a") as log:
                log.write(f"run {run}\n{traceback.format_exc()}\n")
            raise StoredError(error_name=type(error).__name__, message=str(error)[:2000]) from error

    def start(self, definition: str, arguments: Arguments, *, run: RunId) -> RunId:
        assert self._workflow is not None, "open() first"
        text = self._table.dump(dict(arguments))
        known = DBOS.get_workflow_status(run)
        if known is not None:
            stored = known.input["args"] if known.input else ()
            if tuple(stored) != (definition, run, text):
                raise RunIdTaken(run=run)
            return run
        with SetWorkflowID(run):
            DBOS.start_workflow(self._workflow, definition, run, text)
        return run

    def _is_cancelled(self, run: RunId) -> bool:
        return run in self._cancelled

    def cancel(self, run: RunId) -> None:
        """Ask the run to stop: its next step raises `RunCancelled`, its definition pays back what is locked and ends."""
        self.status(run)
        self._cancelled.add(run)

    def status(self, run: RunId) -> RunState:
        status = DBOS.get_workflow_status(run)
        if status is None:
            raise RunUnknown(run=run)
        stored = status.input["args"] if status.input else ("?",)
        return RunState(
            run=run,
            definition=str(stored[0]),
            state=str(status.status),
            started_at=datetime.fromtimestamp((status.created_at or 0) / 1000, UTC),
            result=self._table.load(status.output) if status.output else None,
            error=status.error,
            waiting=self.store.waiting(run),
        )

    def result(self, run: RunId, timeout: timedelta | None = None) -> object:
        """Ends when the run ends; its error is raised as it was."""
        deadline = None if timeout is None else datetime.now(UTC) + timeout
        pause = threading.Event()
        while True:
            state = self.status(run)
            if state.state == "SUCCESS":
                return state.result
            if state.state in ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
                raise state.error or StoredError(error_name=state.state, message="the run ended without an answer")
            if state.state == "CANCELLED":
                raise StoredError(error_name="RunCancelled", message=f"run {run} was cancelled")
            if deadline is not None and datetime.now(UTC) > deadline:
                raise TimeoutError(f"run {run} is still {state.state}")
            pause.wait(0.05)

    def history(self, run: RunId) -> list[StepRecord]:
        return self.store.history(run)

    def runs(self) -> list[RunState]:
        return [self.status(RunId(status.workflow_id)) for status in DBOS.list_workflows(name="run")]

    def close(self, drain: timedelta = timedelta(0)) -> None:
        """Let go of the home; what is unfinished goes on at the next `open()`."""
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=int(drain.total_seconds()))
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _tune(instance: type[DBOS]) -> None:
    """WAL and FULL sync on every connection of DBOS's own database: its defaults neither share nor sync enough."""
    from dbos._dbos import _get_dbos_instance

    engine = _get_dbos_instance()._sys_db.engine

    def settings(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    event.listen(engine, "connect", settings)
    engine.dispose()
