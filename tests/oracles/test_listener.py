"""Following a chain that changes its mind. The chain is scripted here; `test_crash.py` has a real one.

L1  every event of a canonical block is stored exactly once
L2  the cursor never passes a block whose events are not stored
L3  a restart replays and ends with the same rows
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from oracles.listener import DEPTH, Listener, ReorgTooDeep
from oracles.store import Store
from prsm_protocol.chain import Block, Chain, Event

OPERATOR = "0x" + "11" * 20
TASK = b"t" * 32


def block_hash(number: int, fork: str) -> bytes:
    return f"{number:06d}{fork}".encode().ljust(32, b".")


@dataclass
class ScriptedChain:
    """Blocks named by number and fork; events stand in the blocks of their fork."""

    forks: list[str]  # the fork of each block
    found: dict[bytes, list[Event]] = field(default_factory=dict)
    chain_id: int = 31337
    deployment: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(start_block=1))
    channels: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(address="0xc"))
    escrow: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(address="0xe"))

    def block(self, number: int | str = "latest") -> Block:
        at = len(self.forks) - 1 if number == "latest" else int(number)
        parent = block_hash(at - 1, self.forks[at - 1]) if at else bytes(32)
        return Block(at, block_hash(at, self.forks[at]), parent, 1000 + at)

    def events(self, first: int, last: int) -> list[Event]:
        return [event for at in range(first, last + 1) for event in self.found.get(self.block(at).hash, [])]

    def assigned(self, number: int, fork: str) -> None:
        where = block_hash(number, fork)
        fields: dict[str, object] = {"task_id": TASK, "operator": OPERATOR, "job_id": b"j" * 32}
        self.found.setdefault(where, []).append(Event("TaskAssigned", "Escrow", fields, number, where, b"x" * 32, 0))


def listener(store: Store, chain: ScriptedChain) -> Listener:
    return Listener(store, cast(Chain, chain), operator=OPERATOR, payee=OPERATOR)


def catch_up(found: Listener) -> None:
    while found.advance():
        pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "node.db")


def assignments(store: Store) -> list[int]:
    return [event.block for event in store.events(name="TaskAssigned")]


def test_event_is_stored_once_however_often_the_chain_is_read(store: Store) -> None:
    chain = ScriptedChain(["a"] * 10)
    chain.assigned(5, "a")
    following = listener(store, chain)
    for _ in range(3):
        following.start()
        catch_up(following)
    assert assignments(store) == [5]
    assert store.cursor() == (9, block_hash(9, "a"))


@pytest.mark.parametrize("depth", [1, 2, 5, 10, 64])
def test_reorganisation_orphans_what_is_gone_and_keeps_the_rest(store: Store, depth: int) -> None:
    chain = ScriptedChain(["a"] * 100)
    chain.assigned(20, "a")
    chain.assigned(99, "a")
    following = listener(store, chain)
    catch_up(following)
    assert assignments(store) == [20, 99]
    chain.forks = ["a"] * (100 - depth) + ["b"] * (depth + 1)
    catch_up(following)
    assert assignments(store) == [20]
    assert [event.block for event in store.events(name="TaskAssigned", orphaned=True)] == [99]
    assert following.deepest_reorganisation == depth


def test_assignment_that_moves_to_another_block_counts_there(store: Store) -> None:
    chain = ScriptedChain(["a"] * 20)
    chain.assigned(18, "a")
    following = listener(store, chain)
    catch_up(following)
    chain.forks = ["a"] * 17 + ["b"] * 5
    chain.assigned(20, "b")
    catch_up(following)
    assert assignments(store) == [20]


def test_block_that_comes_back_counts_again(store: Store) -> None:
    chain = ScriptedChain(["a"] * 20)
    chain.assigned(18, "a")
    following = listener(store, chain)
    catch_up(following)
    chain.forks = ["a"] * 17 + ["b"] * 4
    catch_up(following)
    assert assignments(store) == []
    chain.forks = ["a"] * 25
    catch_up(following)
    assert assignments(store) == [18]


def test_reorganisation_while_the_node_was_down_is_noticed(tmp_path: Path) -> None:
    chain = ScriptedChain(["a"] * 90)
    chain.assigned(85, "a")
    first = Store(tmp_path / "node.db")
    catch_up(listener(first, chain))
    first.close()
    chain.forks = ["a"] * 80 + ["b"] * 20
    again = Store(tmp_path / "node.db")
    following = listener(again, chain)
    following.start()
    catch_up(following)
    assert assignments(again) == []
    assert again.cursor() == (99, block_hash(99, "b"))


@pytest.mark.parametrize(("depth", "stops"), [(DEPTH - 1, False), (DEPTH, False), (DEPTH + 1, True)])
def test_node_stops_when_a_reorganisation_is_too_deep(store: Store, depth: int, stops: bool) -> None:
    chain = ScriptedChain(["a"] * 300)
    following = listener(store, chain)
    catch_up(following)
    chain.forks = ["a"] * (300 - depth) + ["b"] * (depth + 1)
    if stops:
        with pytest.raises(ReorgTooDeep) as caught:
            catch_up(following)
        assert caught.value.values["depth"] == DEPTH
    else:
        catch_up(following)
        assert store.cursor() == (300, block_hash(300, "b"))


def test_what_concerns_others_is_not_stored(store: Store) -> None:
    chain = ScriptedChain(["a"] * 5)
    where = block_hash(3, "a")
    foreign: dict[str, object] = {"task_id": b"o" * 32, "operator": "0x" + "22" * 20, "job_id": b"j" * 32}
    chain.found[where] = [Event("TaskAssigned", "Escrow", foreign, 3, where, b"x" * 32, 0)]
    catch_up(listener(store, chain))
    assert assignments(store) == []
