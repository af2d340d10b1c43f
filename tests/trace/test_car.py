"""CARv1: what is written is read; what is cut, altered or padded is refused."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.trace import car, verify
from prsm_protocol.types import DAG_CBOR, RAW, Cid

blocks = st.lists(st.tuples(st.sampled_from([RAW, DAG_CBOR]), st.binary(max_size=300)), max_size=6).map(
    lambda found: [(Cid.of(data, codec), data) for codec, data in found]
)


def packed(roots: list[Cid], found: list[tuple[Cid, bytes]]) -> bytes:
    out = io.BytesIO()
    car.write(out, roots, found)
    return out.getvalue()


def read(data: bytes) -> tuple[list[Cid], list[tuple[Cid, bytes]]]:
    roots, found = car.read(io.BytesIO(data))
    return list(roots), list(found)


class Trickle(io.BytesIO):
    """A stream that hands out at most three bytes at once, as a socket may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 3, 3) if size and size > 0 else 3)


@given(blocks)
@settings(deadline=None)
def test_read_returns_what_was_written(found: list[tuple[Cid, bytes]]) -> None:
    roots = [cid for cid, _ in found[:2]]
    data = packed(roots, found)
    assert read(data) == (roots, found)
    mine, theirs = verify.read_car(data)
    assert [bytes(root) for root in mine] == [root.bytes for root in roots]
    assert [(bytes(cid), block) for cid, block in theirs] == [(cid.bytes, block) for cid, block in found]


def test_a_slow_stream_is_read_whole() -> None:
    block = bytes(range(200))
    data = packed([], [(Cid.of(block), block)])
    _, found = car.read(Trickle(data))
    assert list(found) == [(Cid.of(block), block)]


def test_header_is_that_of_other_tools() -> None:
    cid = Cid.of(b"root")
    assert packed([cid], [])[1:].startswith(b"\xa2eroots\x81\xd8*X%\x00")
    assert packed([cid], []).endswith(b"gversion\x01")


def test_old_ids_are_read_as_dag_pb() -> None:
    block = b"dag-pb bytes"
    section = b"\x12\x20" + Cid.of(block).digest + block
    _, found = read(packed([], []) + bytes((len(section),)) + section)
    assert found == [(Cid.of(block, 0x70), block)]


def test_altered_block_names_its_id() -> None:
    data = packed([], [(Cid.of(b"one"), b"one")])
    with pytest.raises(car.ArchiveBlockMismatch) as refused:
        read(data[:-1] + b"x")
    assert refused.value.values["cid"] == Cid.of(b"one")


@pytest.mark.parametrize("cut", [1, 5, 39, 60])
def test_cut_archive_is_refused(cut: int) -> None:
    data = packed([Cid.of(b"one")], [(Cid.of(b"one"), b"one")])
    with pytest.raises(car.ArchiveMalformed):
        read(data[:-cut])


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x80\x00", b"\xff" * 6, b"\x01\xa0", b"\x05\x81\x00\x00\x00\x00"])
def test_broken_header_is_refused(data: bytes) -> None:
    with pytest.raises(car.ArchiveMalformed):
        read(data)


def test_too_large_section_is_refused_before_it_is_read() -> None:
    with pytest.raises(car.ArchiveMalformed) as refused:
        read(packed([], []) + b"\xff\xff\xff\x7f")
    assert "the limit is" in str(refused.value)
