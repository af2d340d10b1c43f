"""Our own copy of the messages that matter, with receipts of inclusion, because nodes prune and none answers by tag.

Per milestone: fetch its payload, check its signatures and that it follows the last, walk back from its parents to
blocks that earlier milestones referenced, put them in white-flag order and compare with the inclusion root.
Equality proves order and completeness at once, so a node cannot hide, add, swap or change a block; then the blocks
under a watched prefix are kept with their path. What a node has already pruned stays as a named gap.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prsm_protocol.errors import LedgerError
from prsm_protocol.ledger.codec import (
    ZERO_ID,
    Block,
    Milestone,
    TaggedData,
    blake2b,
    block_id,
    decode,
    decode_milestone,
)
from prsm_protocol.ledger.inclusion import Inclusion, Trust, check_milestone
from prsm_protocol.ledger.messages import Message, MessageId, message_key
from prsm_protocol.ledger.transport import AnswerMalformed, MessageNotFound, Metadata, MilestoneNotFound, NodeInfo
from prsm_protocol.ledger.white_flag import white_flag_order
from prsm_protocol.trace import dag_cbor, merkle


class BlockAltered(LedgerError):
    text = "ledger node gave other bytes for block {id} of milestone {milestone}; use another node"


class BlockOmitted(LedgerError):
    text = "ledger node withholds block {id} that milestone {milestone} references; use another node"


class ConeMismatch(LedgerError):
    text = (
        "blocks that the node shows for milestone {milestone} have root {got}, signed is {expected}: one is left out "
        "or wrongly called known; use another node"
    )


class MilestonesBroken(LedgerError):
    text = "milestone {milestone} does not follow the one before it (expected previous {expected}, got {got})"


class ArchiveForeign(LedgerError):
    text = "archive {path} was begun with {stored}, not {asked}; give the same prefixes and network, or another file"


class Source(Protocol):
    """What an archive asks of a node: `rest.RestTransport` or `sdk_worker.SdkTransport`."""

    def info(self) -> NodeInfo: ...

    def block(self, id: bytes) -> bytes: ...

    def metadata(self, id: bytes) -> Metadata: ...

    def milestone(self, index: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Gap:
    """Milestones that the node had pruned before this archive saw them; both ends belong to it."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class SyncReport:
    """`lag` counts the milestones that are still to come; `refused` messages under a prefix did not pass `keep`."""

    milestones: int
    messages: int
    refused: int
    lag: int


