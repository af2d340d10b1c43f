"""Runs' records in SQLite: blocks, events, heads, openings, and the attempts by task for reuse.

On a connection handed in, everything joins the caller's transaction, so an event commits with its step; `open_store` is
for use as a library. Blocks are kept per run, so that `delete` is exact. The run secret never leaves this file.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prsm_protocol.errors import TraceError
from prsm_protocol.trace.blocks import (
    Attempt,
    Edge,
    Event,
    GraphNode,
    RunHead,
    TaskGraph,
    cid_of,
    decode,
    encode,
    kind_of,
)
from prsm_protocol.trace.seal import Opening
from prsm_protocol.types import DAG_CBOR, Cid, RunId

_SCHEMA = """
CREATE TABLE IF NOT EXISTS trace_runs (run TEXT PRIMARY KEY, secret BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS trace_blocks (
    run TEXT NOT NULL, cid BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run, cid));
CREATE TABLE IF NOT EXISTS trace_events (
    run TEXT NOT NULL, seq INTEGER NOT NULL, step TEXT NOT NULL, cid BLOB NOT NULL,
    PRIMARY KEY (run, seq), UNIQUE (run, step));
CREATE TABLE IF NOT EXISTS trace_heads (
    run TEXT NOT NULL, number INTEGER NOT NULL, cid BLOB NOT NULL, PRIMARY KEY (run, number));
CREATE TABLE IF NOT EXISTS trace_openings (
    run TEXT NOT NULL, digest BLOB NOT NULL, salt BLOB NOT NULL, cid BLOB NOT NULL, PRIMARY KEY (run, digest));
CREATE TABLE IF NOT EXISTS trace_attempts (
    run TEXT NOT NULL, task BLOB NOT NULL, cid BLOB NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (run, cid));
