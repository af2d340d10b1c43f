"""Blocks in one SQLite table, usable by several processes; what was acknowledged survives a kill and a power cut.

Every read is hashed: nobody ever gets bytes that miss their CID. A pinned tree never loses a block; only `remove` takes blocks
away, one named tree at a time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from prsm_protocol.content.unixfs import parse_node
from prsm_protocol.errors import ContentError, PrsmError
from prsm_protocol.trace import car
from prsm_protocol.types import DAG_CBOR, DAG_PB, RAW, Cid

BLOCK_LIMIT = 2 * 1024 * 1024
"""2 MiB, the largest block IPFS nodes exchange."""


class BlockNotFound(ContentError):
    text = "block {cid} is not held here; fetch it from a gateway that has it"


class BlockMismatch(ContentError):
    text = "bytes do not hash to {cid}; they were refused"


class BlockCorrupt(ContentError):
    text = "block {cid} in {path} no longer matches its id; restore the store or fetch the block again"


class BlockTooLarge(ContentError):
    text = "a block of {bytes} bytes is over the limit of {limit}"


class StoreFull(ContentError):
    text = "no room left in {path}; free some space, nothing was half-written"


class CarMalformed(ContentError):
    text = "the archive is not a CAR file that can be read: {reason}"


class PinIncomplete(ContentError):
    text = "{root} cannot be pinned: {missing} of its blocks are not here"


_SCHEMA = """
CREATE TABLE IF NOT EXISTS blocks (cid BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pins (root BLOB NOT NULL, name TEXT NOT NULL, PRIMARY KEY (root, name));
"""


class Store:
    """The embedded block store in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._local = threading.local()
        with self._connection() as connection:
            connection.executescript(_SCHEMA)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=30, isolation_level="IMMEDIATE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
        return connection

    def put(self, data: bytes, codec: int = RAW) -> Cid:
        cid = Cid.of(data, codec)
        self.put_many([(cid, data)])
        return cid

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """All or none; returns after the disk has them."""
        rows = []
        for cid, data in blocks:
            if len(data) > BLOCK_LIMIT:
                raise BlockTooLarge(bytes=len(data), limit=BLOCK_LIMIT)
            if Cid.of(data, cid.codec) != cid:
                raise BlockMismatch(cid=cid)
            rows.append((cid.bytes, data))
        try:
            with self._connection() as connection:
                connection.executemany("INSERT OR IGNORE INTO blocks VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            if "full" in str(error) or "disk I/O" in str(error):
                raise StoreFull(path=self.path) from None
            raise

    def get(self, cid: Cid) -> bytes:
        row = self._connection().execute("SELECT data FROM blocks WHERE cid = ?", (cid.bytes,)).fetchone()
        if row is None:
            raise BlockNotFound(cid=cid)
        data = bytes(row[0])
        if Cid.of(data, cid.codec) != cid:
            raise BlockCorrupt(cid=cid, path=self.path)
        return data

    def has(self, cid: Cid) -> bool:
        return self._connection().execute("SELECT 1 FROM blocks WHERE cid = ?", (cid.bytes,)).fetchone() is not None

    def size(self) -> tuple[int, int]:
        """(blocks, bytes) held."""
        count, total = (
            self._connection().execute("SELECT count(*), coalesce(sum(length(data)), 0) FROM blocks").fetchone()
        )
        return int(count), int(total)

    # ── pins ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def pin(self, root: Cid, name: str) -> None:
        """Keep a whole tree under a name; refused while a block is missing."""
        missing = sum(1 for cid in self._walk(root, missing_too=True) if not self.has(cid))
        if missing:
            raise PinIncomplete(root=root, missing=missing)
        with self._connection() as connection:
            connection.execute("INSERT OR IGNORE INTO pins VALUES (?, ?)", (root.bytes, name))

    def unpin(self, root: Cid, name: str) -> None:
        with self._connection() as connection:
            connection.execute("DELETE FROM pins WHERE root = ? AND name = ?", (root.bytes, name))

    def pins(self) -> list[tuple[Cid, str]]:
        rows = self._connection().execute("SELECT root, name FROM pins ORDER BY name, root").fetchall()
        return [(Cid.from_bytes(bytes(root)), str(name)) for root, name in rows]

    def remove(self, root: Cid) -> int:
        """Forget a tree and its pins; blocks that another pinned tree holds stay. Returns how many blocks went."""
        kept = {cid for other, _ in self.pins() if other != root for cid in self._walk(other, missing_too=True)}
        gone = [cid for cid in self._walk(root, missing_too=True) if cid not in kept and self.has(cid)]
        with self._connection() as connection:
            connection.execute("DELETE FROM pins WHERE root = ?", (root.bytes,))
            connection.executemany("DELETE FROM blocks WHERE cid = ?", [(cid.bytes,) for cid in gone])
        return len(gone)

    # ── archives ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def export_car(self, root: Cid, out: BinaryIO) -> None:
        """The tree below `root`: depth first, each block once, as Kubo orders it."""
        car.write(out, [root], ((cid, self.get(cid)) for cid in self._walk(root)))

    def import_car(self, stream: BinaryIO) -> list[Cid]:
        """Every block is hashed; at the first wrong one nothing of the archive is kept. Returns the roots it names."""
        try:
            roots, blocks = car.read(stream)
            batch = list(blocks)
        except PrsmError as error:
            raise CarMalformed(reason=error) from None
        self.put_many(batch)
        return list(roots)

    def _walk(self, root: Cid, missing_too: bool = False) -> Iterator[Cid]:
        seen: set[Cid] = set()
        stack = [root]
        while stack:
            cid = stack.pop()
            if cid in seen:
                continue
            seen.add(cid)
            yield cid
            if cid.codec == RAW or (missing_too and not self.has(cid)):
                continue
            stack.extend(reversed(links(cid, self.get(cid))))


def links(cid: Cid, data: bytes) -> list[Cid]:
    """Ids that a block points to. Foreign DAG-CBOR is only scanned for tag 42, never decoded or re-encoded."""
    if cid.codec == DAG_PB:
        return [child for _, child, _ in parse_node(data, cid).links]
    if cid.codec == DAG_CBOR:
        return _scan_tag_42(data)
    return []


_LINK_HEAD = b"\xd8\x2a\x58\x25\x00"  # tag 42, byte string of 37 bytes: identity prefix and a CIDv1


def _scan_tag_42(data: bytes) -> list[Cid]:
    found = []
    at = data.find(_LINK_HEAD)
    while at >= 0:
        raw = data[at + len(_LINK_HEAD) : at + len(_LINK_HEAD) + 36]
        with suppress(ContentError):  # bytes that only look like a link, inside a text or byte string
            found.append(Cid.from_bytes(raw))
        at = data.find(_LINK_HEAD, at + 1)
    return found


Getter = Callable[[Cid], bytes]
