"""Our own copy of messages: complete or refused, with receipts, across restarts, gaps and lying nodes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prsm_protocol.ledger import codec, inclusion
from prsm_protocol.ledger.archive import (
    Archive,
    ArchiveForeign,
    BlockAltered,
    BlockOmitted,
    ConeMismatch,
    Gap,
    MilestonesBroken,
)
from prsm_protocol.ledger.codec import Block, TaggedData
from prsm_protocol.ledger.inclusion import InclusionKeyUnknown, InclusionSignatures, Trust
from prsm_protocol.ledger.node.process import NodeProcess, start_node
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.transport import MessageNotFound, Metadata

PREFIX = b"prsm/voucher/"


@pytest.fixture(scope="module")
def rest(node: NodeProcess) -> Iterator[RestTransport]:
    opened = RestTransport([node.url])
    yield opened
    opened.close()


def post(rest: RestTransport, tag: bytes, data: bytes) -> bytes:
    return rest.post(codec.encode(Block(tuple(sorted(rest.tips())), TaggedData(tag, data))))


def settle(rest: RestTransport, id: bytes) -> int:
    deadline = time.monotonic() + 10
    while (index := rest.metadata(id).milestone) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return index


@pytest.fixture
def archive(rest: RestTransport, node: NodeProcess, tmp_path: Path) -> Iterator[Archive]:
    opened = Archive(rest, tmp_path / "archive.sqlite", [PREFIX], node.trust)
    yield opened
    opened.close()


# ── taking in ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sync_keeps_what_has_the_prefix_in_order_with_receipts(archive, rest, node):
    mine = [post(rest, PREFIX + b"order", bytes([number])) for number in range(10)]
    other = post(rest, b"prsm/notice/x", b"not watched")
    settle(rest, other)
    report = archive.sync()
    assert report.milestones > 0
    assert report.lag == 0
    found = archive.since(PREFIX + b"order")
    assert [each.data for each in found] == [bytes([number]) for number in range(10)]
    assert [each.id for each in found] == mine
    for message in found:
        included = inclusion.verify(archive.receipt(message.id), node.trust)
        assert (included.id, included.milestone, included.at) == (message.id, message.milestone, message.at)
    with pytest.raises(MessageNotFound):
        archive.receipt(other)


def test_cursor_goes_on_where_the_last_answer_ended(archive, rest):
    ids = [post(rest, PREFIX + b"cursor", bytes([number])) for number in range(5)]
    settle(rest, ids[-1])
    archive.sync()
    first = archive.since(PREFIX + b"cursor", at_most=2)
    rest_of_them = archive.since(PREFIX + b"cursor", first[-1].cursor)
    assert [each.id for each in [*first, *rest_of_them]] == ids
    assert archive.since(PREFIX + b"cursor", rest_of_them[-1].cursor) == []


def test_prefix_is_raw_bytes_not_a_pattern(archive, rest):
    settle(rest, post(rest, PREFIX + b"%_\x00\xff", b"raw"))
    archive.sync()
    assert len(archive.since(PREFIX + b"%_\x00\xff")) == 1
    assert archive.since(PREFIX + b"__\x00\xff") == []


def test_sync_in_pieces_and_after_a_restart_brings_the_same(rest, node, tmp_path):
    settle(rest, post(rest, PREFIX + b"piece", b"1"))
    path = tmp_path / "pieces.sqlite"
    while True:
        archive = Archive(rest, path, [PREFIX], node.trust)
        report = archive.sync(at_most=2)
        archive.close()
        if report.lag == 0:
            break
    whole = Archive(rest, tmp_path / "whole.sqlite", [PREFIX], node.trust)
    whole.sync()
    archive = Archive(rest, path, [PREFIX], node.trust)
    archive.sync()
    assert [each.id for each in archive.since(b"")] == [each.id for each in whole.since(b"")]
    archive.close()
    whole.close()


def test_second_sync_brings_nothing_twice(archive, rest):
    settle(rest, post(rest, PREFIX + b"twice", b""))
    archive.sync()
    archive.sync()
    assert len(archive.since(PREFIX + b"twice")) == 1


def test_messages_that_do_not_pass_are_counted_not_kept(rest, node, tmp_path):
    settle(rest, post(rest, PREFIX + b"pass", b"good"))
    settle(rest, post(rest, PREFIX + b"pass", b"bad"))
    archive = Archive(
        rest, tmp_path / "a.sqlite", [PREFIX + b"pass"], node.trust, keep=lambda _tag, data: data == b"good"
    )
    report = archive.sync()
    assert (report.messages, report.refused) == (1, 1)
    assert [each.data for each in archive.since(b"")] == [b"good"]
    archive.close()


def test_cone_of_many_blocks_is_taken_whole(archive, rest):
    start = rest.tips()
    for number in range(300):  # all on the same parents: the node merges the tips
        block = Block(tuple(sorted(start)), TaggedData(PREFIX + b"many", number.to_bytes(4, "big")))
        last = rest.post(codec.encode(block))
    settle(rest, last)
    deadline = time.monotonic() + 15
    while len(archive.since(PREFIX + b"many")) < 300:
        archive.sync()
        assert time.monotonic() < deadline
    assert len({each.data for each in archive.since(PREFIX + b"many")}) == 300


def test_archive_of_other_prefixes_or_another_network_is_refused(rest, node, tmp_path):
    Archive(rest, tmp_path / "a.sqlite", [PREFIX], node.trust).close()
    with pytest.raises(ArchiveForeign):
        Archive(rest, tmp_path / "a.sqlite", [b"prsm/"], node.trust)
    with pytest.raises(ArchiveForeign):
        Archive(rest, tmp_path / "a.sqlite", [PREFIX], dataclasses.replace(node.trust, network=bytes(8)))


# ── lying nodes ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Liar(RestTransport):
    """A node that lies where a test says so."""

    def __init__(self, url: str) -> None:
        super().__init__([url])
        self.on_block: Callable[[bytes, bytes], bytes] = lambda _id, raw: raw
        self.on_milestone: Callable[[bytes], bytes] = lambda payload: payload

    def block(self, id: bytes) -> bytes:
        return self.on_block(id, super().block(id))

    def milestone(self, index: int) -> bytes:
        return self.on_milestone(super().milestone(index))


@pytest.fixture
def target(rest: RestTransport) -> bytes:
    id = post(rest, PREFIX + b"lies", b"wanted")
    settle(rest, id)
    return id


@pytest.fixture
def liar(node: NodeProcess, target: bytes) -> Iterator[Liar]:
    opened = Liar(node.url)
    yield opened
    opened.close()


@pytest.fixture
def deceived(liar: Liar, node: NodeProcess, tmp_path: Path) -> Iterator[Archive]:
    opened = Archive(liar, tmp_path / "deceived.sqlite", [PREFIX], node.trust)
    yield opened
    opened.close()


def test_altered_block_is_named_and_nothing_of_its_milestone_kept(deceived, liar, target, rest):
    liar.on_block = lambda id, raw: raw[:-1] + bytes([raw[-1] ^ 1]) if id == target else raw
    with pytest.raises(BlockAltered) as caught:
        deceived.sync()
    milestone = rest.metadata(target).milestone
    assert caught.value.values == {"id": target.hex(), "milestone": milestone}
    assert deceived.last_milestone() == milestone - 1
    assert deceived.since(PREFIX + b"lies" + b"x") == []
    liar.on_block = lambda _id, raw: raw
    deceived.sync()
    assert target in [each.id for each in deceived.since(PREFIX + b"lies")]


def test_omitted_block_is_named(deceived, liar, target):
    def omit(id: bytes, raw: bytes) -> bytes:
        if id == target:
            raise MessageNotFound(id=id.hex())
        return raw

    liar.on_block = omit
    with pytest.raises(BlockOmitted) as caught:
        deceived.sync()
    assert caught.value.values["id"] == target.hex()


def test_forged_root_fails_its_signatures(deceived, liar):
    def forge(payload: bytes) -> bytes:
        milestone = codec.decode_milestone(payload)
        return dataclasses.replace(milestone, inclusion_root=bytes(32)).payload

    liar.on_milestone = forge
    with pytest.raises(InclusionSignatures):
        deceived.sync()


def test_milestones_of_a_stranger_are_refused(rest, node, tmp_path):
    trust = Trust.of(["11" * 32, "22" * 32], 2, "prsm-local")
    archive = Archive(rest, tmp_path / "a.sqlite", [PREFIX], trust)
    with pytest.raises(InclusionKeyUnknown):
        archive.sync()
    assert archive.last_milestone() == 0
    archive.close()


def test_history_of_a_twin_with_the_same_keys_does_not_follow(rest, node, tmp_path):
    """A coordinator that runs two histories is found out where they part."""
    twin_home = tmp_path / "twin"
    twin_home.mkdir()
    one = start_node(twin_home, interval=0.05)
    source = RestTransport([one.url])
    settle(source, post(source, PREFIX, b"one"))
    archive = Archive(source, tmp_path / "a.sqlite", [PREFIX], one.trust)
    archive.sync()
    source.close()
    one.stop()
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (twin_home / name).unlink(missing_ok=True)  # the same keys begin anew
    two = start_node(twin_home, interval=0.05)
    source = RestTransport([two.url])
    assert two.keys == one.keys
    while source.info().latest <= archive.last_milestone():
        settle(source, post(source, PREFIX, b"two"))
    archive._source = source
    with pytest.raises(MilestonesBroken):
        archive.sync()
    archive.close()
    source.close()
    two.stop()


# ── nodes that prune ─────────────────────────────────────────────────────────────────────────────────────────────────


class FalselyKnown(RestTransport):
    """Says of a block that an earlier milestone references it."""

    lie: bytes = b""

    def metadata(self, id: bytes) -> Metadata:
        found = super().metadata(id)
        return dataclasses.replace(found, milestone=1) if id == self.lie else found


@pytest.fixture
def pruning(home: Path) -> Iterator[tuple[NodeProcess, FalselyKnown]]:
    node = start_node(home, interval=0.02, keep=30)
    rest = FalselyKnown([node.url])
    yield node, rest
    rest.close()
    node.stop()


def test_pruned_milestones_stay_as_a_named_gap_and_the_rest_is_complete(pruning, tmp_path):
    node, rest = pruning
    while rest.info().pruned < 5:
        settle(rest, post(rest, PREFIX, b"old"))
    archive = Archive(rest, tmp_path / "a.sqlite", [PREFIX], node.trust)
    wanted = post(rest, PREFIX + b"new", b"new")
    settle(rest, wanted)
    archive.sync()
    (gap,) = archive.gaps()
    assert gap.first == 1
    assert gap.last >= 5
    assert inclusion.verify(archive.receipt(wanted), node.trust).id == wanted
    kept = archive.last_milestone()
    while rest.info().pruned <= kept + 2:
        settle(rest, post(rest, PREFIX, b"missed"))
    last = post(rest, PREFIX + b"last", b"")
    settle(rest, last)
    archive.sync()
    second = archive.gaps()[1]
    assert second.first == kept + 1
    assert isinstance(second, Gap)
    assert archive.receipt(last).leaves >= 1
    archive.close()


def test_lie_about_what_is_known_changes_the_root(pruning, tmp_path):
    node, rest = pruning
    while rest.info().pruned < 2:
        settle(rest, post(rest, PREFIX, b"old"))
    wanted = post(rest, PREFIX, b"hidden")
    settle(rest, wanted)
    rest.lie = wanted
    archive = Archive(rest, tmp_path / "a.sqlite", [PREFIX], node.trust)
    with pytest.raises(ConeMismatch):
        archive.sync()
    archive.close()
