"""One set of checks over the embedded store and over a real Kubo 0.42.0, and both compared: CIDs, archives, gateways.

Kubo is built by `make test-nodes` (needs Go); without the binary its half is skipped and says so.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from prsm_protocol.content import Store, add_bytes, add_tree
from prsm_protocol.content.gateway import application
from prsm_protocol.content.kubo import BlockStore, Kubo, KuboPinNamed, KuboRefused
from prsm_protocol.content.store import BlockMismatch, BlockNotFound, BlockTooLarge, CarMalformed, PinIncomplete
from prsm_protocol.content.unixfs import CHUNK, WIDTH, DirectoryTooLarge, add_stream
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, DAG_PB, RAW, Cid

NODE = WIDTH * CHUNK
SIZES = [
    *[0, 1, 255, 256, 65_536, 100_000],
    *[CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1, 7 * CHUNK + 13],
    *[1_000_000, NODE - 1, NODE, NODE + 1, NODE + CHUNK + 1],
]
ADD = ("add", "-r", "-H", "--cid-version=1", "--raw-leaves", "--chunker=size-262144", "--only-hash")
ENTRY_LIMIT = 262_144
NAME_BYTES = 220  # with 36 bytes of id an entry weighs 256, and 1,024 of them meet the limit exactly


def stream(size: int, seed: str = "prsm") -> bytes:
    """The same bytes everywhere: SHA-256 over a counter."""
    blocks = (sha256(f"{seed}/{at}".encode()).digest() for at in count())
    return b"".join(next(blocks) for _ in range(-(-size // 32)))[:size]


class Hashing:
    """A sink that keeps ids only: big files need no memory."""

    def put(self, data: bytes, codec: int = RAW) -> Cid:
        return Cid.of(data, codec)


def _kubo_process() -> ModuleType:
    """The neighbour module: tests are no package, so it is loaded by its path."""
    spec = importlib.util.spec_from_file_location("kubo_process", Path(__file__).with_name("kubo_process.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    processes = _kubo_process()
    binary = processes.find_binary()
    if binary is None:
        pytest.skip("no Kubo: build it with make test-nodes (needs Go), or name its folder in PRSM_NODES_BIN")
    with processes.kubo(binary, tmp_path_factory.mktemp("kubo")) as running:
        yield running


@pytest.fixture
def embedded(tmp_path: Path) -> Store:
    return Store(tmp_path / "blocks.db")


@pytest.fixture(params=["embedded store", "kubo"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> BlockStore:
    if request.param == "embedded store":
        return Store(tmp_path / "subject.db")
    return Kubo(request.getfixturevalue("daemon").api)


def archive(store: BlockStore, root: Cid) -> bytes:
    out = BytesIO()
    store.export_car(root, out)
    return out.getvalue()


# ── what holds for both ──────────────────────────────────────────────────────────────────────────────────────────────


def test_blocks_come_back_as_they_went_in(subject: BlockStore) -> None:
    raw = stream(1000, "blocks")
    linked = dag_cbor.encode({"data": Cid.of(raw)})
    blocks = [(Cid.of(raw), raw), (Cid.of(linked, DAG_CBOR), linked), (Cid.of(b""), b"")]
    assert not subject.has(blocks[0][0])
    subject.put_many(blocks)
    subject.put_many(blocks)
    for cid, data in blocks:
        assert subject.has(cid)
        assert subject.get(cid) == data


def test_a_block_not_held_is_named(subject: BlockStore) -> None:
    missing = Cid.of(b"nobody has this")
    with pytest.raises(BlockNotFound) as caught:
        subject.get(missing)
    assert caught.value.values["cid"] == missing
    with pytest.raises(BlockNotFound):
        subject.export_car(missing, BytesIO())


def test_a_wrong_or_too_large_block_keeps_the_good_one_before_it_out(subject: BlockStore) -> None:
    good = b"good, but in bad company"
    with pytest.raises(BlockMismatch):
        subject.put_many([(Cid.of(good), good), (Cid.of(b"said"), b"sent")])
    large = bytes(2 * 1024 * 1024 + 1)
    with pytest.raises(BlockTooLarge) as caught:
        subject.put_many([(Cid.of(good), good), (Cid.of(large), large)])
    assert caught.value.values["bytes"] == len(large)
    assert not subject.has(Cid.of(good))
    subject.put_many([(Cid.of(large[:-1]), large[:-1])])  # the largest that passes


def test_an_archive_is_kept_whole_or_not_at_all(subject: BlockStore, embedded: Store) -> None:
    root = add_bytes(embedded, stream(3 * CHUNK + 5, "whole"))
    good = archive(embedded, root)
    for bad in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b"no archive"):
        with pytest.raises(CarMalformed):
            subject.import_car(BytesIO(bad))
        assert not subject.has(root)
    assert subject.import_car(BytesIO(good)) == [root]
    assert archive(subject, root) == good


def test_a_tree_is_pinned_only_when_whole_and_stays_until_unpinned(subject: BlockStore, embedded: Store) -> None:
    root = add_bytes(embedded, stream(4 * CHUNK, "pinned"))
    subject.put_many([(root, embedded.get(root))])
    with pytest.raises(PinIncomplete) as caught:
        subject.pin(root, "test")
    assert caught.value.values["missing"] == 4
    with pytest.raises(BlockNotFound):
        subject.export_car(root, BytesIO())
    subject.import_car(BytesIO(archive(embedded, root)))
    subject.pin(root, "test")
    subject.pin(root, "test")
    assert (root, "test") in subject.pins()
    subject.unpin(root, "another name")
    assert (root, "test") in subject.pins()
    subject.unpin(root, "test")
    subject.unpin(root, "test")
    assert root not in [pinned for pinned, _ in subject.pins()]


# ── Kubo beside the embedded store ───────────────────────────────────────────────────────────────────────────────────


def test_files_get_the_ids_that_kubo_gives_them(daemon: Any) -> None:
    longest = stream(max(SIZES))
    with TemporaryDirectory() as folder:  # 190 MB: not left behind as pytest leaves its own folders
        for size in SIZES:
            (Path(folder) / str(size)).write_bytes(longest[:size])
        lines = daemon.run(*ADD, folder).splitlines()
    theirs = {int(line.rsplit("/", 1)[1]): line.split()[1] for line in lines if "/" in line}
    ours = {size: add_stream(Hashing(), BytesIO(longest[:size])).cid.text for size in SIZES}
    assert len(SIZES) == 20
    assert ours == theirs


def _tree(folder: Path) -> Path:
    """Names that are easily got wrong: composed and decomposed, spaces, hidden, the longest, an order by bytes."""
    composed = unicodedata.normalize("NFC", "é")
    names = ["a", "B", "a.b", "a b", ".hidden", "z" * 255, composed, unicodedata.normalize("NFD", composed), "𝔘"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    (folder / "empty").mkdir()
    (folder / "deep/deeper").mkdir(parents=True)
    (folder / "deep/deeper/chunks.bin").write_bytes(stream(2 * CHUNK + 9, "tree"))
    (folder / "deep/same.bin").write_bytes(stream(2 * CHUNK + 9, "tree"))
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return _tree(folder)


def test_folders_get_the_ids_that_kubo_gives_them(daemon: Any, embedded: Store, tree: Path) -> None:
    assert add_tree(embedded, tree).cid.text == daemon.run(*ADD, "-Q", str(tree)).strip()


@pytest.mark.parametrize("over", [-1, 0])
def test_folders_up_to_the_limit_get_the_ids_that_kubo_gives_them(daemon: Any, tmp_path: Path, over: int) -> None:
    folder = _full_folder(tmp_path, over)
    assert add_tree(Hashing(), folder).cid.text == daemon.run(*ADD, "-Q", str(folder)).strip()


def test_a_folder_over_the_limit_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DirectoryTooLarge) as caught:
        add_tree(Hashing(), _full_folder(tmp_path, 1))
    assert caught.value.values == {"bytes": ENTRY_LIMIT + 1, "limit": ENTRY_LIMIT}


def _full_folder(tmp_path: Path, over: int) -> Path:
    folder = tmp_path / "full"
    folder.mkdir()
    entries = ENTRY_LIMIT // (NAME_BYTES + 36)
    for number in range(entries):
        size = NAME_BYTES + (over if number == 0 else 0)
        (folder / f"{number:05}".ljust(size, "x")).touch()
    return folder


def test_archives_made_here_are_read_there_and_come_back_equal(
    daemon: Any, embedded: Store, tree: Path, tmp_path: Path
) -> None:
    root = add_tree(embedded, tree).cid
    sent = tmp_path / "sent.car"
    sent.write_bytes(archive(embedded, root))
    assert root.text in daemon.run("dag", "import", str(sent))
    assert archive(Kubo(daemon.api), root) == sent.read_bytes()
    assert daemon.read("cat", f"/ipfs/{root}/deep/same.bin") == stream(2 * CHUNK + 9, "tree")
    returned = Store(tmp_path / "returned.db")
    returned.import_car(BytesIO(daemon.read("dag", "export", root.text)))
    assert archive(returned, root) == sent.read_bytes()


@pytest.mark.parametrize("form", ["raw", "car"])
@pytest.mark.parametrize("asked", ["file", "chunk", "folder", "empty", "record"])
def test_gateways_answer_with_the_same_bytes(daemon: Any, embedded: Store, tree: Path, form: str, asked: str) -> None:
    file = add_bytes(embedded, stream(2 * CHUNK + 9, "tree"))
    record = embedded.put(dag_cbor.encode({"file": file}), DAG_CBOR)
    root = {
        "file": file,
        "chunk": Cid.of(stream(CHUNK, "tree")),
        "folder": add_tree(embedded, tree).cid,
        "empty": add_bytes(embedded, b""),
        "record": record,
    }[asked]
    Kubo(daemon.api).import_car(BytesIO(archive(embedded, root)))
    ours, theirs = TestClient(application(embedded)), httpx.Client(base_url=daemon.gateway, trust_env=False)
    for query, headers in (({"format": form}, {}), ({}, {"Accept": f"application/vnd.ipld.{form}"})):
        here, there = (each.get(f"/ipfs/{root}", params=query, headers=headers) for each in (ours, theirs))
        assert (here.status_code, there.status_code) == (200, 200)
        assert here.content == there.content
        assert here.headers["content-type"] == there.headers["content-type"].split(";")[0]
    theirs.close()


def test_gateways_answer_alike_for_a_path_and_for_what_they_lack(daemon: Any, embedded: Store, tree: Path) -> None:
    root = add_tree(embedded, tree).cid
    Kubo(daemon.api).import_car(BytesIO(archive(embedded, root)))
    ours = TestClient(application(embedded))
    with httpx.Client(base_url=daemon.gateway, trust_env=False) as theirs:
        path = f"/ipfs/{root}/deep/same.bin?format=raw"
        assert (
            ours.get(path).content
            == theirs.get(path).content
            == embedded.get(add_bytes(embedded, stream(2 * CHUNK + 9, "tree")))
        )
        missing = f"/ipfs/{Cid.of(b'nobody has this', DAG_PB)}?format=raw"
        assert (ours.get(missing).status_code, theirs.get(missing).status_code) == (404, 404)


# ── what only a daemon can refuse ────────────────────────────────────────────────────────────────────────────────────


def test_a_daemon_keeps_one_name_a_root_and_another_is_refused(daemon: Any) -> None:
    store = Kubo(daemon.api)
    store.put_many([(Cid.of(b"named"), b"named")])
    store.pin(Cid.of(b"named"), "first")
    with pytest.raises(KuboPinNamed, match="'first'"):
        store.pin(Cid.of(b"named"), "second")
    store.unpin(Cid.of(b"named"), "first")


def test_the_daemon_s_own_refusal_is_quoted(daemon: Any) -> None:
    store = Kubo(daemon.gateway)  # the gateway's port does not speak the RPC
    with pytest.raises(KuboRefused):
        store.pins()
