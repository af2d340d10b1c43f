"""What the store holds by itself, whoever calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracles.next_step import ORDER, Work
from oracles.store import EventRow, Store, StoreDamaged, WouldContradict


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "node.db")


def put(store: Store, task: str = "0x01", work: Work = Work.QUOTED) -> str:
    store.put_task(task, request="r", asker="did", quote={"tier": "trusted"}, quote_until=10, work=work)
    return task


def event(block: int, block_hash: bytes, name: str = "TaskAssigned", index: int = 0) -> EventRow:
    return EventRow(block, block_hash, index, "Escrow", name, "0x01", {}, "0xaa", 100)


@pytest.mark.parametrize("start", ORDER)
@pytest.mark.parametrize("to", ORDER)
def test_work_only_moves_forward(store: Store, start: Work, to: Work) -> None:
    task = put(store, work=start)
    may = ORDER.index(to) > ORDER.index(start) and not (start is Work.SIGNED and to is Work.UNABLE)
    assert store.advance(task, to) is may
    row = store.task(task)
    assert row is not None
    assert row.work is (to if may else start)


def test_second_answer_to_one_task_is_refused_for_ever(store: Store, tmp_path: Path) -> None:
    assert store.reserve_signature("0x01", b"a" * 32) is None
    store.put_signature("0x01", b"signature")
    assert Store(tmp_path / "node.db").reserve_signature("0x01", b"a" * 32) == b"signature"
    with pytest.raises(WouldContradict) as caught:
        store.reserve_signature("0x01", b"b" * 32)
    assert (caught.value.values["first"], caught.value.values["second"]) == ("61" * 32, "62" * 32)


def test_first_output_is_never_replaced(store: Store) -> None:
    store.put_file("0x01", "output", b"first")
    store.put_file("0x01", "output", b"second")
    assert store.file("0x01", "output") == b"first"


def test_event_is_stored_once_and_counts_again_when_its_block_returns(store: Store) -> None:
    for _ in range(3):
        store.put_event(event(5, b"h5"))
    assert len(store.events(key="0x01")) == 1
    store.orphan_above(4)
    assert store.events(key="0x01") == []
    store.put_event(event(5, b"h5"))
    assert len(store.events(key="0x01")) == 1


def test_same_event_in_another_block_is_another_event(store: Store) -> None:
    store.put_event(event(5, b"h5"))
    store.orphan_above(4)
    store.put_event(event(6, b"h6"))
    assert [row.block for row in store.events(key="0x01")] == [6]


def test_failed_transaction_leaves_nothing(store: Store) -> None:
    def half() -> None:
        with store.transaction():
            put(store)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert store.task("0x01") is None


def test_input_goes_with_its_task(store: Store) -> None:
    put(store)
    store.put_file("0x01", "input", b"private")
    store.close_task("0x01")
    assert store.file("0x01", "input") is None
    assert store.open_tasks() == []


def test_intent_repeated_many_times_is_one(store: Store) -> None:
    for at in range(50):
        store.ensure_intent("k", "deliver", "0x01", float(at))
    assert len(store.intents()) == 1


def test_damaged_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    first = Store(path)
    with first.transaction():
        for at in range(200):
            put(first, f"0x{at:064x}")
    first.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    path.write_bytes(bytes(data))
    with pytest.raises(StoreDamaged):
        Store(path).check()


@pytest.mark.parametrize("order", [("input", "accept"), ("accept", "input")])
def test_input_and_assignment_meet_in_either_order(store: Store, order: tuple[str, ...]) -> None:
    task = put(store)
    for step in order:
        if step == "input":
            store.keep_input(task, b"words")
        else:
            store.accept(task)
    row = store.task(task)
    assert row is not None
    assert row.work is Work.INPUT


def test_input_before_the_assignment_waits_for_it(store: Store) -> None:
    task = put(store)
    store.keep_input(task, b"words")
    row = store.task(task)
    assert row is not None
    assert row.work is Work.QUOTED


@pytest.mark.parametrize("work", [Work.OUTPUT, Work.SIGNED, Work.UNABLE])
def test_late_input_or_assignment_turns_nothing_back(store: Store, work: Work) -> None:
    task = put(store, work=work)
    store.keep_input(task, b"words")
    store.accept(task)
    row = store.task(task)
    assert row is not None
    assert row.work is work
