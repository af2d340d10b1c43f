"""The journal under repetition, conflict, many writers and kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prsm_protocol.journal import EffectConflict, EffectEnded, EffectUnknown, Journal, Made, State


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def numbered(
    journal: Journal, key: str, *, account: str = "alice", floor: int = 0, content: bytes | None = None
) -> int:
    entry = journal.prepare_numbered(
        key, "transaction", account, content or key.encode(), floor, lambda n: Made(f"{key}#{n}".encode(), key.encode())
    )
    assert entry.number is not None
    return entry.number


# ── preparing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prepare_gives_back_the_stored_effect_when_repeated(journal: Journal) -> None:
    first = journal.prepare("run:1", "message", b"bytes", reference=b"id")
    journal.sent("run:1")
    again = journal.prepare("run:1", "message", b"bytes", reference=b"id")
    assert first.state is State.PREPARED
    assert again.state is State.SENT
    assert (again.payload, again.reference) == (b"bytes", b"id")


def test_prepare_is_refused_when_the_key_holds_other_content(journal: Journal) -> None:
    journal.prepare("run:1", "message", b"one")
    with pytest.raises(EffectConflict) as refused:
        journal.prepare("run:1", "message", b"two")
    assert refused.value.values["key"] == "run:1"


def test_need_is_refused_for_a_key_that_was_never_prepared(journal: Journal) -> None:
    with pytest.raises(EffectUnknown) as refused:
        journal.need("run:9")
    assert refused.value.values == {"key": "run:9"}


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_numbers_rise_without_holes_from_the_floor(journal: Journal) -> None:
    assert [numbered(journal, f"k{i}", floor=5) for i in range(3)] == [5, 6, 7]


def test_numbers_of_accounts_are_their_own(journal: Journal) -> None:
    assert numbered(journal, "a", account="alice", floor=3) == 3
    assert numbered(journal, "b", account="bob", floor=0) == 0


def test_number_is_never_given_twice_when_the_outside_answers_with_an_old_floor(journal: Journal) -> None:
    assert numbered(journal, "a", floor=4) == 4
    journal.sent("a")
    journal.confirmed("a", {"block": 1})
    assert numbered(journal, "b", floor=4) == 5


def test_abandoned_number_is_free_again_and_its_key_can_be_prepared_anew(journal: Journal) -> None:
    assert numbered(journal, "a") == 0
    journal.abandoned("a", {"error": "NonceTaken"})
    assert numbered(journal, "a", floor=1) == 1
    assert journal.need("a").state is State.PREPARED


def test_abandoned_effect_is_refused_any_other_end(journal: Journal) -> None:
    numbered(journal, "a")
    journal.abandoned("a", {})
    for act in (journal.sent, lambda key: journal.confirmed(key, {}), lambda key: journal.failed(key, {})):
        with pytest.raises(EffectEnded) as refused:
            act("a")
        assert refused.value.values["key"] == "a"


def test_nothing_is_stored_when_making_the_bytes_fails(journal: Journal) -> None:
    def broken(number: int) -> Made:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        journal.prepare_numbered("a", "transaction", "alice", b"a", 0, broken)
    assert journal.get("a") is None
    assert numbered(journal, "b") == 0


# ── states ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_unfinished_names_what_was_prepared_or_sent_in_order(journal: Journal) -> None:
    for key in ("a", "b", "c", "d"):
        numbered(journal, key)
    journal.sent("b")
    journal.confirmed("a", {})
    journal.failed("c", {"error": "EscrowNotBuyer"})
    assert [entry.key for entry in journal.unfinished("alice")] == ["b", "d"]


def test_replaced_keeps_every_reference_latest_first(journal: Journal) -> None:
    journal.prepare("a", "transaction", b"one", reference=b"r1")
    journal.replaced("a", Made(b"two", b"r2"))
    assert journal.references("a") == [b"r2", b"r1"]
    assert journal.need("a").payload == b"two"


def test_outcome_is_kept_with_bytes_as_text(journal: Journal) -> None:
    journal.prepare("a", "transaction", b"one")
    assert journal.confirmed("a", {"hash": b"\x01\xff", "block": 7}).outcome == {"hash": "0x01ff", "block": 7}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["prepare", "confirm", "fail", "abandon", "again"]), max_size=25))
def test_live_numbers_are_unique_whatever_happens(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "j.sqlite")
    floor = 0
    keys: list[str] = []
    for index, step in enumerate(steps):
        if step == "prepare" or not keys:
            keys.append(f"k{index}")
            numbered(journal, keys[-1], floor=floor)
        elif step == "confirm":
            live = [key for key in keys if journal.need(key).state is not State.ABANDONED]
            if live:
                floor = max(floor, (journal.confirmed(live[0], {}).number or 0) + 1)
        elif step == "fail" and journal.need(keys[-1]).state is not State.ABANDONED:
            journal.failed(keys[-1], {})
        elif step == "abandon" and journal.need(keys[-1]).state is State.PREPARED:
            journal.abandoned(keys[-1], {})
        elif step == "again":
            numbered(journal, keys[-1], floor=floor)
    numbers = [entry.number for entry in journal.entries() if entry.state is not State.ABANDONED]
    assert len(numbers) == len(set(numbers))
    journal.close()


# ── many writers, and sudden death ───────────────────────────────────────────────────────────────────────────────────


def test_threads_get_different_numbers(journal: Journal) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda i: numbered(journal, f"k{i}"), range(64)))
    assert sorted(numbers) == list(range(64))


WRITER = """
import sys
from pathlib import Path
from prsm_protocol.journal import Journal, Made
journal = Journal(Path(sys.argv[1]))
for i in range(1_000_000):
    key = f"{sys.argv[2]}/{i}"
    entry = journal.prepare_numbered(key, "transaction", "alice", key.encode(), 0, lambda n: Made(str(n).encode(), b""))
    print(key, entry.number, flush=True)
"""


def test_everything_that_was_returned_is_there_after_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    root = Path(__file__).resolve().parent.parent
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], cwd=root, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    told: dict[str, int] = {}
    for writer in writers:
        assert writer.stdout is not None
        for _ in range(20):
            key, number = writer.stdout.readline().split()
            told[key] = int(number)
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.stdout is not None
        for line in writer.stdout.read().splitlines():
            if len(line.split()) == 2:
                told[line.split()[0]] = int(line.split()[1])
        writer.wait()
        writer.stdout.close()
    stored = {entry.key: entry.number for entry in Journal(path).entries()}
    assert {key: stored.get(key) for key in told} == told
    assert len(set(stored.values())) == len(stored)
