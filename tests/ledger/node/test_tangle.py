"""The node's rules without HTTP: tips, merging, depth, order, clock, pruning, and what a crash leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.ledger import codec, inclusion
from prsm_protocol.ledger.codec import Block, BlockMalformed, BlockUnsupported, TaggedData
from prsm_protocol.ledger.milestones import public_bytes
from prsm_protocol.ledger.node.store import HomeBusy, HomeForeign, NodeStore
from prsm_protocol.ledger.node.tangle import BELOW_MAX_DEPTH, MERGES, BlockRefused, Plan, Tangle
from prsm_protocol.ledger.white_flag import white_flag_order
from prsm_protocol.trace import merkle

NOW = 1_700_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[NodeStore]:
    opened = NodeStore(tmp_path, "test")
    yield opened
    opened.close()


@pytest.fixture
def tangle(store: NodeStore) -> Tangle:
    return Tangle(store, None, NOW)


def raw_block(parents: list[bytes], number: int = 0) -> bytes:
    return codec.encode(Block(tuple(sorted(parents)), TaggedData(b"t", number.to_bytes(4, "big"))))


def attach(tangle: Tangle, store: NodeStore, parents: list[bytes], number: int = 0) -> bytes:
    row = tangle.check(raw_block(parents, number))
    store.append([row])
    tangle.added([row])
    return row.id


def issue(tangle: Tangle, store: NodeStore, now: int = NOW) -> Plan:
    plan = tangle.plan(now)
    store.confirm(plan.merges, plan.order, plan.milestone, plan.block, plan.prune)
    tangle.confirmed(plan)
    return plan


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_order_puts_parents_before_children_and_the_lower_parent_first():
    a, b, c, d = (bytes([each]) * 32 for each in range(1, 5))
    graph = {a: (b"root",), b: (b"root",), c: (a, b), d: (b,)}
    assert white_flag_order([d, c], graph.get) == [a, b, c, d]


def test_order_stops_at_what_earlier_milestones_referenced():
    a, b = b"a" * 32, b"b" * 32
    assert white_flag_order([b], {b: (a,)}.get) == [b]
    assert white_flag_order([a], {}.get) == []


@settings(max_examples=100)
@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=3), min_size=1, max_size=30))
def test_order_holds_each_block_once_after_its_parents(shape):
    ids = [codec.blake2b(bytes([number])) for number in range(len(shape))]
    graph = {ids[at]: tuple(sorted({ids[p] for p in parents if p < at})) for at, parents in enumerate(shape)}
    order = white_flag_order(ids, graph.get)
    assert sorted(order) == sorted(ids)
    places = {id: place for place, id in enumerate(order)}
    assert all(places[parent] < places[id] for id, parents in graph.items() for parent in parents)


def test_long_chains_need_no_recursion():
    ids = [number.to_bytes(32, "big") for number in range(20_000)]
    graph = {ids[at]: (ids[at - 1],) for at in range(1, len(ids))}
    assert white_flag_order([ids[-1]], graph.get) == ids[1:]


# ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_first_milestone_exists_before_any_block(tangle, store):
    assert tangle.latest.index == 1
    assert tangle.tips() == [tangle.latest.block]
    assert not tangle.has_unreferenced
    assert store.order(1) == []


def test_tips_are_the_blocks_that_nothing_hangs_on(tangle, store):
    start = tangle.tips()
    first = attach(tangle, store, start, 1)
    second = attach(tangle, store, start, 2)
    assert tangle.tips() == [first, second]
    third = attach(tangle, store, [first], 3)
    assert tangle.tips() == [second, third]


def test_tips_are_eight_at_most_and_the_newest(tangle, store):
    start = tangle.tips()
    ids = [attach(tangle, store, start, number) for number in range(12)]
    assert tangle.tips() == ids[-8:]


def test_unknown_parent_is_refused(tangle):
    with pytest.raises(BlockRefused, match="is unknown here"):
        tangle.check(raw_block([b"\x05" * 32]))


def test_milestones_and_transactions_of_strangers_are_refused(tangle, store):
    block = store.block(tangle.latest.block)
    assert block is not None
    with pytest.raises(BlockRefused, match="own keys"):
        tangle.check(block.raw)
    with pytest.raises((BlockMalformed, BlockUnsupported)):
        tangle.check(raw_block(tangle.tips())[:-1])


@pytest.mark.parametrize(("behind", "fine"), [(-1, True), (0, True), (1, False)])
def test_parent_may_lie_just_so_deep(tangle, store, behind, fine):
    parent = attach(tangle, store, tangle.tips())
    depth = issue(tangle, store).milestone.index
    while tangle.latest.index - depth < BELOW_MAX_DEPTH + behind:
        issue(tangle, store)
    if fine:
        tangle.check(raw_block([parent]))
    else:
        with pytest.raises(BlockRefused, match="ask for new tips"):
            tangle.check(raw_block([parent]))


# ── milestones ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_milestone_references_its_predecessor_and_all_blocks(tangle, store):
    previous = tangle.latest
    ids = [attach(tangle, store, tangle.tips(), number) for number in range(5)]
    plan = issue(tangle, store)
    assert sorted(plan.order) == sorted([previous.block, *ids])
    assert store.order(plan.milestone.index) == list(plan.order)
    milestone = codec.decode_milestone(plan.milestone.payload)
    assert milestone.previous == previous.id
    assert milestone.inclusion_root == merkle.root(plan.order, codec.blake2b)
    assert len(milestone.signatures) == 2


def test_many_tips_are_merged_into_one_milestone(tangle, store):
    start = tangle.tips()
    ids = [attach(tangle, store, start, number) for number in range(300)]
    plan = issue(tangle, store)
    assert set(ids) <= set(plan.order)
    assert 0 < len(plan.merges) <= MERGES
    assert not tangle.has_unreferenced


def test_more_tips_than_a_milestone_can_merge_follow_in_the_next(tangle, store):
    start = tangle.tips()
    ids = [attach(tangle, store, start, number) for number in range(8 * MERGES + 60)]
    first = issue(tangle, store)
    assert len(first.merges) == MERGES
    assert tangle.has_unreferenced
    rest = [each for _ in range(4) for each in issue(tangle, store).order]
    assert set(ids) <= set(first.order) | set(rest)


def test_time_goes_on_when_the_clock_is_set_back(tangle, store):
    issue(tangle, store, NOW + 3_600)
    assert tangle.latest.timestamp == NOW + 3_600
    issue(tangle, store, NOW)
    assert tangle.latest.timestamp == NOW + 3_601


def test_planning_alone_changes_nothing(tangle, store):
    attach(tangle, store, tangle.tips())
    before = tangle.latest
    tangle.plan(NOW)
    assert tangle.latest == before
    assert store.milestone(before.index + 1) is None


def test_failed_write_leaves_the_index_unsigned(tangle, store):
    id = attach(tangle, store, tangle.tips())
    plan = tangle.plan(NOW)
    with pytest.raises(sqlite3.IntegrityError):
        store.confirm(plan.merges, plan.order, tangle.latest, plan.block, 0)  # an index that exists
    row = store.block(id)
    assert row is not None
    assert row.milestone is None
    assert store.block(plan.block.id) is None
    assert issue(tangle, store).milestone.index == plan.milestone.index


def test_full_disk_loses_nothing_and_signs_nothing(tangle, store):
    id = attach(tangle, store, tangle.tips())
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    row = tangle.check(codec.encode(Block((id,), TaggedData(b"t", bytes(30_000)))))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.append([row])
    assert store.block(row.id) is None
    store._writer.execute("PRAGMA max_page_count = 1000000")
    store.append([row])
    tangle.added([row])
    assert set(issue(tangle, store).order) >= {id, row.id}


def test_restart_finds_the_same_tips_and_keys(tmp_path):
    first = NodeStore(tmp_path, "test")
    tangle = Tangle(first, None, NOW)
    issue(tangle, first)
    ids = [attach(tangle, first, tangle.tips(), number) for number in range(3)]
    keys, latest = [public_bytes(each) for each in first.keys], tangle.latest
    first.close()
    second = NodeStore(tmp_path, "test")
    again = Tangle(second, None, NOW)
    assert [public_bytes(each) for each in second.keys] == keys
    assert (again.latest, again.tips()) == (latest, [ids[-1]])
    assert set(ids) <= set(issue(again, second).order)
    second.close()


def test_keys_are_readable_by_their_owner_only(store, tmp_path):
    assert (tmp_path / "coordinator.key").stat().st_mode & 0o777 == 0o600


def test_pruning_drops_old_milestones_with_their_blocks(tmp_path):
    store = NodeStore(tmp_path, "test")
    tangle = Tangle(store, 3, NOW)
    id = attach(tangle, store, tangle.tips())
    for _ in range(5):
        issue(tangle, store)
    assert tangle.latest.index == 6
    assert store.first() == 4
    assert store.block(id) is None
    store.close()


def test_second_owner_of_a_home_is_refused_with_the_pid(store, tmp_path):
    with pytest.raises(HomeBusy) as caught:
        NodeStore(tmp_path, "test")
    assert int(str(caught.value.values["pid"])) > 0
    assert caught.value.exit_code == 7


def test_home_of_another_network_is_refused(tmp_path):
    NodeStore(tmp_path, "one").close()
    with pytest.raises(HomeForeign):
        NodeStore(tmp_path, "two")
    NodeStore(tmp_path, "one").close()


def test_receipt_of_every_block_of_a_milestone_verifies(tangle, store):
    for number in range(20):
        attach(tangle, store, tangle.tips(), number)
    plan = issue(tangle, store)
    keys = tuple(inclusion.TrustedKey(public_bytes(each)) for each in store.keys)
    trust = inclusion.Trust(keys, 2, inclusion.network_id("test"))
    for leaf, id in enumerate(plan.order):
        row = store.block(id)
        assert row is not None
        receipt = inclusion.make(plan.order, leaf, row.raw, plan.milestone.payload, trust.network)
        assert inclusion.verify(receipt, trust).id == id
