"""The jobs of a home: one SQLite table, which is also the queue.

Every change of state is one synced commit, made after the files it speaks of were synced; so whatever is killed whenever,
the table never claims a file that is not there.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import cast

from provers.errors import JobOther, JobUnknown

ENDED = ("DONE", "UNPROVABLE", "FAILED", "CANCELLED", "EXPIRED")
KEPT_SECONDS = 7 * 24 * 3600

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, client TEXT NOT NULL, key TEXT NOT NULL, request_digest TEXT NOT NULL,
    circuit TEXT NOT NULL, context TEXT NOT NULL, request TEXT NOT NULL, state TEXT NOT NULL, step TEXT NOT NULL,
    done INTEGER NOT NULL, total INTEGER NOT NULL, attempt INTEGER NOT NULL, failures INTEGER NOT NULL,
    deadline REAL NOT NULL, created REAL NOT NULL, started REAL, ended REAL, worker INTEGER, worker_started INTEGER,
    seconds REAL, peak_bytes INTEGER, digests TEXT NOT NULL, result_digest TEXT, error_kind TEXT, error_values TEXT,
    UNIQUE (client, key)
) STRICT;
CREATE INDEX IF NOT EXISTS job_waiting ON job (kind, state, deadline, created);
CREATE TABLE IF NOT EXISTS aside (manifest TEXT PRIMARY KEY, reason TEXT NOT NULL, at REAL NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Job:
    id: str
    kind: str  # prove or build
    client: str
    key: str
    request_digest: str
    circuit: str  # manifest of a proof's circuit, name of a build's
    context: str
    request: dict[str, object]  # never an input: those lie in files of their own
    state: str
    step: str
    done: int
    total: int
    attempt: int
    failures: int
    deadline: float
    created: float
    started: float | None
    ended: float | None
    worker: int | None
    worker_started: int | None
    seconds: float | None
    peak_bytes: int | None
    digests: dict[str, str]
    result_digest: str | None
    error_kind: str | None
    error_values: dict[str, object] | None

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED


class JobStore:
    """One writer, one connection: SQLite with a write-ahead log, synced at every commit."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_SCHEMA)

    def add(
        self,
        *,
        kind: str,
        client: str,
        key: str,
        request_digest: str,
        circuit: str,
        context: str,
        request: dict[str, object],
        deadline: float,
        total: int,
        identity: str | None = None,
    ) -> tuple[Job, bool]:
        """A new job, or the one that this key named before (J2). The same key with another request is refused."""
        with self._writing() as connection:
            row = connection.execute("SELECT * FROM job WHERE client = ? AND key = ?", (client, key)).fetchone()
            if row is not None:
                job = _job(row)
                if job.request_digest != request_digest:
                    raise JobOther(key=key)
                return job, False
            fresh = identity or new_id()
            connection.execute(
                "INSERT INTO job (id, kind, client, key, request_digest, circuit, context, request, state, step, done,"
                " total, attempt, failures, deadline, created, digests)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'QUEUED', '', 0, ?, 1, 0, ?, ?, '{}')",
                (
                    fresh,
                    kind,
                    client,
                    key,
                    request_digest,
                    circuit,
                    context,
                    json.dumps(request),
                    total,
                    deadline,
                    time.time(),
                ),
            )
            row = connection.execute("SELECT * FROM job WHERE id = ?", (fresh,)).fetchone()
        return _job(row), True

    def get(self, identity: str) -> Job:
        with self._lock:
            row = self._connection.execute("SELECT * FROM job WHERE id = ?", (identity,)).fetchone()
        if row is None:
            raise JobUnknown(id=identity)
        return _job(row)

    def by_key(self, client: str, key: str) -> Job | None:
        with self._lock:
            row = self._connection.execute("SELECT * FROM job WHERE client = ? AND key = ?", (client, key)).fetchone()
        return None if row is None else _job(row)

    def update(self, identity: str, **values: object) -> None:
        """Set columns of a job in one commit."""
        written = {
            name: json.dumps(value) if name in ("digests", "error_values") and value is not None else value
            for name, value in values.items()
        }
        columns = ", ".join(f"{name} = ?" for name in written)
        with self._writing() as connection:
            connection.execute(f"UPDATE job SET {columns} WHERE id = ?", (*written.values(), identity))

    def take(self, kind: str) -> Job | None:
        """The waiting job with the earliest deadline, marked as begun so that no other thread takes it."""
        with self._writing() as connection:
            row = connection.execute(
                "SELECT * FROM job WHERE kind = ? AND state = 'QUEUED' ORDER BY deadline, created LIMIT 1", (kind,)
            ).fetchone()
            if row is None:
                return None
            job = _job(row)
            first = "WITNESS" if kind == "prove" else "BUILD"
            state = job.step if kind == "prove" and job.step else first
            connection.execute(
                "UPDATE job SET state = ?, started = COALESCE(started, ?) WHERE id = ?", (state, time.time(), job.id)
            )
            row = connection.execute("SELECT * FROM job WHERE id = ?", (job.id,)).fetchone()
        return _job(row)

    def end_waiting(self, state: str, *, identity: str | None = None) -> list[Job]:
        """End jobs that nobody has begun: the named one, or all whose deadline has passed."""
        which, value = ("id = ?", identity) if identity is not None else ("deadline <= ?", time.time())
        with self._writing() as connection:
            rows = connection.execute(f"SELECT * FROM job WHERE state = 'QUEUED' AND {which}", (value,)).fetchall()
            for row in rows:
                connection.execute("UPDATE job SET state = ?, ended = ? WHERE id = ?", (state, time.time(), row["id"]))
        return [_job(row) for row in rows]

    def open_jobs(self) -> list[Job]:
        marks = ", ".join("?" * len(ENDED))
        with self._lock:
            rows = self._connection.execute(
                f"SELECT * FROM job WHERE state NOT IN ({marks}) ORDER BY deadline, created", ENDED
            ).fetchall()
        return [_job(row) for row in rows]

    def count(self, state: str) -> int:
        with self._lock:
            found = self._connection.execute("SELECT COUNT(*) FROM job WHERE state = ?", (state,)).fetchone()
        return cast(int, found[0])

    def proofs_of(self, circuit: str, last: int = 20) -> list[tuple[float, int]]:
        """Seconds and peak of the latest proofs of a circuit on this machine."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT seconds, peak_bytes FROM job WHERE kind = 'prove' AND circuit = ? AND state = 'DONE'"
                " ORDER BY ended DESC LIMIT ?",
                (circuit, last),
            ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def forget_old(self) -> list[str]:
        """Remove jobs that ended more than 7 days ago; their ids, so that their files go too."""
        before = time.time() - KEPT_SECONDS
        with self._writing() as connection:
            rows = connection.execute("SELECT id FROM job WHERE ended < ?", (before,)).fetchall()
            connection.execute("DELETE FROM job WHERE ended < ?", (before,))
        return [row[0] for row in rows]

    def release_key(self, job: Job) -> None:
        """Let a failed build's key name a new attempt."""
        self.update(job.id, key=f"{job.key}/{job.id}")

    def set_aside(self, manifest: str, reason: str) -> None:
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO aside VALUES (?, ?, ?)", (manifest, reason, time.time()))

    def aside(self) -> dict[str, str]:
        with self._lock:
            return dict(self._connection.execute("SELECT manifest, reason FROM aside").fetchall())

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def new_id() -> str:
    return secrets.token_hex(16)


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    for name in ("request", "digests", "error_values"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return Job(**values)
