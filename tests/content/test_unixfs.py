"""CIDs equal those that Kubo printed; what is built can be read back."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path

import pytest

from prsm_protocol.content import unixfs
from prsm_protocol.content.unixfs import (
    CHUNK,
    WIDTH,
    FileUnreadable,
    LinkRefused,
    NameInvalid,
    UnixfsInvalid,
    add_bytes,
    add_directory,
    add_file,
    add_stream,
    add_tree,
    list_directory,
    read_file,
    resolve,
)
from prsm_protocol.types import DAG_PB, RAW, Cid

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ipfs_cids.json").read_text())


class Memory:
    def __init__(self) -> None:
        self.blocks: dict[Cid, bytes] = {}

    def put(self, data: bytes, codec: int = RAW) -> Cid:
        cid = Cid.of(data, codec)
        self.blocks[cid] = data
        return cid

    def get(self, cid: Cid) -> bytes:
        return self.blocks[cid]


def stream_bytes(size: int) -> bytes:
    blocks = (hashlib.sha256(b"prsm" + i.to_bytes(8, "big")).digest() for i in range(size // 32 + 1))
    return b"".join(blocks)[:size]


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.mark.parametrize("vector", VECTORS["files"], ids=lambda vector: str(vector["size"]))
def test_add_gives_kubos_cid(memory: Memory, vector: dict[str, str]) -> None:
    data = stream_bytes(int(vector["size"]))
    assert hashlib.sha256(data).hexdigest() == vector["sha256"]
    cid = add_bytes(memory, data)
    assert cid.text == vector["cidv1_raw_leaves_size262144"]
    assert read_file(memory.get, cid) == data


def test_add_tree_gives_kubos_directory_cid(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("alpha\n")
    (tmp_path / "sub" / "b.bin").write_bytes(stream_bytes(300_000))
    (tmp_path / "empty").write_bytes(b"")
    root = add_tree(memory, tmp_path).cid
    assert root.text == VECTORS["directory"]["cidv1_raw_leaves_size262144"]
    assert set(list_directory(memory.get, root)) == {"a.txt", "sub", "empty"}
    assert read_file(memory.get, resolve(memory.get, root, "sub/b.bin")) == stream_bytes(300_000)


@pytest.mark.parametrize("chunks", [1, 2, WIDTH, WIDTH + 1, 2 * WIDTH, 2 * WIDTH + 1])
def test_read_returns_what_was_added_at_the_edges_of_a_node(memory: Memory, chunks: int) -> None:
    data = bytes(chunks * CHUNK)
    assert len(read_file(memory.get, add_bytes(memory, data))) == len(data)


def test_read_refuses_when_a_declared_size_lies(memory: Memory) -> None:
    from io import BytesIO

    from prsm_protocol.content.unixfs import Entry, _file_node

    leaf = add_stream(memory, BytesIO(b"abc"))
    liar = _file_node(memory, [Entry(leaf.cid, 5, 3), leaf])
    with pytest.raises(UnixfsInvalid, match="3 bytes, 5 were declared"):
        read_file(memory.get, liar.cid)


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "a\nb"])
def test_directory_refuses_names_that_lead_elsewhere(memory: Memory, name: str) -> None:
    with pytest.raises(NameInvalid):
        add_directory(memory, {name: add_tree(memory, Path(__file__))})


def test_add_refuses_links_and_missing_files(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(__file__)
    with pytest.raises(LinkRefused):
        add_tree(memory, tmp_path)
    with pytest.raises(FileUnreadable, match="No such file"):
        add_file(memory, tmp_path / "absent")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc", "", "a\x00"])
def test_list_directory_refuses_a_strangers_name_that_leads_elsewhere(name: str) -> None:
    """`prsm get` writes entries under their names, so a hostile folder must not choose a place."""
    memory = Memory()
    child = add_stream(memory, BytesIO(b"x"))
    link = unixfs._link(child.cid, name, child.tree_bytes)
    block = link + unixfs._bytes_field(1, unixfs._field(1, 1))
    cid = memory.put(block, DAG_PB)
    with pytest.raises(NameInvalid):
        list_directory(memory.blocks.__getitem__, cid)
