"""The node's blocks and milestones on disk: one SQLite file, synced before anything is acknowledged.

Knows rows and transactions, not the rules. One owner at a time, by an operating-system lock. References, the
milestone and its block are one transaction, so a crash leaves a milestone whole or absent; a signature that was not
committed was never seen by anybody.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prsm_protocol.errors import LedgerError

KEYS = 2  # two keys, so that clients exercise thresholds; both live in one process and prove one operator's word


class HomeBusy(LedgerError):
    exit_code = 7
    text = "ledger home {home} is in use by process {pid}; stop it, or choose another --home"


class HomeForeign(LedgerError):
    text = "ledger home {home} belongs to network {stored!r}, not {asked!r}; choose another --home"


@dataclass(frozen=True, slots=True)
class BlockRow:
    """`oldest` is the lowest milestone under the block; `milestone` and `position` once it is referenced."""

    id: bytes
    raw: bytes
    oldest: int
    milestone: int | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class MilestoneRow:
    index: int
    id: bytes
    timestamp: int
    payload: bytes
    block: bytes


class NodeStore:
    """Rows of one node. Writing happens on one thread at a time, reading on another connection."""

    def __init__(self, home: Path, network: str) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._home = home
        self._lock = _lock(home)
        path = home / "ledger.sqlite"
        self._writer = _connect(path)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(path)
        self._writer.execute("INSERT OR IGNORE INTO facts VALUES ('network', ?)", (network,))
        stored = str(self._writer.execute("SELECT value FROM facts WHERE name = 'network'").fetchone()[0])
        if stored != network:
            self.close()
            raise HomeForeign(home=str(home), stored=stored, asked=network)
        self.keys = _keys(home / "coordinator.key")

    def close(self) -> None:
        self._writer.close()
        if hasattr(self, "_reader"):
            self._reader.close()
        os.close(self._lock)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def append(self, rows: Sequence[BlockRow]) -> None:
        """Add blocks; those already there stay as they are. Synced when this returns."""
        with _transaction(self._writer) as write:
            _insert(write, rows)

    def confirm(
        self, merges: Sequence[BlockRow], order: Sequence[bytes], milestone: MilestoneRow, block: BlockRow, prune: int
    ) -> None:
        """Add the milestone, its block and the blocks that merged tips; place `order`; drop what `prune` names."""
        with _transaction(self._writer) as write:
            _insert(write, [*merges, block])
            write.executemany(
                "UPDATE blocks SET milestone = ?, position = ? WHERE id = ?",
                [(milestone.index, position, id) for position, id in enumerate(order)],
            )
            row = (milestone.index, milestone.id, milestone.timestamp, milestone.payload, milestone.block)
            write.execute("INSERT INTO milestones VALUES (?, ?, ?, ?, ?)", row)
            write.execute("DELETE FROM blocks WHERE milestone <= ?", (prune,))
            write.execute("DELETE FROM milestones WHERE number <= ?", (prune,))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def block(self, id: bytes) -> BlockRow | None:
        query = "SELECT id, raw, oldest, milestone, position FROM blocks WHERE id = ?"
        row = self._reader.execute(query, (id,)).fetchone()
        return None if row is None else BlockRow(*row)

    def pending(self) -> Iterator[BlockRow]:
        """Blocks that no milestone references yet, in order of arrival."""
        query = "SELECT id, raw, oldest, milestone, position FROM blocks WHERE milestone IS NULL ORDER BY arrival"
        for row in self._reader.execute(query):
            yield BlockRow(*row)

    def milestone(self, index: int) -> MilestoneRow | None:
        return self._milestone("number = ?", (index,))

    def milestone_by_id(self, id: bytes) -> MilestoneRow | None:
        return self._milestone("id = ?", (id,))

    def latest(self) -> MilestoneRow | None:
        return self._milestone("true ORDER BY number DESC LIMIT 1", ())

    def first(self) -> int:
        """Index of the first milestone that is still here."""
        return int(self._reader.execute("SELECT coalesce(min(number), 1) FROM milestones").fetchone()[0])

    def order(self, index: int) -> list[bytes]:
        """Ids of the blocks that a milestone references, in white-flag order."""
        query = "SELECT id FROM blocks WHERE milestone = ? ORDER BY position"
        return [bytes(row[0]) for row in self._reader.execute(query, (index,))]

    def _milestone(self, condition: str, values: tuple[object, ...]) -> MilestoneRow | None:
        query = "SELECT number, id, timestamp, payload, block FROM milestones WHERE " + condition
        row = self._reader.execute(query, values).fetchone()
        return None if row is None else MilestoneRow(*row)


_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS blocks (
    arrival INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, oldest INTEGER NOT NULL,
    milestone INTEGER, position INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS blocks_by_milestone ON blocks (milestone, position);
CREATE TABLE IF NOT EXISTS milestones (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, timestamp INTEGER NOT NULL, payload BLOB NOT NULL,
    block BLOB NOT NULL
) STRICT;
"""


def _insert(write: sqlite3.Connection, rows: Sequence[BlockRow]) -> None:
    write.executemany(
        "INSERT INTO blocks (id, raw, oldest) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
        [(each.id, each.raw, each.oldest) for each in rows],
    )


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: transactions are opened by hand. The writer is handed between threads, but used by one at a time.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class _transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:  # a full disk makes SQLite roll back by itself
            self._connection.execute("ROLLBACK")


def _lock(home: Path) -> int:
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(handle, 32, 0).decode().strip() or "unknown"
        os.close(handle)
        raise HomeBusy(home=str(home), pid=pid) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def _keys(path: Path) -> list[Ed25519PrivateKey]:
    """The coordinator's keys, made at the first start. Written whole and synced before they sign anything."""
    if not path.exists():
        part = path.with_suffix(".part")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(handle, os.urandom(32 * KEYS))
        os.fsync(handle)
        os.close(handle)
        part.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    secrets = path.read_bytes()
    return [Ed25519PrivateKey.from_private_bytes(secrets[at : at + 32]) for at in range(0, 32 * KEYS, 32)]
