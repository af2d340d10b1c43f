"""The node is killed at random moments while clients post: nothing acknowledged is lost, no index is signed twice."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import httpx

from prsm_protocol.ledger import codec, inclusion
from prsm_protocol.ledger.codec import Block, Milestone, TaggedData
from prsm_protocol.ledger.node.process import NodeProcess, start_node
from prsm_protocol.ledger.node.store import NodeStore
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.transport import LedgerUnavailable, MilestoneNotFound, NodeRefused
from prsm_protocol.trace import merkle

KILLS = 20
SEED = 20_261_124  # the moments differ, and are the same in every run


class Client(threading.Thread):
    """Posts as fast as it can and looks at milestones, until the node is gone."""

    def __init__(
        self, url: str, number: int, acknowledged: dict[bytes, bytes], milestones: dict[int, set[bytes]]
    ) -> None:
        super().__init__()
        self._url, self._number = url, number
        self._acknowledged, self._milestones = acknowledged, milestones

    def run(self) -> None:
        rest = RestTransport([self._url], timeout=5)
        count = 0
        try:
            while True:
                count += 1
                data = f"{self._number}/{count}".encode()
                raw = codec.encode(Block(tuple(sorted(rest.tips())), TaggedData(b"prsm/notice/", data)))
                self._acknowledged[rest.post(raw)] = raw
                self._see(rest, rest.info().latest)
        except (LedgerUnavailable, MilestoneNotFound):
            return
        except NodeRefused:  # a tip that was never acknowledged may be gone after the kill; it is ours to ask again
            return
        finally:
            rest.close()

    def _see(self, rest: RestTransport, index: int) -> None:
        milestone = codec.decode_milestone(rest.milestone(index))
        self._milestones.setdefault(index, set()).add(milestone.id)


def killed_once(node: NodeProcess, moment: float, number: int, acknowledged: dict, milestones: dict) -> None:
    clients = [Client(node.url, 10 * number + each, acknowledged, milestones) for each in range(2)]
    for client in clients:
        client.start()
    time.sleep(moment)
    node.kill()
    for client in clients:
        client.join(20)
        assert not client.is_alive()


def test_kills_lose_no_acknowledged_block_and_sign_no_index_twice(tmp_path: Path):
    home = tmp_path / "ledger"
    moments = random.Random(SEED)
    acknowledged: dict[bytes, bytes] = {}
    milestones: dict[int, set[bytes]] = {}
    for number in range(KILLS):
        node = start_node(home, interval=0.02)
        killed_once(node, moments.uniform(0.02, 0.35), number, acknowledged, milestones)

    node = start_node(home, interval=0.02)
    rest = RestTransport([node.url])
    try:
        deadline = time.monotonic() + 60
        waiting = set(acknowledged)
        while waiting:
            waiting = {id for id in waiting if rest.metadata(id).milestone is None}
            assert time.monotonic() < deadline, f"{len(waiting)} acknowledged blocks are not referenced"
        for id, raw in acknowledged.items():
            assert rest.block(id) == raw
        latest = rest.info().latest
    finally:
        rest.close()
        node.stop()

    assert len(acknowledged) > KILLS
    assert len(milestones) > KILLS
    check_history(home, latest, milestones)


def check_history(home: Path, latest: int, seen: dict[int, set[bytes]]) -> None:
    """Every index once, each chained to the one before, with the root of its blocks; and as clients saw it."""
    store = NodeStore(home, "prsm-local")
    previous = bytes(32)
    try:
        for index in range(1, latest + 1):
            row = store.milestone(index)
            assert row is not None, f"milestone {index} is missing"
            milestone = codec.decode_milestone(row.payload)
            assert (milestone.index, milestone.previous) == (index, previous)
            assert milestone.inclusion_root == merkle.root(store.order(index), codec.blake2b)
            previous = milestone.id
        for index, ids in seen.items():
            row = store.milestone(index)
            assert row is not None
            assert ids == {row.id}, f"milestone {index} was signed twice"
        signed = [codec.decode(each.raw).payload for each in blocks_with_milestones(store, latest)]
        assert len({each.index for each in signed if isinstance(each, Milestone)}) == latest
    finally:
        store.close()


def blocks_with_milestones(store: NodeStore, latest: int):
    for index in range(1, latest + 1):
        row = store.milestone(index)
        assert row is not None
        block = store.block(row.block)
        assert block is not None
        yield block


def test_receipt_made_before_a_kill_verifies_after_it(tmp_path: Path):
    home = tmp_path / "ledger"
    node = start_node(home, interval=0.05)
    rest = RestTransport([node.url])
    raw = codec.encode(Block(tuple(sorted(rest.tips())), TaggedData(b"prsm/notice/", b"kept")))
    id = rest.post(raw)
    while (receipt := rest.receipt(id)) is None:
        time.sleep(0.02)
    node.kill()
    rest.close()
    read = inclusion.Inclusion.from_json(receipt, node.trust.network)
    assert inclusion.verify(read, node.trust).id == id
    again = start_node(home)
    try:
        answer = httpx.post(f"{again.url}/api/poi/v1/validate", json=receipt, trust_env=False)
        assert answer.json() == {"valid": True}
    finally:
        again.stop()
