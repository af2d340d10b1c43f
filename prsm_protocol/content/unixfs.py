"""Build and read UnixFS: 256 KiB chunks, raw leaves, 174 links a node, so CIDs equal Kubo's for the same bytes.

Source: the IPFS specifications `unixfs` and `dag-pb`; equality with a real node is held by `tests/vectors/ipfs_cids.json`.
Sharded directories are not built: one that would need sharding is refused by name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from prsm_protocol.errors import ContentError
from prsm_protocol.types import DAG_PB, RAW, Cid

CHUNK = 262_144
WIDTH = 174
_MAX_DEPTH = 32
_DIRECTORY_LIMIT = 262_144  # Kubo shards above this sum of name bytes + CID bytes
_RAW_TYPE, _DIRECTORY_TYPE, _FILE_TYPE = 0, 1, 2


class DirectoryTooLarge(ContentError):
    text = "the directory's entries take {bytes} bytes, {limit} fit one block; split it into folders"


class NameInvalid(ContentError):
    text = "{name!r} cannot be a name in a directory; use UTF-8 without '/', '..' or control characters"


class LinkRefused(ContentError):
    text = "{path} is a link or a device and is not followed; copy the file itself"


class UnixfsInvalid(ContentError):
    text = "block {cid} is not the file it should be: {reason}"


class FileChanged(ContentError):
    text = "{path} changed while it was read; try again when nobody writes to it"


class FileUnreadable(ContentError):
    text = "{path} cannot be read: {reason}"


class Sink(Protocol):
    def put(self, data: bytes, codec: int = RAW) -> Cid: ...


Getter = Callable[[Cid], bytes]


@dataclass(frozen=True)
class Entry:
    """A node: its id, the bytes of the file below it, and the bytes of all its blocks."""

    cid: Cid
    size_bytes: int
    tree_bytes: int


# ── building ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_stream(sink: Sink, stream: BinaryIO, progress: Callable[[int], None] | None = None) -> Entry:
    """Add one file, bottom up, holding one chunk and one open node a level."""
    levels: list[list[Entry]] = [[]]
    count = 0
    while True:
        chunk = stream.read(CHUNK)
        if not chunk and count:
            break
        count += 1
        _push(sink, levels, Entry(sink.put(chunk, RAW), len(chunk), len(chunk)))
        if progress is not None:
            progress(len(chunk))
        if len(chunk) < CHUNK:
            break
    return _finish(sink, levels)


def _push(sink: Sink, levels: list[list[Entry]], entry: Entry, level: int = 0) -> None:
    """Put an entry into a level; a full node is closed only when its next sibling comes, and moves one level up."""
    if level == len(levels):
        levels.append([])
    if len(levels[level]) == WIDTH:
        full, levels[level] = levels[level], []
        _push(sink, levels, _file_node(sink, full), level + 1)
    levels[level].append(entry)


def _finish(sink: Sink, levels: list[list[Entry]]) -> Entry:
    """Close every level from the bottom; a lone last child is wrapped like any other, only a lone root is not."""
    level = 0
    while not (level == len(levels) - 1 and len(levels[level]) == 1):
        _push(sink, levels, _file_node(sink, levels[level]), level + 1)
        level += 1
    return levels[level][0]


def _file_node(sink: Sink, children: list[Entry]) -> Entry:
    size = sum(child.size_bytes for child in children)
    data = _field(1, _FILE_TYPE) + _field(3, size) + b"".join(_field(4, child.size_bytes) for child in children)
    links = b"".join(_link(child.cid, "", child.tree_bytes) for child in children)
    block = links + _bytes_field(1, data)
    return Entry(sink.put(block, DAG_PB), size, len(block) + sum(child.tree_bytes for child in children))


def add_directory(sink: Sink, entries: dict[str, Entry]) -> Entry:
    """A plain directory; links sorted by the bytes of their names."""
    weight = sum(len(name.encode()) + 36 for name in entries)
    if weight > _DIRECTORY_LIMIT:
        raise DirectoryTooLarge(bytes=weight, limit=_DIRECTORY_LIMIT)
    for name in entries:
        _check_name(name)
    ordered = sorted(entries.items(), key=lambda item: item[0].encode())
    links = b"".join(_link(entry.cid, name, entry.tree_bytes) for name, entry in ordered)
    block = links + _bytes_field(1, _field(1, _DIRECTORY_TYPE))
    size = sum(entry.size_bytes for entry in entries.values())
    return Entry(sink.put(block, DAG_PB), size, len(block) + sum(entry.tree_bytes for entry in entries.values()))


def _check_name(name: str) -> None:
    if not name or "/" in name or name in (".", "..") or any(ord(character) < 32 for character in name):
        raise NameInvalid(name=name)


def add_bytes(sink: Sink, data: bytes) -> Cid:
    return add_stream(sink, BytesIO(data)).cid


def add_file(sink: Sink, path: Path, progress: Callable[[int], None] | None = None) -> Entry:
    """Add the file at `path`; a file that changes meanwhile is refused."""
    try:
        before = path.lstat()
        if not stat.S_ISREG(before.st_mode):
            raise LinkRefused(path=str(path))
        with path.open("rb") as stream:
            entry = add_stream(sink, stream, progress)
            after = os.fstat(stream.fileno())
    except OSError as error:
        raise FileUnreadable(path=str(path), reason=error.strerror or error) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or after.st_size != entry.size_bytes:
        raise FileChanged(path=str(path))
    return entry


def add_tree(sink: Sink, path: Path, progress: Callable[[int], None] | None = None, depth: int = 0) -> Entry:
    """Add a file or a folder with everything in it; hidden files too."""
    if path.is_symlink():
        raise LinkRefused(path=str(path))
    if not path.is_dir():
        return add_file(sink, path, progress)
    if depth > _MAX_DEPTH:
        raise NameInvalid(name=str(path))
    children = sorted(path.iterdir())
    for child in children:
        try:
            child.name.encode()
        except UnicodeEncodeError:
            raise NameInvalid(name=ascii(child.name)) from None
    return add_directory(sink, {child.name: add_tree(sink, child, progress, depth + 1) for child in children})


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_file(get: Getter, cid: Cid, limit: int = 1 << 30) -> bytes:
    """The whole file below `cid`, at most `limit` bytes."""
    parts = []
    total = 0
    for part in stream_file(get, cid):
        total += len(part)
        if total > limit:
            raise UnixfsInvalid(cid=cid, reason=f"more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def stream_file(get: Getter, cid: Cid, depth: int = 0) -> Iterator[bytes]:
    """The file's bytes in order; declared sizes are compared with real ones."""
    if depth > _MAX_DEPTH:
        raise UnixfsInvalid(cid=cid, reason=f"deeper than {_MAX_DEPTH} levels")
    if cid.codec == RAW:
        yield get(cid)
        return
    node = parse_node(get(cid), cid)
    if node.kind not in (_RAW_TYPE, _FILE_TYPE):
        raise UnixfsInvalid(
            cid=cid, reason="it is a directory, not a file" if node.kind == _DIRECTORY_TYPE else "unknown type"
        )
    if node.links and len(node.sizes) != len(node.links):
        raise UnixfsInvalid(cid=cid, reason="links and sizes differ in number")
    seen = len(node.data)
    if node.data:
        yield node.data
    for (_, child, _), size in zip(node.links, node.sizes, strict=True):
        got = 0
        for part in stream_file(get, child, depth + 1):
            got += len(part)
            yield part
        if got != size:
            raise UnixfsInvalid(cid=cid, reason=f"child {child} has {got} bytes, {size} were declared")
        seen += got
    if node.size is not None and node.size != seen:
        raise UnixfsInvalid(cid=cid, reason=f"{seen} bytes, {node.size} were declared")


