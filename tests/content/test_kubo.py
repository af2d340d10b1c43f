"""What a daemon says is checked: here it lies, refuses, or is not there. A real one is asked in `tests/nodes`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest

from prsm_protocol.content.kubo import Kubo, KuboAddressInvalid, KuboRefused, KuboUnavailable
from prsm_protocol.content.store import BlockMismatch, BlockNotFound, CarMalformed
from prsm_protocol.trace import car
from prsm_protocol.types import Cid

BLOCK = b"what was asked for"


class Script:
    """The status and body that the next answers carry."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.body = b""
        self.kind = "text/plain"


@pytest.fixture
def daemon() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            while (line := self.rfile.readline().strip()) if self.headers.get("Transfer-Encoding") else b"":
                self.rfile.read(int(line, 16) + 2)
                if line == b"0":
                    break
            self.send_response(script.status)
            self.send_header("Content-Type", script.kind)
            self.send_header("Content-Length", str(len(script.body)))
            self.end_headers()
            self.wfile.write(script.body)

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script.url = f"http://127.0.0.1:{server.server_port}"
    yield script
    server.shutdown()
    server.server_close()


def test_bytes_that_are_not_the_block_are_refused(daemon: Script) -> None:
    daemon.body = BLOCK
    assert Kubo(daemon.url).get(Cid.of(BLOCK)) == BLOCK
    daemon.body = BLOCK[:-1]
    with pytest.raises(BlockMismatch):
        Kubo(daemon.url).get(Cid.of(BLOCK))


def test_an_archive_with_other_blocks_than_asked_is_refused(daemon: Script) -> None:
    other = BytesIO()
    car.write(other, [Cid.of(BLOCK)], [(Cid.of(b"other"), b"other")])
    daemon.body = other.getvalue()
    out = BytesIO()
    with pytest.raises(BlockNotFound):
        Kubo(daemon.url).export_car(Cid.of(BLOCK), out)
    daemon.body = b"no archive"
    with pytest.raises(CarMalformed):
        Kubo(daemon.url).export_car(Cid.of(BLOCK), out)
    assert out.getvalue() == b""


def test_blocks_that_the_daemon_did_not_count_are_not_taken_for_kept(daemon: Script) -> None:
    daemon.kind, daemon.body = "application/json", b'{"Stats": {"BlockCount": 0, "BlockBytesCount": 0}}'
    with pytest.raises(KuboRefused, match="0 of 1 blocks"):
        Kubo(daemon.url).put_many([(Cid.of(BLOCK), BLOCK)])


def test_a_refusal_is_quoted_and_not_found_has_its_own_name(daemon: Script) -> None:
    daemon.status, daemon.kind = 500, "application/json"
    daemon.body = b'{"Message": "repository is read-only", "Code": 0, "Type": "error"}'
    with pytest.raises(KuboRefused, match="repository is read-only"):
        Kubo(daemon.url).get(Cid.of(BLOCK))
    daemon.body = b'{"Message": "merkledag: not found", "Code": 0, "Type": "error"}'
    with pytest.raises(BlockNotFound):
        Kubo(daemon.url).get(Cid.of(BLOCK))


def test_a_daemon_that_is_not_there_is_named_with_its_address() -> None:
    with pytest.raises(KuboUnavailable, match=r"http://127\.0\.0\.1:1 "):
        Kubo("http://127.0.0.1:1").has(Cid.of(BLOCK))


@pytest.mark.parametrize(
    "url", ["", "nothing", "ftp://host:21", "http://host", "http://host:99999", "http://host:1/x", "/ip4/x"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(KuboAddressInvalid):
        Kubo(url)