class Archive:
    """Messages under a few prefixes of one network, in one SQLite file. Safe for several threads."""

    def __init__(
        self,
        source: Source,
        path: Path,
        prefixes: Sequence[bytes],
        trust: Trust,
        *,
        keep: Callable[[bytes, bytes], bool] = lambda _tag, _data: True,
    ) -> None:
        """`keep(tag, data)` is asked for every message under a prefix, for example whether its signature holds."""
        self._source = source
        self._prefixes = tuple(prefixes)
        self._trust = trust
        self._keep = keep
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        asked = dag_cbor.encode({"network": trust.network, "prefixes": sorted(self._prefixes)})
        self._db.execute("INSERT OR IGNORE INTO facts VALUES ('scope', ?)", (asked,))
        stored = bytes(self._db.execute("SELECT value FROM facts WHERE name = 'scope'").fetchone()[0])
        if stored != asked:
            self._db.close()
            raise ArchiveForeign(path=str(path), stored=dag_cbor.decode(stored), asked=dag_cbor.decode(asked))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # ── taking in ────────────────────────────────────────────────────────────────────────────────────────────────────

    def sync(self, at_most: int = 10_000) -> SyncReport:
        """Take the milestones that came since, in order, each whole or not at all."""
        with self._lock:
            info = self._source.info()
            taken = messages = refused = 0
            while taken < at_most and (index := self._next(info)) <= info.latest:
                try:
                    payload = self._source.milestone(index)
                except MilestoneNotFound:
                    info = self._source.info()
                    if index > info.pruned:
                        raise
                    continue  # it was pruned while we were busy: `_next` names the gap
                kept, dropped = self._take(index, payload, info)
                taken, messages, refused = taken + 1, messages + kept, refused + dropped
            return SyncReport(taken, messages, refused, max(0, info.latest - self._last()))

    def _last(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(number), 0) FROM milestones").fetchone()[0])

    def _next(self, info: NodeInfo) -> int:
        following = max(self._last(), self._gap_end()) + 1
        if following <= info.pruned:
            self._db.execute("INSERT INTO gaps VALUES (?, ?)", (following, info.pruned))
            return info.pruned + 1
        return following

    def _gap_end(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(last), 0) FROM gaps").fetchone()[0])

    def _take(self, index: int, payload: bytes, info: NodeInfo) -> tuple[int, int]:
        milestone = decode_milestone(payload)
        if milestone.index != index:
            raise AnswerMalformed(field=f"milestone {index}")
        check_milestone(milestone, self._trust)
        self._check_follows(milestone)
        raws: dict[bytes, bytes] = {}
        order = white_flag_order(milestone.parents, lambda id: self._parents_of(id, milestone, info, raws))
        root = merkle.root(order, blake2b)
        if root != milestone.inclusion_root:
            raise ConeMismatch(milestone=index, expected=milestone.inclusion_root.hex(), got=root.hex())
        kept = refused = 0
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("INSERT INTO milestones VALUES (?, ?, ?)", (index, milestone.id, payload))
            for leaf, id in enumerate(order):
                self._db.execute("INSERT INTO referenced VALUES (?, ?)", (id, index))
                block = decode(raws[id])
                if not self._is_watched(block):
                    continue
                assert isinstance(block.payload, TaggedData)
                tag, data = block.payload.tag, block.payload.data
                if not self._keep(tag, data):
                    refused += 1
                    continue
                path = dag_cbor.encode(merkle.inclusion(order, leaf, blake2b))
                row = (id, tag, data, index, milestone.timestamp, raws[id], leaf, len(order), path)
                self._db.execute(_INSERT_MESSAGE, row)
                kept += 1
            # Blocks cannot hang on parents deeper than this, so older ids need not be known any more.
            self._db.execute("DELETE FROM referenced WHERE milestone < ?", (index - 4 * info.below_max_depth,))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return kept, refused

    def _check_follows(self, milestone: Milestone) -> None:
        query = "SELECT id FROM milestones WHERE number = ?"
        row = self._db.execute(query, (milestone.index - 1,)).fetchone()
        if row is not None and bytes(row[0]) != milestone.previous:
            expected, got = bytes(row[0]).hex(), milestone.previous.hex()
            raise MilestonesBroken(milestone=milestone.index, expected=expected, got=got)

    def _parents_of(
        self, id: bytes, milestone: Milestone, info: NodeInfo, raws: dict[bytes, bytes]
    ) -> tuple[bytes, ...] | None:
        """A new block's parents, fetched; None for one that an earlier milestone references."""
        if id == ZERO_ID or self._db.execute("SELECT 1 FROM referenced WHERE id = ?", (id,)).fetchone():
            return None
        # Shortly after a gap blocks may hang on some that were never seen here: the node is asked. If it lies, the
        # roots differ.
        begin = self._gap_end() + 1
        if begin > 1 and milestone.index - begin <= 2 * info.below_max_depth:
            try:
                known = self._source.metadata(id).milestone
            except MessageNotFound:  # pruned, hence referenced long ago
                return None
            if known is not None and known < milestone.index:
                return None
        try:
            raw = self._source.block(id)
        except MessageNotFound:
            raise BlockOmitted(id=id.hex(), milestone=milestone.index) from None
        except AnswerMalformed:
            raise BlockAltered(id=id.hex(), milestone=milestone.index) from None
        if block_id(raw) != id:
            raise BlockAltered(id=id.hex(), milestone=milestone.index)
        raws[id] = raw
        return decode(raw).parents

    def _is_watched(self, block: Block) -> bool:
        return isinstance(block.payload, TaggedData) and block.payload.tag.startswith(self._prefixes)

    # ── giving out ───────────────────────────────────────────────────────────────────────────────────────────────────

    def since(self, prefix: bytes, cursor: int = 0, at_most: int = 1_000) -> list[Message]:
        """Confirmed messages under a prefix after `cursor`, in the ledger's order; the last one's cursor goes on."""
        query = (
            "SELECT cursor, id, tag, data, milestone, at FROM messages"
            " WHERE cursor > ? AND substr(tag, 1, ?) = ? ORDER BY cursor LIMIT ?"
        )
        with self._lock:
            rows = self._db.execute(query, (cursor, len(prefix), prefix, at_most)).fetchall()
        return [
            Message(MessageId(id), message_key(tag, data), tag, data, milestone, at, place)
            for place, id, tag, data, milestone, at in rows
        ]

    def receipt(self, id: bytes) -> Inclusion:
        """The receipt of a message kept here; anybody who trusts the network's keys can check it offline."""
        query = (
            "SELECT m.raw, m.leaf, m.leaves, m.path, s.payload FROM messages m"
            " JOIN milestones s ON s.number = m.milestone WHERE m.id = ?"
        )
        with self._lock:
            row = self._db.execute(query, (id,)).fetchone()
        if row is None:
            raise MessageNotFound(id=id.hex())
        raw, leaf, leaves, path, payload = row
        nodes = dag_cbor.decode(path)
        assert isinstance(nodes, list)
        return Inclusion(self._trust.network, raw, leaf, leaves, tuple(nodes), payload)

    def gaps(self) -> list[Gap]:
        with self._lock:
            return [Gap(*row) for row in self._db.execute("SELECT first, last FROM gaps ORDER BY first")]

    def last_milestone(self) -> int:
        """Index of the last milestone taken in; 0 before the first."""
        with self._lock:
            return self._last()


_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS milestones (number INTEGER PRIMARY KEY, id BLOB NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS referenced (id BLOB PRIMARY KEY, milestone INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gaps (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS messages (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, tag BLOB NOT NULL, data BLOB NOT NULL,
    milestone INTEGER NOT NULL, at INTEGER NOT NULL, raw BLOB NOT NULL, leaf INTEGER NOT NULL, leaves INTEGER NOT NULL,
    path BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS referenced_by_milestone ON referenced (milestone);
"""
_INSERT_MESSAGE = (
    "INSERT INTO messages (id, tag, data, milestone, at, raw, leaf, leaves, path) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
