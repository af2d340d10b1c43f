"""The home's own tables: finished steps by name, what a run waits for, its progress. One owner at a time, by an OS lock."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

from prsm_protocol.errors import WorkflowError
from prsm_protocol.types import RunId, Waiting
from prsm_protocol.workflow.engine.port import StepRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS steps (
    run TEXT NOT NULL, name TEXT NOT NULL, value TEXT, error TEXT, at REAL NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (run, name)
);
CREATE TABLE IF NOT EXISTS waiting (run TEXT PRIMARY KEY, for_what TEXT NOT NULL, deadline REAL NOT NULL, then_what TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS undos (
    run TEXT NOT NULL, step TEXT NOT NULL, undo TEXT NOT NULL, arguments TEXT NOT NULL, state TEXT NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (run, step)
);
"""


class HomeBusy(WorkflowError):
    exit_code = 7
    text = "home {path} is in use by process {pid}; wait for it, or stop it and run `prsm runs ls` again"


class HomeLock:
    """One process owns a home; the kernel lets go when it dies."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / "lock", "a+")  # noqa: SIM115 (held as long as the home is owned)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            pid = self._file.read().strip() or "unknown"
            self._file.close()
            raise HomeBusy(path=folder, pid=pid) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()


class RunStore:
    """Rows of one home. FULL sync: a requester's home holds vouchers and money."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        with self.connection() as connection:
            connection.executescript(_SCHEMA)

    def connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level="IMMEDIATE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
        return connection

    def step(self, run: RunId, name: str) -> tuple[str | None, str | None] | None:
        """(value, error) of a finished step, or None."""
        row = (
            self.connection()
            .execute("SELECT value, error FROM steps WHERE run = ? AND name = ?", (run, name))
            .fetchone()
        )
        return None if row is None else (row[0], row[1])

    def finish_step(self, run: RunId, name: str, value: str | None, error: str | None, seconds: float) -> None:
        with self.connection() as connection:
            connection.execute(
                "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)",
                (run, name, value, error, datetime.now(UTC).timestamp(), seconds),
            )

    def history(self, run: RunId) -> list[StepRecord]:
        rows = (
            self.connection()
            .execute("SELECT name, at, seconds, error FROM steps WHERE run = ? ORDER BY at, name", (run,))
            .fetchall()
        )
        return [StepRecord(str(n), datetime.fromtimestamp(at, UTC), s, e) for n, at, s, e in rows]

    def set_waiting(self, run: RunId, waiting: Waiting | None) -> None:
        with self.connection() as connection:
            if waiting is None:
                connection.execute("DELETE FROM waiting WHERE run = ?", (run,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?)",
                    (run, waiting.for_what, waiting.deadline.timestamp(), waiting.then),
                )

    def waiting(self, run: RunId) -> Waiting | None:
        row = (
            self.connection()
            .execute("SELECT for_what, deadline, then_what FROM waiting WHERE run = ?", (run,))
            .fetchone()
        )
        return None if row is None else Waiting(row[0], datetime.fromtimestamp(row[1], UTC), row[2])
