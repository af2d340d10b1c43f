"""The one journal: prepare bytes, sync them to disk, send, confirm.

Whatever leaves a process and must be noticed once by the outside world (a transaction, a voucher, a ledger message) is
a row here before it leaves, with all that is needed to repeat it byte for byte. A step may then run a thousand times.

    PREPARED ─▶ SENT ─▶ CONFIRMED            CONFIRMED ─▶ SENT after a reorganisation
        │         ├──▶ FAILED(outcome)       the outside refused it for good
        └────┬────┘
             └──▶ ABANDONED                  it can never happen any more; the key may be prepared anew

Knows nothing of chains or ledgers: an `account` is any text whose numbers must not repeat. Several processes may share
a file.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from prsm_protocol.errors import WorkflowError


class EffectConflict(WorkflowError):
    text = "effect {key!r} was prepared with content {stored} and is now offered with {offered}; use another key"


class EffectUnknown(WorkflowError):
    text = "effect {key!r} is not in the journal; prepare it before it is sent"


class EffectEnded(WorkflowError):
    text = "effect {key!r} was abandoned and cannot become {state}; prepare it anew"


class State(StrEnum):
    PREPARED = "PREPARED"
    SENT = "SENT"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    ABANDONED = "ABANDONED"


UNFINISHED = (State.PREPARED, State.SENT)


@dataclass(frozen=True)
class Entry:
    """One effect: `payload` is what is sent, `reference` what the outside calls it (a transaction's hash)."""

    key: str
    kind: str
    account: str
    number: int | None
    payload: bytes
    reference: bytes
    state: State
    outcome: Mapping[str, object]


@dataclass(frozen=True)
class Made:
    """Bytes ready to leave and the name that the outside will know them by."""

    payload: bytes
    reference: bytes


_SCHEMA = """
CREATE TABLE IF NOT EXISTS effect (
    key TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    number INTEGER,
    content TEXT NOT NULL,
    payload BLOB NOT NULL,
    reference BLOB NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_effect_a_number ON effect (account, number) WHERE state <> 'ABANDONED';
CREATE INDEX IF NOT EXISTS effect_by_state ON effect (state, position);
CREATE TABLE IF NOT EXISTS version (
    key TEXT NOT NULL,
    number INTEGER,
    payload BLOB NOT NULL,
    reference BLOB NOT NULL,
    UNIQUE (key, reference)
) STRICT;
"""

_COLUMNS = "key, kind, account, number, payload, reference, state, outcome"


class Journal:
    """A journal in one SQLite file. Every method that changes something has synced it to disk when it returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._local = threading.local()
        # SQLite's busy timeout does not cover the change to WAL, so processes that start together take turns here.
        with path.with_suffix(path.suffix + ".lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            self._database().execute("PRAGMA journal_mode = WAL")
            with self._writing() as database:
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)

    def prepare(self, key: str, kind: str, payload: bytes, *, reference: bytes = b"", account: str = "") -> Entry:
        """Store an effect without a number; the same key and payload give back the stored one."""
        return self._prepare(key, kind, account, sha256(payload).hexdigest(), None, lambda _: Made(payload, reference))

    def prepare_numbered(
        self, key: str, kind: str, account: str, content: bytes, floor: int, make: Callable[[int], Made]
    ) -> Entry:
        """Store an effect that takes the account's next number (a nonce, a sequence) in the same database transaction.

        `content` is what the effect means without its number; `floor` is the first number that the outside accepts;
        `make` builds the bytes. Numbers rise without holes while nothing is abandoned.
        """
        return self._prepare(key, kind, account, sha256(content).hexdigest(), floor, make)

    def get(self, key: str) -> Entry | None:
        row = self._database().execute(f"SELECT {_COLUMNS} FROM effect WHERE key = ?", (key,)).fetchone()
        return None if row is None else _entry(row)

    def need(self, key: str) -> Entry:
        """The effect under this key; an unknown key is an error of the caller."""
        entry = self.get(key)
        if entry is None:
            raise EffectUnknown(key=key)
        return entry

    def unfinished(self, account: str | None = None, kind: str | None = None) -> list[Entry]:
        """What was prepared or sent and has not ended, in the order in which it was prepared."""
        rows = self._database().execute(
            f"SELECT {_COLUMNS} FROM effect WHERE state IN (?, ?) AND (? IS NULL OR account = ?) "
            "AND (? IS NULL OR kind = ?) ORDER BY position",
            (*UNFINISHED, account, account, kind, kind),
        )
        return [_entry(row) for row in rows]

    def entries(self, prefix: str = "") -> list[Entry]:
        """Everything whose key begins so, in the order in which it was prepared."""
        rows = self._database().execute(f"SELECT {_COLUMNS} FROM effect ORDER BY position")
        return [entry for entry in map(_entry, rows) if entry.key.startswith(prefix)]

    def references(self, key: str) -> list[bytes]:
        """Every name that bytes of this effect ever had, latest first: any of them may be the one that counted."""
        rows = self._database().execute("SELECT reference FROM version WHERE key = ? ORDER BY rowid DESC", (key,))
        return [bytes(row[0]) for row in rows]

    def sent(self, key: str) -> Entry:
        """It may have left. Written before or after sending; the difference is never guessed, the outside is asked."""
        return self._move(key, State.SENT, None)

    def confirmed(self, key: str, outcome: Mapping[str, object]) -> Entry:
        return self._move(key, State.CONFIRMED, outcome)

    def failed(self, key: str, outcome: Mapping[str, object]) -> Entry:
        return self._move(key, State.FAILED, outcome)

    def abandoned(self, key: str, outcome: Mapping[str, object]) -> Entry:
        """Only for what can never happen any more. Its number is free, and the key may be prepared anew."""
        return self._move(key, State.ABANDONED, outcome)

    def replaced(self, key: str, made: Made) -> Entry:
        """The same effect under the same number in other bytes (a higher fee); the earlier bytes stay on record."""
        with self._writing() as database:
            entry = self._row(database, key)
            database.execute(
                "UPDATE effect SET payload = ?, reference = ? WHERE key = ?", (made.payload, made.reference, key)
            )
            _keep(database, key, entry.number, made)
            return self._row(database, key)

    def close(self) -> None:
        """Close this thread's connection."""
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is not None:
            database.close()
            self._local.database = None

    # ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _prepare(
        self, key: str, kind: str, account: str, content: str, floor: int | None, make: Callable[[int], Made]
    ) -> Entry:
        with self._writing() as database:
            row = database.execute("SELECT content, state FROM effect WHERE key = ?", (key,)).fetchone()
            if row is not None and row[0] != content:
                raise EffectConflict(key=key, stored=row[0], offered=content)
            if row is not None and row[1] != State.ABANDONED:
                return self._row(database, key)
            number = None if floor is None else _next_number(database, account, floor)
            made = make(0 if number is None else number)
            database.execute(
                "INSERT OR REPLACE INTO effect "
                "(key, position, kind, account, number, content, payload, reference, state) VALUES "
                "(?, (SELECT coalesce(max(position), 0) + 1 FROM effect), ?, ?, ?, ?, ?, ?, ?)",
                (key, kind, account, number, content, made.payload, made.reference, State.PREPARED),
            )
            _keep(database, key, number, made)
            return self._row(database, key)

    def _move(self, key: str, state: State, outcome: Mapping[str, object] | None) -> Entry:
        with self._writing() as database:
            if self._row(database, key).state is State.ABANDONED and state is not State.ABANDONED:
                raise EffectEnded(key=key, state=state)  # its number may be another's by now
            if outcome is None:
                database.execute("UPDATE effect SET state = ? WHERE key = ?", (state, key))
            else:
                text = json.dumps(outcome, sort_keys=True, default=_text)
                database.execute("UPDATE effect SET state = ?, outcome = ? WHERE key = ?", (state, text, key))
            return self._row(database, key)

    def _row(self, database: sqlite3.Connection, key: str) -> Entry:
        row = database.execute(f"SELECT {_COLUMNS} FROM effect WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise EffectUnknown(key=key)
        return _entry(row)

    def _database(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is None:
            database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            database.execute("PRAGMA synchronous = FULL")  # in WAL mode only FULL syncs at every commit
            self._local.database = database
        return database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        database = self._database()
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def _next_number(database: sqlite3.Connection, account: str, floor: int) -> int:
    # Ended effects do not count: their numbers are below the floor that the outside tells.
    (highest,) = database.execute(
        "SELECT max(number) FROM effect WHERE account = ? AND state IN (?, ?)", (account, *UNFINISHED)
    ).fetchone()
    number = floor if highest is None else max(floor, highest + 1)
    # A node may answer with an old count; a number that is taken here is never given twice.
    while database.execute(
        "SELECT 1 FROM effect WHERE account = ? AND number = ? AND state <> ?", (account, number, State.ABANDONED)
    ).fetchone():
        number += 1
    return number


def _keep(database: sqlite3.Connection, key: str, number: int | None, made: Made) -> None:
    database.execute(
        "INSERT OR IGNORE INTO version (key, number, payload, reference) VALUES (?, ?, ?, ?)",
        (key, number, made.payload, made.reference),
    )


def _entry(row: tuple[object, ...]) -> Entry:
    key, kind, account, number, payload, reference, state, outcome = row
    assert isinstance(payload, bytes)
    assert isinstance(reference, bytes)
    found: dict[str, object] = json.loads(str(outcome))
    return Entry(
        key=str(key),
        kind=str(kind),
        account=str(account),
        number=number if isinstance(number, int) else None,
        payload=payload,
        reference=reference,
        state=State(str(state)),
        outcome=found,
    )


def _text(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
