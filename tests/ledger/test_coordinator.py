"""The coordinator over a node that tests script: never two milestones of one index, whatever is cut short."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prsm_protocol.ledger import codec
from prsm_protocol.ledger.codec import Milestone
from prsm_protocol.ledger.coordinator import (
    Coordinator,
    CoordinatorBehind,
    CoordinatorKeysExposed,
    CoordinatorRunning,
    _read_keys,
)
from prsm_protocol.ledger.milestones import milestone_block, sign_milestone
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.transport import LedgerBusy, LedgerUnavailable, MessageNotFound, Metadata, NodeInfo

KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([each]) * 32) for each in (1, 2)]
NOW = 1_700_000_000


class ScriptedNode(RestTransport):
    """Holds milestones, answers roots, and fails where a test says."""

    def __init__(self) -> None:
        super().__init__(["http://127.0.0.1:1"])
        first = sign_milestone(1, NOW, bytes(32), [bytes(32)], bytes(32), bytes(32), KEYS)
        self.blocks: list[bytes] = [milestone_block(first)]
        self.posts: list[bytes] = []
        self.tip: list[bytes] = []
        self.referenced: set[bytes] = set()
        self.fails_before_post = self.fails_after_post = False

    def milestones(self) -> list[Milestone]:
        payloads = [codec.decode(each).payload for each in self.blocks]
        return [each for each in payloads if isinstance(each, Milestone)]

    def info(self) -> NodeInfo:
        latest = self.milestones()[-1]
        return NodeInfo("scripted", "1", "test", 2, 0, 15, True, latest.index, latest.timestamp, 0)

    def milestone(self, index: int) -> bytes:
        return self.milestones()[index - 1].payload

    def block(self, id: bytes) -> bytes:
        for raw in self.blocks:
            if codec.block_id(raw) == id:
                return raw
        raise MessageNotFound(id=id.hex())

    def tips(self) -> list[bytes]:
        if not self.tip:
            raise LedgerBusy(retry_after=1)
        return self.tip

    def metadata(self, id: bytes) -> Metadata:
        return Metadata(1 if id in self.referenced else None, None, False)

    def white_flag(self, index, timestamp, parents, previous):
        return bytes([index]) * 32, bytes(32)

    def post(self, raw: bytes) -> bytes:
        if self.fails_before_post:
            raise LedgerUnavailable(url="scripted", seconds=0)
        self.posts.append(raw)
        if raw not in self.blocks:
            self.blocks.append(raw)
        if self.fails_after_post:
            raise LedgerUnavailable(url="scripted", seconds=0)
        return codec.block_id(raw)


@pytest.fixture
def node():
    opened = ScriptedNode()
    yield opened
    opened.close()


def test_step_follows_the_bootstraps_milestone(node, tmp_path):
    coordinator = Coordinator(node, tmp_path, KEYS)
    milestone = coordinator.step(NOW + 5)
    first = node.milestones()[0]
    assert (milestone.index, milestone.previous, milestone.timestamp) == (2, first.id, NOW + 5)
    assert milestone.parents == (codec.block_id(node.blocks[0]),)
    assert coordinator.step(NOW).timestamp == NOW + 6
    coordinator.close()


def test_step_takes_seven_tips_beside_the_last_milestone(node, tmp_path):
    node.tip = [bytes([each]) * 32 for each in range(1, 9)]
    coordinator = Coordinator(node, tmp_path, KEYS)
    assert len(coordinator.step(NOW).parents) == 8
    coordinator.close()


def test_step_leaves_out_tips_that_a_milestone_references_already(node, tmp_path):
    node.tip = [b"\x01" * 32, b"\x02" * 32]
    node.referenced = {b"\x01" * 32}
    coordinator = Coordinator(node, tmp_path, KEYS)
    assert coordinator.step(NOW).parents == tuple(sorted([b"\x02" * 32, codec.block_id(node.blocks[0])]))
    coordinator.close()


@pytest.mark.parametrize("moment", ["fails_before_post", "fails_after_post"])
@pytest.mark.parametrize("restarts", [False, True])
def test_step_cut_short_is_finished_with_the_same_bytes(node, tmp_path, moment, restarts):
    coordinator = Coordinator(node, tmp_path, KEYS)
    coordinator.step(NOW)
    setattr(node, moment, True)
    with pytest.raises(LedgerUnavailable):
        coordinator.step(NOW + 10)
    setattr(node, moment, False)
    node.tip = [b"\x07" * 32]  # the node has moved on: a step made anew would differ
    if restarts:
        coordinator.close()
        coordinator = Coordinator(node, tmp_path, KEYS)
    coordinator.step(NOW + 20)
    assert [each.index for each in node.milestones()] == [1, 2, 3, 4]
    assert len({codec.block_id(raw) for raw in node.posts}) == 3
    assert node.milestones()[2].timestamp == NOW + 10
    coordinator.close()


def test_node_that_was_set_back_gets_the_same_milestone_again(node, tmp_path):
    coordinator = Coordinator(node, tmp_path, KEYS)
    coordinator.step(NOW)
    second = node.blocks.pop()
    coordinator.step(NOW + 10)
    assert node.blocks[1] == second
    assert len(node.milestones()) == 3
    coordinator.close()


def test_milestones_of_somebody_else_stop_it(node, tmp_path):
    coordinator = Coordinator(node, tmp_path, KEYS)
    last = coordinator.step(NOW)
    foreign = sign_milestone(3, NOW + 9, last.id, [bytes(32)], bytes(32), bytes(32), KEYS)
    node.blocks.append(milestone_block(foreign))
    with pytest.raises(CoordinatorBehind) as caught:
        coordinator.step(NOW + 10)
    assert caught.value.values == {"own": 2, "node": 3}
    coordinator.close()


def test_second_coordinator_of_a_home_is_refused(node, tmp_path):
    coordinator = Coordinator(node, tmp_path, KEYS)
    with pytest.raises(CoordinatorRunning):
        Coordinator(node, tmp_path, KEYS)
    coordinator.close()


def test_keys_that_others_can_read_are_refused(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text("\n".join(each.private_bytes_raw().hex() for each in KEYS))
    path.chmod(0o640)
    with pytest.raises(CoordinatorKeysExposed):
        _read_keys(path)
    path.chmod(0o600)
    assert len(_read_keys(path)) == 2
