"""Metered use, written down before it counts: what was served, line by line, and the batches that vouchers commit to.

One SQLite file, synced before `add` returns, so a crash cannot forget what was served. A line is known by job, part
and unit: the same line twice counts once, a different one under the same key is refused. Lines are unbilled until a
voucher's sequence takes them in; a sequence's lines never change afterwards.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from prsm_protocol.errors import LedgerError
from prsm_protocol.rules.channel.usage import Unit, UsageLine, total, usage_proof, usage_root
from prsm_protocol.types import Wei

BATCH_LINES = 256  # lines a voucher takes in at most before one is asked for
BATCH_SECONDS = 1.0


class UsageConflict(LedgerError):
    text = "usage {key} is stored as {stored}, offered as {offered}; one use has one line, give another part"


class UsageBatchFixed(LedgerError):
    text = "voucher {sequence} already took in {stored} usage lines, not {offered}; its root cannot change"


@dataclass(frozen=True, slots=True)
class UsageEntry:
    """A line and what it was for; `at` in unix microseconds."""

    job: bytes
    part: int
    line: UsageLine
    at: int


@dataclass(frozen=True, slots=True)
class UsageBatch:
    """The lines of one voucher. Each can be proved alone against `root`."""

    channel: bytes
    sequence: int
    lines: tuple[UsageLine, ...]

    @property
    def root(self) -> bytes:
        return usage_root(self.channel, self.sequence, self.lines)

    @property
    def amount(self) -> Wei:
        return total(self.lines)

    def proof(self, index: int) -> list[bytes]:
        return usage_proof(self.channel, self.sequence, self.lines, index)


class Meter:
    """The usage lines of all channels of one side. Safe for several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add(self, channel: bytes, entry: UsageEntry) -> bool:
        """Write a line down; False when exactly this line is there already. Synced when this returns."""
        line = entry.line
        key = (channel, entry.job, entry.part, int(line.unit))
        row = (line.listing, line.quantity, line.amount.to_bytes(12, "big"))
        with self._lock:
            done = self._db.execute(
                "INSERT INTO lines (channel, job, part, unit, listing, quantity, amount, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*key, *row, entry.at),
            )
            if done.rowcount == 1:
                return True
            stored = self._db.execute(
                "SELECT listing, quantity, amount FROM lines WHERE channel = ? AND job = ? AND part = ? AND unit = ?",
                key,
            ).fetchone()
        if stored != row:
            raise UsageConflict(
                key=f"{entry.job.hex()}/{entry.part}/{line.unit.name.lower()}",
                stored=_words(UsageLine(stored[0], line.unit, stored[1], _wei(stored[2]))),
                offered=_words(line),
            )
        return False

    def batch(self, channel: bytes, sequence: int, count: int | None = None) -> UsageBatch:
        """What voucher `sequence` takes in: its lines once `take` fixed them, until then the first `count` unbilled."""
        with self._lock:
            fixed = self._db.execute(
                "SELECT count FROM batches WHERE channel = ? AND sequence = ?", (channel, sequence)
            ).fetchone()
            if fixed is not None:
                rows = self._db.execute(_SELECT + "sequence = ? ORDER BY place", (channel, sequence)).fetchall()
            else:
                limit = -1 if count is None else count
                rows = self._db.execute(
                    _SELECT + "sequence IS NULL ORDER BY place LIMIT ?", (channel, limit)
                ).fetchall()
        return UsageBatch(channel, sequence, tuple(_line(row) for row in rows))

    def take(self, batch: UsageBatch) -> None:
        """Fix the lines of a voucher that was signed or accepted. The same batch again changes nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._take(batch)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def _take(self, batch: UsageBatch) -> None:
        key = (batch.channel, batch.sequence)
        fixed = self._db.execute("SELECT count FROM batches WHERE channel = ? AND sequence = ?", key).fetchone()
        rows = self._db.execute(
            _SELECT + ("sequence = ? ORDER BY place" if fixed else "sequence IS NULL ORDER BY place LIMIT ?"),
            (batch.channel, batch.sequence if fixed else len(batch.lines)),
        ).fetchall()
        if tuple(_line(row) for row in rows) != batch.lines:
            raise UsageBatchFixed(sequence=batch.sequence, stored=len(rows), offered=len(batch.lines))
        if fixed is None:
            self._db.execute("INSERT INTO batches VALUES (?, ?, ?)", (*key, len(rows)))
            places = [(batch.sequence, row[0]) for row in rows]
            self._db.executemany("UPDATE lines SET sequence = ? WHERE place = ?", places)

    def unbilled(self, channel: bytes) -> Wei:
        """What was served and no voucher took in yet."""
        return self.batch(channel, 0).amount

    def used(self, channel: bytes) -> Wei:
        """What was served in all."""
        with self._lock:
            rows = self._db.execute("SELECT amount FROM lines WHERE channel = ?", (channel,)).fetchall()
        return Wei(sum(_wei(row[0]) for row in rows))

    def is_due(self, channel: bytes, now: int, window: int) -> bool:
        """Should a voucher be asked for? By count, age (`now`, unix microseconds), or before exposure is too high."""
        with self._lock:
            rows = self._db.execute(
                "SELECT amount, at FROM lines WHERE channel = ? AND sequence IS NULL ORDER BY place", (channel,)
            ).fetchall()
        if not rows:
            return False
        exposure = sum(_wei(row[0]) for row in rows)
        return len(rows) >= BATCH_LINES or now - rows[0][1] >= BATCH_SECONDS * 1_000_000 or 2 * exposure >= window


_SCHEMA = """
CREATE TABLE IF NOT EXISTS lines (
    place INTEGER PRIMARY KEY, channel BLOB NOT NULL, job BLOB NOT NULL, part INTEGER NOT NULL, unit INTEGER NOT NULL,
    listing BLOB NOT NULL, quantity INTEGER NOT NULL, amount BLOB NOT NULL, at INTEGER NOT NULL, sequence INTEGER,
    UNIQUE (channel, job, part, unit)
) STRICT;
CREATE INDEX IF NOT EXISTS lines_by_sequence ON lines (channel, sequence, place);
CREATE TABLE IF NOT EXISTS batches (
    channel BLOB NOT NULL, sequence INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (channel, sequence)
) STRICT;
"""
_SELECT = "SELECT place, listing, unit, quantity, amount FROM lines WHERE channel = ? AND "


def _line(row: tuple[int, bytes, int, int, bytes]) -> UsageLine:
    return UsageLine(row[1], Unit(row[2]), row[3], _wei(row[4]))


def _wei(amount: bytes) -> Wei:
    return Wei(int.from_bytes(amount, "big"))


def _words(line: UsageLine) -> str:
    return f"{line.quantity} {line.unit.name.lower()} of {line.listing.hex()[:16]} for {line.amount} wei"
