"""Messages through a real node: by the SDK in its worker, by plain HTTP, and by an unmodified iota-sdk client."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from datetime import timedelta
from itertools import pairwise

import pytest
from iota_sdk import Client

from prsm_protocol.ledger import codec
from prsm_protocol.ledger.client import NetworkMismatch, NodeBehind, StardustLedger, WorkRequired
from prsm_protocol.ledger.codec import Block, TaggedData
from prsm_protocol.ledger.inclusion import network_id
from prsm_protocol.ledger.messages import Capability, MessageTooLarge, State, TagInvalid, message_key
from prsm_protocol.ledger.node.process import start_node
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.sdk_worker import SdkTransport
from prsm_protocol.ledger.transport import (
    AnswerMalformed,
    LedgerBusy,
    LedgerUnavailable,
    MessageNotFound,
    MilestoneNotFound,
    NodeInfo,
    NodeRefused,
    NodeUnhealthy,
)

TAG = b"prsm/notice/test"


@pytest.fixture(params=["iota-sdk", "rest"])
def either(request, node):
    """The same ledger over each of its two transports."""
    transport = RestTransport([node.url]) if request.param == "rest" else SdkTransport([node.url])
    with StardustLedger([node.url], transport=transport) as opened:
        assert opened.transport.name == request.param
        yield opened


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_message_is_prepared_posted_confirmed_and_read(either):
    prepared = either.prepare(TAG, b"hello")
    assert prepared.id == codec.block_id(prepared.raw)
    assert prepared.key == message_key(TAG, b"hello")
    assert either.post(prepared) == prepared.id
    known = either.wait(prepared.id)
    assert known.state is State.CONFIRMED
    message = either.read(prepared.id)
    assert (message.tag, message.data, message.key) == (TAG, b"hello", prepared.key)
    assert (message.milestone, message.at) == (known.milestone, known.at)


def test_preparing_sends_nothing(either):
    prepared = either.prepare(TAG, b"unsent")
    with pytest.raises(MessageNotFound) as caught:
        either.status(prepared.id)
    assert caught.value.values == {"id": prepared.id.hex()}


def test_posting_again_is_the_same_message(either):
    prepared = either.prepare(TAG, b"twice")
    assert either.post(prepared) == either.post(prepared) == prepared.id


def test_reattaching_keeps_the_key_and_changes_the_id(either):
    prepared = either.prepare(TAG, b"attached twice")
    either.wait(either.post(prepared))
    again = either.reattach(prepared)
    assert (again.key == prepared.key, again.id == prepared.id) == (True, False)


def test_message_at_its_size_limit_fits_and_one_more_byte_does_not(either):
    limit = 0
    with pytest.raises(MessageTooLarge) as caught:
        either.prepare(TAG, bytes(33_000))
    limit = int(str(caught.value.values["limit"]))
    either.post(either.prepare(TAG, bytes(limit)))
    with pytest.raises(MessageTooLarge):
        either.prepare(TAG, bytes(limit + 1))


@pytest.mark.parametrize(("size", "fine"), [(0, False), (1, True), (64, True), (65, False)])
def test_tag_has_bounds(ledger, size, fine):
    if fine:
        ledger.prepare(b"t" * size, b"")
    else:
        with pytest.raises(TagInvalid):
            ledger.prepare(b"t" * size, b"")


def test_posting_costs_nothing(ledger):
    assert ledger.fee().amount == 0
    assert ledger.capabilities() == {Capability.DATA, Capability.RECEIPTS, Capability.FEELESS}
    assert ledger.network_id == network_id("prsm-local")


def test_unknown_milestone_and_malformed_block_have_their_errors(either):
    with pytest.raises(MilestoneNotFound):
        either.transport.milestone(999_999)
    with pytest.raises(NodeRefused, match="unknown here"):
        either.transport.post(codec.encode(Block((b"\x11" * 32,), TaggedData(b"t", b""))))


# ── an unmodified client ─────────────────────────────────────────────────────────────────────────────────────────────


def test_unmodified_sdk_posts_reads_and_waits(node):
    client = Client(nodes=[node.url])
    id, block = client.build_and_post_block(tag="0x" + b"sdk".hex(), data="0x" + b"data".hex())
    assert block.payload.data == "0x" + b"data".hex()
    assert client.get_block_data(id).payload.tag == "0x" + b"sdk".hex()
    assert client.retry_until_included(id)[0][0] == id
    metadata = client.get_block_metadata(id)
    assert metadata.ledgerInclusionState == "noTransaction"
    assert (
        client.get_milestone_by_index(metadata.referencedByMilestoneIndex).index == metadata.referencedByMilestoneIndex
    )
    assert 1 <= len(client.get_tips()) <= 8
    assert client.get_info().nodeInfo.protocol.networkName == "prsm-local"
    assert client.post_block_raw(client.get_block_raw(id)) == id
    assert client.get_health(node.url)


def test_sdk_and_we_agree_on_a_block(node, ledger):
    client = Client(nodes=[node.url])
    prepared = ledger.prepare(TAG, b"ours")
    assert client.post_block_raw(list(prepared.raw)) == "0x" + prepared.id.hex()
    assert bytes(client.get_block_raw("0x" + prepared.id.hex())) == prepared.raw


# ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_dead_worker_is_started_again_and_the_call_repeated(node):
    with StardustLedger([node.url]) as ledger:
        assert isinstance(ledger.transport, SdkTransport)
        prepared = ledger.prepare(TAG, b"survives")
        first = ledger.transport.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert ledger.post(prepared) == prepared.id
        assert ledger.transport.pid != first


def test_worker_ends_with_its_owner(node):
    transport = SdkTransport([node.url])
    transport.tips()
    pid = transport.pid
    assert pid is not None
    transport.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture
def silent_node():
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_silent_node_costs_one_deadline_and_holds_no_other_thread(silent_node):
    transport = SdkTransport([silent_node], allow_unhealthy=True, timeout=1.5)
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.05):
            ticks.append(time.monotonic())

    ticker = threading.Thread(target=tick)
    ticker.start()
    begin = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        transport.tips()
    waited = time.monotonic() - begin
    done.set()
    ticker.join()
    transport.close()
    assert waited < 4
    assert max(later - earlier for earlier, later in pairwise(ticks)) < 0.7


def test_dead_node_is_unavailable_by_either_way():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    for transport in (SdkTransport([url], allow_unhealthy=True), RestTransport([url])):
        with pytest.raises(LedgerUnavailable) as caught:
            transport.tips()
        assert caught.value.values["url"] == url
        transport.close()


def test_second_node_is_used_when_the_first_is_dead(node):
    with socket.create_server(("127.0.0.1", 0)) as server:
        dead = f"http://127.0.0.1:{server.getsockname()[1]}"
    with StardustLedger([dead, node.url]) as ledger:
        assert ledger.post(ledger.prepare(TAG, b"second node"))


def test_node_that_restarts_is_found_again(home):
    node = start_node(home, interval=0.2)
    port = int(node.url.rsplit(":", 1)[1])
    with StardustLedger([node.url]) as ledger:
        prepared = ledger.prepare(TAG, b"across a restart")
        ledger.post(prepared)
        node.kill()
        with pytest.raises((LedgerUnavailable, NodeUnhealthy)):
            ledger.status(prepared.id)
        node = start_node(home, port=port, interval=0.2)
        try:
            assert ledger.wait(prepared.id).state is State.CONFIRMED
        finally:
            node.stop()


def test_busy_node_tells_when_to_come_back(home):
    node = start_node(home, rate=3)
    try:
        for transport in (RestTransport([node.url]), SdkTransport([node.url])):
            tips = tuple(sorted(transport.tips()))
            raw = codec.encode(Block(tips, TaggedData(TAG, transport.name.encode())))

            def flood(post=transport.post, raw=raw) -> None:
                for _ in range(30):
                    post(raw)

            with pytest.raises(LedgerBusy) as caught:
                flood()
            assert caught.value.values == {"retry_after": 1}
            transport.close()
    finally:
        node.stop()


# ── what is checked first ────────────────────────────────────────────────────────────────────────────────────────────


def test_wrong_network_is_refused_before_anything_is_sent(node):
    with StardustLedger([node.url], network="mainnet") as ledger:
        with pytest.raises(NetworkMismatch) as caught:
            ledger.prepare(TAG, b"")
        assert caught.value.values == {"expected": "mainnet", "got": "prsm-local"}


class Told(RestTransport):
    """A node that tells about itself what a test says."""

    def __init__(self, url: str, **told: object) -> None:
        super().__init__([url])
        self._told = told

    def info(self) -> NodeInfo:
        import dataclasses

        return dataclasses.replace(super().info(), **self._told)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"min_pow_score": 1}, WorkRequired),
        ({"latest_at": int(time.time()) - 400}, NodeBehind),
        ({"is_healthy": False}, NodeUnhealthy),
    ],
)
def test_node_that_cannot_serve_is_refused_with_the_reason(node, told, error):
    with StardustLedger([node.url]) as ledger:
        ledger.rest = Told(node.url, **told)
        with pytest.raises(error):
            ledger.prepare(TAG, b"")


def test_lone_unhealthy_node_works_when_allowed(node):
    with StardustLedger([node.url], allow_unhealthy=True) as ledger:
        ledger.rest = Told(node.url, is_healthy=False, latest_at=0)
        assert ledger.post(ledger.prepare(TAG, b"alone"))


def test_block_that_is_another_is_refused(node, ledger, monkeypatch):
    prepared = ledger.prepare(TAG, b"asked for")
    other = ledger.prepare(TAG, b"given")
    monkeypatch.setattr(ledger.transport, "block", lambda _id: other.raw)
    with pytest.raises(AnswerMalformed):
        ledger.read(prepared.id)


def test_lost_message_is_told_and_can_be_attached_again(node, ledger, monkeypatch):
    from prsm_protocol.ledger.transport import Metadata

    prepared = ledger.prepare(TAG, b"too old")
    monkeypatch.setattr(ledger.transport, "metadata", lambda _id: Metadata(None, None, True))
    assert ledger.wait(prepared.id, timedelta(seconds=1)).state is State.LOST


def test_delivering_attaches_a_lost_message_again(node, ledger, monkeypatch):
    from prsm_protocol.ledger.transport import Metadata

    prepared = ledger.prepare(TAG, b"lost once")
    real = ledger.transport.metadata
    lost = Metadata(None, None, True)
    monkeypatch.setattr(ledger.transport, "metadata", lambda id: lost if id == prepared.id else real(id))
    delivered, known = ledger.deliver(prepared)
    assert known.state is State.CONFIRMED
    assert (delivered.key == prepared.key, delivered.id == prepared.id) == (True, False)
