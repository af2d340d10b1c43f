"""The trace store: durable, exact in what it forgets, joining a transaction that is handed in."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from prsm_protocol.identity import Identity
from prsm_protocol.trace import blocks, dag_cbor
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.seal import Opening
from prsm_protocol.trace.store import BlockMissing, StoreBusy, StoredBlockCorrupt, StoreFull, TraceStore, open_store
from prsm_protocol.types import Cid, RunId, Wei, new_run_id

RUN, OTHER = RunId("00" * 16), RunId("11" * 16)


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return open_store(tmp_path / "trace.db")


def test_blocks_and_openings_come_back(store: TraceStore) -> None:
    cid = store.put(RUN, dag_cbor.encode({"v": 1, "kind": "x"}))
    assert store.get(RUN, cid) == dag_cbor.encode({"v": 1, "kind": "x"})
    assert store.has(RUN, cid)
    assert not store.has(OTHER, cid)
    opening = Opening(bytes(32), bytes(32), cid)
    store.add_opening(RUN, opening)
    assert store.opening(RUN, bytes(32)) == opening
    assert store.opening(OTHER, bytes(32)) is None


def test_missing_and_corrupt_blocks_are_told_apart(store: TraceStore, tmp_path: Path) -> None:
    cid = store.put(RUN, b"payload", 0x55)
    with pytest.raises(BlockMissing):
        store.get(RUN, Cid.of(b"other"))
    with sqlite3.connect(tmp_path / "trace.db") as connection:
        connection.execute("UPDATE trace_blocks SET data = ?", (b"altered",))
    with pytest.raises(StoredBlockCorrupt):
        store.get(RUN, cid)


def test_secret_is_made_once(store: TraceStore) -> None:
    assert store.begin(RUN) == store.begin(RUN)
    assert store.begin(RUN) != store.begin(OTHER)
    assert store.runs() == [RUN, OTHER]


def test_delete_forgets_one_run_wholly(store: TraceStore, tmp_path: Path) -> None:
    for run in (RUN, OTHER):
        recorder = Recorder(store, run, Identity.generate())
        recorder.record("a", "run_started", recorder.seal({"v": 1, "kind": "question", "text": "same"}))
    store.delete(RUN)
    assert store.runs() == [OTHER]
    assert store.events(RUN) == []
    assert len(store.events(OTHER)) == 1
    with sqlite3.connect(tmp_path / "trace.db") as connection:
        for table in ("runs", "blocks", "events", "heads", "openings", "attempts"):
            count = connection.execute(f"SELECT count(*) FROM trace_{table} WHERE run = ?", (RUN,)).fetchone()[0]
            assert count == 0, table


def test_event_commits_with_the_callers_transaction(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "home.db", isolation_level=None)
    connection.execute("CREATE TABLE steps (name TEXT)")
    store = TraceStore(connection)
    recorder = Recorder(store, RUN, Identity.generate())
    connection.execute("BEGIN")
    connection.execute("INSERT INTO steps VALUES ('a')")
    recorder.record("a", "run_started")
    connection.execute("ROLLBACK")
    assert store.events(RUN) == []
    connection.execute("BEGIN")
    connection.execute("INSERT INTO steps VALUES ('a')")
    recorder.record("a", "run_started")
    connection.execute("COMMIT")
    assert len(store.events(RUN)) == 1


def test_fold_tells_graph_attempts_and_head(store: TraceStore) -> None:
    asker = Identity.generate()
    recorder = Recorder(store, RUN, asker)
    goal = recorder.seal({"v": 1, "kind": "goal", "text": "x"})
    spec = recorder.put(blocks.TaskSpec("calculate", goal, (), None, (), "own"))
    node = blocks.GraphNode(spec, None, 3, Wei(0), 1)
    recorder.record("split", "graph_split", recorder.put(blocks.TaskGraph("root", {"root": node}, (), None)))
    attempt = blocks.Attempt(spec, "root", 1, "calculate", asker.did, "accepted", "own")
    recorder.record("ended", "attempt_ended", recorder.put(attempt))
    zero = Wei(0)
    head = blocks.RunHead(
        b"", "", goal, "answered", None, "own", 0, b"", None, None, zero, zero, zero, zero, None, 1, 2
    )
    recorder.head(head, asker)
    fold = store.fold(RUN)
    assert fold.nodes == {"root": node}
    assert fold.attempts == [attempt]
    assert fold.head is not None
    assert (fold.head.events, fold.head.asker) == (2, asker.did)
    assert store.accepted(spec) == [(RUN, blocks.cid_of(attempt))]


def test_threads_write_one_chain(store: TraceStore) -> None:
    recorder = Recorder(store, RUN, Identity.generate())
    threads = [threading.Thread(target=recorder.record, args=(f"step {n}", "halted")) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [blocks.decode(blocks.Event, store.get(RUN, cid)).body for cid in store.events(RUN)]
    assert [event.seq for event in events] == list(range(24))


WRITER = """
import sys
from pathlib import Path
from prsm_protocol.identity import Identity
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.store import open_store
from prsm_protocol.types import RunId
recorder = Recorder(open_store(Path(sys.argv[1])), RunId("00" * 16), Identity.from_seed32(bytes(32)))
for number in range(100_000):
    recorder.record(f"step {number}", "halted")
    print(number, flush=True)
"""


def test_every_acknowledged_event_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "trace.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 20:
                os.kill(writer.pid, signal.SIGKILL)
                break
        told = int(line)
        for line in writer.stdout:
            told = int(line)
    store = open_store(path)
    events = [blocks.decode(blocks.Event, store.get(RUN, cid)).body for cid in store.events(RUN)]
    assert len(events) >= told + 1
    assert [event.seq for event in events] == list(range(len(events)))


def test_busy_store_names_its_path(tmp_path: Path) -> None:
    store = open_store(tmp_path / "trace.db")
    store._connection.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "trace.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy) as refused:
        store.put(RUN, b"x", 0x55)
    assert refused.value.values == {"path": tmp_path / "trace.db"}
    other.execute("ROLLBACK")
    store.put(RUN, b"x", 0x55)


def test_full_store_names_its_path_and_what_is_needed(tmp_path: Path) -> None:
    store = open_store(tmp_path / "trace.db")
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreFull) as refused:
        store.put(RUN, bytes(200_000), 0x55)
    assert refused.value.values["path"] == tmp_path / "trace.db"
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.put(RUN, bytes(200_000), 0x55)


def test_new_run_ids_differ() -> None:
    assert new_run_id() != new_run_id()