CREATE INDEX IF NOT EXISTS trace_attempts_by_task ON trace_attempts (task, outcome);
"""


class StoreBusy(TraceError):
    text = "the trace store {path} is in use by another process for too long; end that process or try again"


class StoreFull(TraceError):
    text = "no room for the trace in {path}: {free_bytes} bytes free, {needed_bytes} needed; free some to go on"


class BlockMissing(TraceError):
    text = "block {cid} is not in the record; fetch it or name it as withheld"


class StoredBlockCorrupt(TraceError):
    text = "block {cid} of run {run} no longer matches its id; restore the store from a backup"


@dataclass
class RunFold:
    """A run so far: its whole graph, its attempts in order, and the events' names."""

    nodes: dict[str, GraphNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    head: RunHead | None = None


class TraceStore:
    """The record of many runs. One writer a run; any number of readers."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None = None) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.RLock()
        with self._lock:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or none. Inside a transaction of the caller's, the caller commits."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    if self._connection.in_transaction:  # a full disk makes SQLite roll back by itself
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise self._named(error) from None

    def _named(self, error: sqlite3.OperationalError) -> Exception:
        path = self._path or Path(".")
        if "locked" in str(error) or "busy" in str(error):
            return StoreBusy(path=path)
        if "full" in str(error) or "disk I/O" in str(error):
            needed = os.path.getsize(path) // 10 if path.is_file() else 0
            return StoreFull(path=path, free_bytes=shutil.disk_usage(path.parent).free, needed_bytes=needed)
        return error

    def close(self) -> None:
        self._connection.close()

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, run: RunId) -> bytes:
        """The run's secret, made when the run is new."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO trace_runs VALUES (?, ?)", (run, secrets.token_bytes(32)))
            row = connection.execute("SELECT secret FROM trace_runs WHERE run = ?", (run,)).fetchone()
            return bytes(row[0])

    def runs(self) -> list[RunId]:
        with self._lock:
            return [RunId(row[0]) for row in self._connection.execute("SELECT run FROM trace_runs ORDER BY rowid")]

    def delete(self, run: RunId) -> None:
        """Forget a run wholly, its secret included: its sealed payloads can never be opened again from here."""
        with self.transaction() as connection:
            for table in ("runs", "blocks", "events", "heads", "openings", "attempts"):
                connection.execute(f"DELETE FROM trace_{table} WHERE run = ?", (run,))

    # ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, run: RunId, data: bytes, codec: int = DAG_CBOR) -> Cid:
        cid = Cid.of(data, codec)
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO trace_blocks VALUES (?, ?, ?)", (run, cid.bytes, data))
            if codec == DAG_CBOR and kind_of(data) == "attempt":
                attempt = decode(Attempt, data)
                row = (run, attempt.task.bytes, cid.bytes, attempt.outcome)
                connection.execute("INSERT OR IGNORE INTO trace_attempts VALUES (?, ?, ?, ?)", row)
        return cid

    def get(self, run: RunId, cid: Cid) -> bytes:
        """The block's bytes, hashed again."""
        query = "SELECT data FROM trace_blocks WHERE run = ? AND cid = ?"
        with self._lock:
            row = self._connection.execute(query, (run, cid.bytes)).fetchone()
        if row is None:
            raise BlockMissing(cid=cid)
        data = bytes(row[0])
        if Cid.of(data, cid.codec) != cid:
            raise StoredBlockCorrupt(cid=cid, run=run)
        return data

    def has(self, run: RunId, cid: Cid) -> bool:
        query = "SELECT 1 FROM trace_blocks WHERE run = ? AND cid = ?"
        with self._lock:
            return self._connection.execute(query, (run, cid.bytes)).fetchone() is not None

    def add_opening(self, run: RunId, opening: Opening) -> None:
        with self.transaction() as connection:
            row = (run, opening.digest, opening.salt, opening.cid.bytes)
            connection.execute("INSERT OR IGNORE INTO trace_openings VALUES (?, ?, ?, ?)", row)

    def opening(self, run: RunId, digest: bytes) -> Opening | None:
        query = "SELECT salt, cid FROM trace_openings WHERE run = ? AND digest = ?"
        with self._lock:
            row = self._connection.execute(query, (run, digest)).fetchone()
        return None if row is None else Opening(digest, bytes(row[0]), Cid.from_bytes(bytes(row[1])))

    # ── events and heads ─────────────────────────────────────────────────────────────────────────────────────────────

    def append(self, run: RunId, seq: int, step: str, event: Event) -> Cid:
        cid = cid_of(event)
        with self.transaction() as connection:
            self.put(run, encode(event))
            connection.execute("INSERT INTO trace_events VALUES (?, ?, ?, ?)", (run, seq, step, cid.bytes))
        return cid

    def event_of(self, run: RunId, step: str) -> Cid | None:
        query = "SELECT cid FROM trace_events WHERE run = ? AND step = ?"
        with self._lock:
            row = self._connection.execute(query, (run, step)).fetchone()
        return None if row is None else Cid.from_bytes(bytes(row[0]))

    def events(self, run: RunId) -> list[Cid]:
        """CIDs in order of `seq`: the leaves of the Merkle tree are their bytes."""
        with self._lock:
            query = "SELECT cid FROM trace_events WHERE run = ? ORDER BY seq"
            rows = self._connection.execute(query, (run,)).fetchall()
        return [Cid.from_bytes(bytes(row[0])) for row in rows]

    def steps(self, run: RunId) -> list[tuple[str, Cid]]:
        """Each event's step with its CID, in order of `seq`: which step wrote it."""
        with self._lock:
            query = "SELECT step, cid FROM trace_events WHERE run = ? ORDER BY seq"
            rows = self._connection.execute(query, (run,)).fetchall()
        return [(str(row[0]), Cid.from_bytes(bytes(row[1]))) for row in rows]

    def last(self, run: RunId) -> tuple[int, Cid] | None:
        """(seq, CID) of the newest event: what the next one follows, however long the run."""
        query = "SELECT seq, cid FROM trace_events WHERE run = ? ORDER BY seq DESC LIMIT 1"
        with self._lock:
            row = self._connection.execute(query, (run,)).fetchone()
        return None if row is None else (int(row[0]), Cid.from_bytes(bytes(row[1])))

    def add_head(self, run: RunId, head: RunHead) -> Cid:
        with self.transaction() as connection:
            cid = self.put(run, encode(head))
            count = connection.execute("SELECT count(*) FROM trace_heads WHERE run = ?", (run,)).fetchone()[0]
            connection.execute("INSERT INTO trace_heads VALUES (?, ?, ?)", (run, count, cid.bytes))
        return cid

    def head(self, run: RunId) -> Cid | None:
        query = "SELECT cid FROM trace_heads WHERE run = ? ORDER BY number DESC LIMIT 1"
        with self._lock:
            row = self._connection.execute(query, (run,)).fetchone()
        return None if row is None else Cid.from_bytes(bytes(row[0]))

    def accepted(self, task: Cid) -> list[tuple[RunId, Cid]]:
        """Accepted attempts at this very task, newest first: what a memo may reuse."""
        query = "SELECT run, cid FROM trace_attempts WHERE task = ? AND outcome = 'accepted' ORDER BY rowid DESC"
        with self._lock:
            rows = self._connection.execute(query, (task.bytes,)).fetchall()
        return [(RunId(run), Cid.from_bytes(bytes(cid))) for run, cid in rows]

    def fold(self, run: RunId) -> RunFold:
        """The run as its events tell it."""
        fold = RunFold()
        for cid in self.events(run):
            event = decode(Event, self.get(run, cid))
            fold.events.append(event)
            subject = event.body.subject
            if not isinstance(subject, Cid):
                continue
            if event.body.event == "graph_split":
                graph = decode(TaskGraph, self.get(run, subject))
                fold.nodes.update(graph.nodes)
                fold.edges.extend(graph.edges)
            elif event.body.event == "attempt_ended":
                fold.attempts.append(decode(Attempt, self.get(run, subject)))
        head = self.head(run)
        fold.head = None if head is None else decode(RunHead, self.get(run, head))
        return fold


def open_store(path: Path) -> TraceStore:
    """A store of its own; what was recorded survives a kill and a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return TraceStore(connection, path)
