"""What was acknowledged is there; what misses its CID never gets in or out; archives equal Kubo's."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI, Response

from prsm_protocol.content import BlockNotFound, Retriever, Store, add_bytes, add_tree, read_file
from prsm_protocol.content.gateway import application
from prsm_protocol.content.retrieve import GatewayAddressRefused, NotFoundAnywhere, check_url
from prsm_protocol.content.store import (
    BLOCK_LIMIT,
    BlockCorrupt,
    BlockMismatch,
    BlockTooLarge,
    CarMalformed,
    PinIncomplete,
)
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid
from tests.content.test_unixfs import VECTORS, stream_bytes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "blocks.db")


def test_put_refuses_a_wrong_cid_and_keeps_nothing_of_the_batch(store: Store) -> None:
    good = Cid.of(b"good")
    with pytest.raises(BlockMismatch):
        store.put_many([(good, b"good"), (good, b"bad")])
    assert not store.has(good)
    with pytest.raises(BlockTooLarge):
        store.put(bytes(BLOCK_LIMIT + 1))
    assert store.get(store.put(bytes(BLOCK_LIMIT))) == bytes(BLOCK_LIMIT)


def test_get_refuses_rotten_bytes(store: Store) -> None:
    cid = store.put(b"sound")
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE blocks SET data = ? WHERE cid = ?", (b"rotten", cid.bytes))
    with pytest.raises(BlockCorrupt):
        store.get(cid)


def test_export_equals_kubos_archive_and_import_gives_the_tree_back(store: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a.txt").write_text("alpha\n")
    (tree / "sub" / "b.bin").write_bytes(stream_bytes(300_000))
    (tree / "empty").write_bytes(b"")
    root = add_tree(store, tree).cid
    out = BytesIO()
    store.export_car(root, out)
    assert len(out.getvalue()) == VECTORS["directory"]["car_bytes"]
    assert hashlib.sha256(out.getvalue()).hexdigest() == VECTORS["directory"]["car_sha256"]
    other = Store(tmp_path / "other.db")
    assert other.import_car(BytesIO(out.getvalue())) == [root]
    other.pin(root, "copy")
    assert other.pins() == [(root, "copy")]


def test_import_refuses_cut_and_altered_archives_whole(store: Store, tmp_path: Path) -> None:
    root = add_bytes(store, stream_bytes(300_000))
    out = BytesIO()
    store.export_car(root, out)
    whole = out.getvalue()
    for broken in (whole[:-1], whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:], b"", b"\x05hello"):
        other = Store(tmp_path / f"{len(broken)}.db")
        with pytest.raises(CarMalformed):
            other.import_car(BytesIO(broken))
        assert other.size() == (0, 0)


def test_pin_is_refused_while_a_block_is_missing(store: Store) -> None:
    root = store.put(dag_cbor.encode({"child": Cid.of(b"absent")}), DAG_CBOR)
    with pytest.raises(PinIncomplete) as caught:
        store.pin(root, "tree")
    assert caught.value.values["missing"] == 1


WRITER = """
import sys
from pathlib import Path
from prsm_protocol.content import Store
store = Store(Path(sys.argv[1]))
for i in range(100000):
    cid = store.put(i.to_bytes(4, "big") * 64)
    print(cid, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 23, 61])
def test_an_acknowledged_block_survives_a_kill(tmp_path: Path, after: int) -> None:
    path = tmp_path / "blocks.db"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(after)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
    writer.wait()
    store = Store(path)
    for text in acknowledged:
        assert Cid.of(store.get(Cid.parse(text))) == Cid.parse(text)


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def serve():
    """Serve an application on a free port in a thread; yields a function."""
    import threading

    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: FastAPI) -> str:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            thread.join(0.01)
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join()


def test_retrieve_takes_verified_blocks_and_drops_a_gateway_that_lies(store: Store, tmp_path: Path, serve) -> None:
    remote = Store(tmp_path / "remote.db")
    data = stream_bytes(600_000)
    root = add_bytes(remote, data)
    liar = FastAPI()

    @liar.get("/ipfs/{cid}")
    def lie(cid: str) -> Response:
        return Response(b"something else")

    lying, honest = serve(liar), serve(application(remote))
    retriever = Retriever(store, [lying, honest])
    assert retriever.file(root) == data
    assert [url for url, _ in retriever.lies] == [lying]
    assert store.has(root)
    with pytest.raises(NotFoundAnywhere):
        retriever.get(Cid.of(b"nobody has this"))


def test_gateway_answers_raw_car_head_and_refusals(store: Store, serve) -> None:
    import httpx

    cid = store.put(b"block")
    url = serve(application(store))
    raw = httpx.get(f"{url}/ipfs/{cid}?format=raw")
    assert (raw.content, raw.headers["content-type"]) == (b"block", "application/vnd.ipld.raw")
    assert raw.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{url}/ipfs/{cid}", headers={"If-None-Match": raw.headers["etag"]}).status_code == 304
    assert httpx.head(f"{url}/ipfs/{cid}").status_code == 200
    archive = httpx.get(f"{url}/ipfs/{cid}", headers={"Accept": "application/vnd.ipld.car"})
    assert archive.content.endswith(b"block")
    missing = httpx.get(f"{url}/ipfs/{Cid.of(b'absent')}")
    assert (missing.status_code, json.loads(missing.content)["type"]) == (404, "BlockNotFound")
    assert httpx.get(f"{url}/ipfs/bogus").status_code == 400
    assert httpx.get(f"{url}/ipfs/{cid}?format=html").status_code == 406


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://user:secret@example.org",
        "ftp://example.org",
        "http://127.0.0.1:1",
        "http://169.254.169.254/",
    ],
)
def test_check_url_refuses_addresses_that_lead_inside(url: str) -> None:
    with pytest.raises(GatewayAddressRefused) as caught:
        check_url(url, allow_private=False)
    assert "secret" not in str(caught.value)


def test_block_not_found_names_the_block(store: Store) -> None:
    with pytest.raises(BlockNotFound, match=str(Cid.of(b"x"))):
        store.get(Cid.of(b"x"))


def test_remove_forgets_a_tree_but_nothing_that_another_pin_holds(store: Store) -> None:
    shared, own = b"s" * 262_144, b"o" * 262_144
    first, second = add_bytes(store, shared + own), add_bytes(store, shared + b"other")
    store.pin(first, "run 1")
    store.pin(second, "run 2")
    assert store.remove(first) == 2  # its root and its own chunk
    assert not store.has(first)
    assert not store.has(Cid.of(own))
    assert store.pins() == [(second, "run 2")]
    assert read_file(store.get, second) == shared + b"other"


def test_remove_of_what_is_not_there_changes_nothing(store: Store) -> None:
    kept = add_bytes(store, b"kept")
    assert store.remove(Cid.of(b"never")) == 0
    assert store.has(kept)
