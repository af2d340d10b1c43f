"""The client of a node over real HTTP on loopback, and the checks of what a node sends."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from prsm_protocol.identity import Identity
from prsm_protocol.identity.requests import check_headers
from prsm_protocol.orchestration import nodes
from prsm_protocol.orchestration.nodes import HttpNode, NodeRefused, NodeUnreachable

ASKER = Identity.generate()


@pytest.fixture
def server():
    """A server that answers what a test puts into `answers` and keeps what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def respond(self):
            length = int(self.headers.get("content-length") or 0)
            self.server.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
            status, body = self.server.answers[self.path]
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = respond

        def log_message(self, *values):
            return None

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.answers, made.seen = {}, []
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def node(server):
    return HttpNode(f"http://127.0.0.1:{server.server_port}/", ASKER)


TASK = bytes(range(32))


def test_quotes_are_asked_for_with_a_signature(server, node):
    server.answers["/v1/quotes"] = (200, {"quotes": []})
    assert node.quotes({"listing": "x"}) == {"quotes": []}
    method, path, headers, body = server.seen[0]
    assert check_headers(headers, method, path, body, time.time(), {}) == ASKER.did


def test_task_and_result_are_read_by_the_tasks_id(server, node):
    server.answers[f"/v1/tasks/0x{TASK.hex()}"] = (200, {"chain": "assigned"})
    server.answers[f"/v1/tasks/0x{TASK.hex()}/result"] = (200, {"output_words": []})
    assert node.task(TASK) == {"chain": "assigned"}
    assert node.result(TASK) == {"output_words": []}


def test_a_refusal_carries_its_name_and_reason(server, node):
    server.answers["/v1/quotes"] = (409, {"type": "Declined", "reason": "PriceBelowCost"})
    with pytest.raises(NodeRefused, match=r"Declined \(PriceBelowCost\)"):
        node.quotes({})


@pytest.mark.parametrize("answer", [(500, {}), (503, {"type": "NoEndpoint"})])
def test_a_broken_node_counts_as_unreachable(answer, server, node):
    server.answers["/v1/node"] = answer
    with pytest.raises(NodeUnreachable, match="status 50"):
        node.about()


@pytest.mark.parametrize(("body", "reason"), [(b"<html>", "no JSON"), (b"[1]", "200")])
def test_a_reply_that_is_no_object_is_refused(body, reason, server, node):
    server.answers["/v1/offers"] = (200, body)
    with pytest.raises(NodeRefused, match=reason):
        node.offers()


def test_nobody_listening_is_unreachable():
    with pytest.raises(NodeUnreachable, match="ConnectError"):
        HttpNode("http://127.0.0.1:9", ASKER).about()


def test_offers_that_do_not_read_are_left_out(market):
    _, listings = market
    cid = listings["wine network"].cid.text
    about = {"operator": "0x1", "did": "did:key:x"}
    good = {
        "listing": cid,
        "tiers": ["proved"],
        "circuits": [{"circuit_id": "0x" + "11" * 32, "manifest": cid, "input_visibility": "hashed", "batch_rows": 1}],
        "price_base_wei": "5",
        "price_per_row_wei": "7",
        "p50_seconds": 1.4,
        "p95_seconds": 2.6,
    }
    bad = [good | change for change in ({"listing": "x"}, {"price_base_wei": "-1"}, {"circuits": 3}, {"tiers": None})]
    found = nodes.parse_offers("http://n", about, {"offers": [good, *bad, None, 7]})
    assert len(found) == 1
    assert found[0].price(3) == 26
    assert (found[0].p50_seconds, found[0].p95_seconds) == (1, 3)