def list_directory(get: Getter, cid: Cid) -> dict[str, Cid]:
    """Names and ids in a plain directory."""
    if cid.codec != DAG_PB:
        raise UnixfsInvalid(cid=cid, reason="it is a file, not a directory")
    node = parse_node(get(cid), cid)
    if node.kind != _DIRECTORY_TYPE:
        raise UnixfsInvalid(cid=cid, reason="it is a file, not a directory")
    for name, _, _ in node.links:
        _check_name(name)  # a stranger's folder must not name a place outside the one it is written to
    return {name: child for name, child, _ in node.links}


def is_directory(get: Getter, cid: Cid) -> bool:
    return cid.codec == DAG_PB and parse_node(get(cid), cid).kind == _DIRECTORY_TYPE


def resolve(get: Getter, cid: Cid, path: str) -> Cid:
    """The id at a path below a directory."""
    for name in [part for part in path.split("/") if part]:
        entries = list_directory(get, cid)
        if name not in entries:
            raise UnixfsInvalid(cid=cid, reason=f"has no entry {name!r}")
        cid = entries[name]
    return cid


@dataclass(frozen=True)
class Node:
    links: tuple[tuple[str, Cid, int], ...]  # name, id, bytes of the tree below
    kind: int
    data: bytes
    size: int | None
    sizes: tuple[int, ...]


def parse_node(block: bytes, cid: Cid) -> Node:
    """Read a dag-pb block with its UnixFS data."""
    links: list[tuple[str, Cid, int]] = []
    inner = b""
    for number, value in _fields(block, cid):
        if number == 2 and isinstance(value, bytes):
            name, child, tree = "", None, 0
            for field, part in _fields(value, cid):
                if field == 1 and isinstance(part, bytes):
                    child = Cid.from_bytes(part)
                elif field == 2 and isinstance(part, bytes):
                    name = part.decode("utf-8", "strict")
                elif field == 3 and isinstance(part, int):
                    tree = part
            if child is None:
                raise UnixfsInvalid(cid=cid, reason="a link without an id")
            links.append((name, child, tree))
        elif number == 1 and isinstance(value, bytes):
            inner = value
    kind, data, size, sizes = -1, b"", None, []
    for number, value in _fields(inner, cid):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            data = value
        elif number == 3 and isinstance(value, int):
            size = value
        elif number == 4 and isinstance(value, int):
            sizes.append(value)
    return Node(tuple(links), kind, data, size, tuple(sizes))


# ── protobuf, as far as dag-pb needs it ──────────────────────────────────────────────────────────────────────────────


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _link(cid: Cid, name: str, tree_bytes: int) -> bytes:
    body = _bytes_field(1, cid.bytes) + _bytes_field(2, name.encode()) + _field(3, tree_bytes)
    return _bytes_field(2, body)


def _fields(data: bytes, cid: Cid) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise UnixfsInvalid(cid=cid, reason="the protobuf is cut off")
            byte = data[at]
            at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            length = varint()
            if at + length > len(data):
                raise UnixfsInvalid(cid=cid, reason="the protobuf is cut off")
            at += length
            yield key >> 3, data[at - length : at]
        else:
            raise UnixfsInvalid(cid=cid, reason=f"wire type {key & 7}")
