"""The node's memory: one SQLite file, every change of state and what it causes in one transaction, synced before it counts.

Knows rows, not their meaning. `work` can only move forward here, and a task has one signature for ever: both are held by the
statements themselves, so no caller can break them.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oracles.next_step import ORDER, Work
from prsm_protocol.errors import NodeError
from prsm_protocol.types import DAG_CBOR, Cid


class StoreDamaged(NodeError):
    text = "{path} fails its integrity check ({reason}); restore it from a backup, tasks it does not know are declined"


class WouldContradict(NodeError):
    text = (
        "task {task} was signed as {first} and must never be signed as {second}: two results of one task cost the stake; "
        "find out why the run differed"
    )


_SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (one INTEGER PRIMARY KEY CHECK (one = 1), chain INTEGER, block INTEGER, hash BLOB);
CREATE TABLE IF NOT EXISTS blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, parent BLOB NOT NULL, time INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    block INTEGER NOT NULL, hash BLOB NOT NULL, idx INTEGER NOT NULL, contract TEXT NOT NULL, name TEXT NOT NULL,
    key TEXT NOT NULL, fields TEXT NOT NULL, tx TEXT NOT NULL, time INTEGER NOT NULL, orphaned INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hash, idx));
CREATE INDEX IF NOT EXISTS events_by_key ON events (key, orphaned);
CREATE INDEX IF NOT EXISTS events_by_name ON events (name, orphaned);
CREATE TABLE IF NOT EXISTS tasks (
    task TEXT PRIMARY KEY, request TEXT NOT NULL, asker TEXT NOT NULL, quote TEXT NOT NULL, work TEXT NOT NULL,
    quote_until INTEGER NOT NULL, decline_code INTEGER, reason TEXT NOT NULL DEFAULT '', closed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS tasks_by_request ON tasks (request);
CREATE INDEX IF NOT EXISTS tasks_open ON tasks (closed);
CREATE TABLE IF NOT EXISTS files (task TEXT NOT NULL, kind TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (task, kind));
CREATE TABLE IF NOT EXISTS signatures (task TEXT PRIMARY KEY, struct_hash BLOB NOT NULL, signature BLOB);
CREATE TABLE IF NOT EXISTS intents (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, task TEXT NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '',
    hash TEXT NOT NULL DEFAULT '', block INTEGER, gas_wei TEXT NOT NULL DEFAULT '0', attempt INTEGER NOT NULL DEFAULT 0, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class TaskRow:
    task: str
    request: str
    asker: str
    quote: dict[str, object]
    work: Work
    quote_until: int
    decline_code: int | None
    reason: str
    closed: bool


@dataclass(frozen=True)
class EventRow:
    block: int
    block_hash: bytes
    index: int
    contract: str
    name: str
    key: str
    fields: dict[str, object]
    transaction: str
    time: int


@dataclass(frozen=True)
class IntentRow:
    key: str
    kind: str
    task: str
    state: str
    detail: str
    hash: str
    block: int | None
    gas_wei: int
    attempt: int
    at: float


class Store:
    """One connection behind one lock: writers take turns, and every commit is on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(path=path, reason=error) from None
        self._depth = 0

    def check(self) -> None:
        """Refuse to start on a damaged file: what it says decides what is signed."""
        try:
            answer = str(self._rows("PRAGMA integrity_check")[0][0])
        except sqlite3.DatabaseError as error:
            raise StoreDamaged(path=self.path, reason=error) from None
        if answer != "ok":
            raise StoreDamaged(path=self.path, reason=answer)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nests by joining the outer one."""
        with self._lock:
            if self._depth:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            else:
                self._db.execute("COMMIT")
            finally:
                self._depth = 0

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(sql, tuple(values)).fetchall()

    def _write(self, sql: str, values: Sequence[object] = ()) -> int:
        with self.transaction():
            return self._db.execute(sql, tuple(values)).rowcount

    # ── the chain as seen ────────────────────────────────────────────────────────────────────────────────────────────

    def cursor(self) -> tuple[int, bytes] | None:
        rows = self._rows("SELECT block, hash FROM cursor")
        return (_int(rows[0][0]), _bytes(rows[0][1])) if rows else None

    def chain_id(self) -> int | None:
        rows = self._rows("SELECT chain FROM cursor")
        return _int(rows[0][0]) if rows else None

    def set_cursor(self, chain: int, block: int, block_hash: bytes) -> None:
        self._write("INSERT OR REPLACE INTO cursor VALUES (1, ?, ?, ?)", (chain, block, block_hash))

    def put_block(self, number: int, block_hash: bytes, parent: bytes, time: int, keep: int = 256) -> None:
        with self.transaction():
            self._write("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", (number, block_hash, parent, time))
            self._write("DELETE FROM blocks WHERE number < ?", (number - keep,))

    def block_at(self, number: int) -> tuple[bytes, int] | None:
        """(hash, time) of the block that this node took as canonical."""
        rows = self._rows("SELECT hash, time FROM blocks WHERE number = ?", (number,))
        return (_bytes(rows[0][0]), _int(rows[0][1])) if rows else None

    def put_event(self, row: EventRow) -> None:
        """Store once; an event whose block comes back after a reorganisation counts again."""
        self._write(
            "INSERT INTO events (block, hash, idx, contract, name, key, fields, tx, time) VALUES (?,?,?,?,?,?,?,?,?) "
            "ON CONFLICT (hash, idx) DO UPDATE SET orphaned = 0",
            (
                row.block,
                row.block_hash,
                row.index,
                row.contract,
                row.name,
                row.key,
                json.dumps(row.fields),
                row.transaction,
                row.time,
            ),
        )

    def orphan_above(self, number: int) -> None:
        """Blocks above `number` are no longer canonical; nothing local is undone."""
        with self.transaction():
            self._write("UPDATE events SET orphaned = 1 WHERE block > ?", (number,))
            self._write("DELETE FROM blocks WHERE number > ?", (number,))

    def events(self, *, key: str | None = None, name: str | None = None, orphaned: bool = False) -> list[EventRow]:
        rows = self._rows(
            "SELECT block, hash, idx, contract, name, key, fields, tx, time FROM events "
            "WHERE orphaned = ? AND (? IS NULL OR key = ?) AND (? IS NULL OR name = ?) ORDER BY block, idx",
            (int(orphaned), key, key, name, name),
        )
        return [
            EventRow(
                _int(r[0]),
                _bytes(r[1]),
                _int(r[2]),
                str(r[3]),
                str(r[4]),
                str(r[5]),
                json.loads(str(r[6])),
                str(r[7]),
                _int(r[8]),
            )
            for r in rows
        ]

    def unknown_assignments(self) -> list[EventRow]:
        """Canonical assignments to us whose task this store does not know: it was restored from a backup."""
        rows = self._rows(
            "SELECT e.key FROM events e LEFT JOIN tasks t ON t.task = e.key "
            "WHERE e.name = 'TaskAssigned' AND e.orphaned = 0 AND t.task IS NULL"
        )
        return [event for row in rows for event in self.events(key=str(row[0]), name="TaskAssigned")]

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def put_task(
        self,
        task: str,
        *,
        request: str,
        asker: str,
        quote: Mapping[str, object],
        quote_until: int,
        work: Work = Work.QUOTED,
    ) -> None:
        self._write(
            "INSERT OR IGNORE INTO tasks (task, request, asker, quote, work, quote_until) VALUES (?,?,?,?,?,?)",
            (task, request, asker, json.dumps(dict(quote)), work.value, quote_until),
        )

    def task(self, task: str) -> TaskRow | None:
        rows = self._rows(_TASK + " WHERE task = ?", (task,))
        return _task(rows[0]) if rows else None

    def open_tasks(self) -> list[TaskRow]:
        return [_task(row) for row in self._rows(_TASK + " WHERE closed = 0 ORDER BY rowid")]

    def all_tasks(self) -> list[TaskRow]:
        return [_task(row) for row in self._rows(_TASK + " ORDER BY rowid")]

    def tasks_of_request(self, request: str) -> list[TaskRow]:
        return [_task(row) for row in self._rows(_TASK + " WHERE request = ? ORDER BY rowid", (request,))]

    def advance(self, task: str, work: Work, *, code: int | None = None, reason: str = "") -> bool:
        """Move `work` forward. Going back is a no-op: of two workers the slower one finds its step already done."""
        before = [state.value for state in ORDER[: ORDER.index(work)]]
        if work is Work.UNABLE:
            before = [state.value for state in ORDER if state not in (Work.SIGNED, Work.UNABLE)]
        marks = ",".join("?" * len(before))
        count = self._write(
            f"UPDATE tasks SET work = ?, decline_code = ?, reason = ? WHERE task = ? AND work IN ({marks})",
            (work.value, code, reason, task, *before),
        )
        return count == 1

    def close_task(self, task: str) -> None:
        """The task needs nothing more; its input goes, since no input outlives its task."""
        with self.transaction():
            self._write("UPDATE tasks SET closed = 1 WHERE task = ?", (task,))
            self._write("DELETE FROM files WHERE task = ? AND kind = 'input'", (task,))

    def reopen_task(self, task: str) -> None:
        self._write("UPDATE tasks SET closed = 0 WHERE task = ?", (task,))

    # ── files and signatures ─────────────────────────────────────────────────────────────────────────────────────────

    def put_file(self, task: str, kind: str, data: bytes) -> None:
        """Kept once: outputs are chosen once, a second run never replaces the first."""
        self._write("INSERT OR IGNORE INTO files VALUES (?, ?, ?)", (task, kind, data))

    def keep_input(self, task: str, data: bytes) -> None:
        """Keep an input; an assigned task moves on with it, whatever the caller last saw of the task."""
        with self.transaction():
            self.put_file(task, "input", data)
            self._write("UPDATE tasks SET work = 'input' WHERE task = ? AND work = 'assigned'", (task,))

    def accept(self, task: str) -> None:
        """The task is assigned; with an input that came before, it moves on at once."""
        with self.transaction():
            if self.advance(task, Work.ASSIGNED) and self.file(task, "input") is not None:
                self.advance(task, Work.INPUT)

    def file(self, task: str, kind: str) -> bytes | None:
        rows = self._rows("SELECT data FROM files WHERE task = ? AND kind = ?", (task, kind))
        return _bytes(rows[0][0]) if rows else None

    def reserve_signature(self, task: str, struct_hash: bytes) -> bytes | None:
        """Bind the task to this struct for ever, before the key is used; returns a signature made earlier."""
        with self.transaction():
            self._write("INSERT OR IGNORE INTO signatures VALUES (?, ?, NULL)", (task, struct_hash))
            rows = self._rows("SELECT struct_hash, signature FROM signatures WHERE task = ?", (task,))
        first = _bytes(rows[0][0])
        if first != struct_hash:
            raise WouldContradict(task=task, first=first.hex(), second=struct_hash.hex())
        return None if rows[0][1] is None else _bytes(rows[0][1])

    def put_signature(self, task: str, signature: bytes) -> None:
        self._write("UPDATE signatures SET signature = ? WHERE task = ? AND signature IS NULL", (signature, task))

    def has_signature(self, task: str) -> bool:
        """Whether anything was bound to the key for this task, signed or about to be."""
        return bool(self._rows("SELECT 1 FROM signatures WHERE task = ?", (task,)))

    def signature(self, task: str) -> bytes | None:
        rows = self._rows("SELECT signature FROM signatures WHERE task = ?", (task,))
        return _bytes(rows[0][0]) if rows and rows[0][0] is not None else None

    # ── intents ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def ensure_intent(self, key: str, kind: str, task: str, at: float) -> None:
        """One intent a key, however often a step is repeated."""
        self._write(
            "INSERT OR IGNORE INTO intents (key, kind, task, state, at) VALUES (?,?,?,'written',?)",
            (key, kind, task, at),
        )

    def set_intent(self, key: str, state: str, *, detail: str = "") -> None:
        self._write("UPDATE intents SET state = ?, detail = ? WHERE key = ?", (state, detail, key))

    def intent_sent(self, key: str, tx: str) -> None:
        self._write("UPDATE intents SET state = 'sent', detail = '', hash = ?, block = NULL WHERE key = ?", (tx, key))

    def intent_mined(self, key: str, tx: str, block: int, gas_wei: int) -> None:
        self._write(
            "UPDATE intents SET state = 'mined', detail = '', hash = ?, block = ?, gas_wei = ? WHERE key = ?",
            (tx, block, str(gas_wei), key),
        )

    def retry_intent(self, key: str, detail: str) -> None:
        """The transaction was mined and refused for a reason that passes: the next attempt has bytes of its own."""
        self._write(
            "UPDATE intents SET state = 'written', attempt = attempt + 1, detail = ? WHERE key = ?", (detail, key)
        )

    def intents(self, *, states: Sequence[str] | None = None, task: str | None = None) -> list[IntentRow]:
        rows = self._rows(
            "SELECT key, kind, task, state, detail, hash, block, gas_wei, attempt, at FROM intents "
            "WHERE (? IS NULL OR task = ?) ORDER BY rowid",
            (task, task),
        )
        found = [
            IntentRow(
                str(r[0]),
                str(r[1]),
                str(r[2]),
                str(r[3]),
                str(r[4]),
                str(r[5]),
                None if r[6] is None else _int(r[6]),
                int(str(r[7])),
                _int(r[8]),
                float(str(r[9])),
            )
            for r in rows
        ]
        return [row for row in found if states is None or row.state in states]

    # ── listings ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def listings(self) -> list[tuple[str, bytes, str]]:
        """(CID, record, sender) of every listing anchored in a canonical block."""
        found = []
        for event in self.events(name="DigestAnchored"):
            digest = bytes.fromhex(str(event.fields["digest"])[2:])
            record = bytes.fromhex(str(event.fields["subject"])[2:])
            found.append((Cid(DAG_CBOR, digest).text, record, str(event.fields["by"])))
        return found

    # ── small settings ───────────────────────────────────────────────────────────────────────────────────────────────

    def setting(self, name: str) -> str | None:
        rows = self._rows("SELECT value FROM settings WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def set_setting(self, name: str, value: str) -> None:
        self._write("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))


_TASK = "SELECT task, request, asker, quote, work, quote_until, decline_code, reason, closed FROM tasks"


def _task(row: tuple[object, ...]) -> TaskRow:
    code = row[6]
    return TaskRow(
        str(row[0]),
        str(row[1]),
        str(row[2]),
        json.loads(str(row[3])),
        Work(str(row[4])),
        _int(row[5]),
        None if code is None else _int(code),
        str(row[7]),
        bool(row[8]),
    )


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
