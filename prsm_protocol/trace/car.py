"""CARv1 framing as a stream: a header with roots, then blocks, each with its CID.

Knows lengths and hashes, nothing of what blocks mean. Reading refuses a block that misses its CID, a length that is not
written in its shortest form, and a broken end; limits keep a hostile file from filling the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from prsm_protocol.errors import ContentError, TraceError
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import Cid

SECTION_LIMIT = 2 * 1024 * 1024 + 64
"""The largest block IPFS nodes exchange, and its CID."""
HEADER_LIMIT = 64 * 1024
BLOCKS_LIMIT = 1_000_000


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class ArchiveMalformed(TraceError):
    text = "the archive breaks at byte {offset}: {reason}; ask for the file again"


class ArchiveBlockMismatch(TraceError):
    text = "block {cid} at byte {offset} does not hash to its id; the archive was altered, ask for it again"


def write(out: Writable, roots: Sequence[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> None:
    """Write an archive; blocks go out as they come."""
    header = dag_cbor.encode({"roots": list(roots), "version": 1})
    out.write(_varint(len(header)) + header)
    for cid, data in blocks:
        out.write(_varint(len(cid.bytes) + len(data)) + cid.bytes + data)


def read(stream: Readable) -> tuple[tuple[Cid, ...], Iterator[tuple[Cid, bytes]]]:
    """The roots, and the blocks as they are read; each was hashed before it is yielded."""
    length, at = _read_varint(stream, 0)
    if length is None:
        raise ArchiveMalformed(offset=0, reason="it is empty")
    if length > HEADER_LIMIT:
        raise ArchiveMalformed(offset=0, reason=f"a header of {length} bytes, the limit is {HEADER_LIMIT}")
    try:
        header = dag_cbor.decode(_exactly(stream, length, at))
    except dag_cbor.BlockNotCanonical as error:
        raise ArchiveMalformed(offset=at, reason=f"the header: {error}") from None
    if not isinstance(header, dict) or set(header) != {"roots", "version"} or header["version"] != 1:
        raise ArchiveMalformed(offset=at, reason="the header is not that of a CARv1 file")
    roots = header["roots"]
    if not isinstance(roots, list) or not all(isinstance(root, Cid) for root in roots):
        raise ArchiveMalformed(offset=at, reason="the header's roots are not links")
    return tuple(roots), _blocks(stream, at + length)


def _blocks(stream: Readable, at: int) -> Iterator[tuple[Cid, bytes]]:
    for _ in range(BLOCKS_LIMIT):
        start = at
        length, at = _read_varint(stream, at)
        if length is None:
            return
        if length > SECTION_LIMIT:
            raise ArchiveMalformed(offset=start, reason=f"a block of {length} bytes, the limit is {SECTION_LIMIT}")
        section = _exactly(stream, length, at)
        size = 34 if section[:2] == b"\x12\x20" else 36
        try:
            cid = Cid.from_bytes(section[:size])
        except ContentError as error:
            raise ArchiveMalformed(offset=at, reason=str(error)) from None
        data = section[size:]
        if Cid.of(data, cid.codec) != cid:
            raise ArchiveBlockMismatch(cid=cid, offset=start)
        at += length
        yield cid, data
    raise ArchiveMalformed(offset=at, reason=f"more than {BLOCKS_LIMIT} blocks")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(stream: Readable, at: int) -> tuple[int | None, int]:
    """(number, next offset); None where the stream ends before it."""
    number = 0
    for shift in range(0, 35, 7):
        byte = stream.read(1)
        if not byte:
            if shift == 0:
                return None, at
            break
        number |= (byte[0] & 0x7F) << shift
        at += 1
        if byte[0] < 0x80:
            if byte[0] == 0 and shift > 0:
                raise ArchiveMalformed(offset=at - 1, reason="a length is not written in its shortest form")
            return number, at
    raise ArchiveMalformed(offset=at, reason="a length is cut off or too large")


def _exactly(stream: Readable, length: int, at: int) -> bytes:
    """A stream may hand out less than asked for (a socket); only an empty answer is its end."""
    parts, have = [], 0
    while have < length:
        part = stream.read(length - have)
        if not part:
            raise ArchiveMalformed(offset=at + have, reason=f"{length - have} bytes are missing at the end")
        parts.append(part)
        have += len(part)
    return b"".join(parts)
