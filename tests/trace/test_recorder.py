"""The recorder: one event a step, signed and chained; nothing secret gets in."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from prsm_protocol.identity import Identity, verify
from prsm_protocol.trace import blocks, bundle, dag_cbor, merkle
from prsm_protocol.trace import verify as standalone
from prsm_protocol.trace.recorder import (
    ChainBroken,
    EventUnknown,
    PayloadUnknown,
    Recorder,
    SecretFilter,
    SecretInTrace,
    delegate,
)
from prsm_protocol.trace.seal import Sealed
from prsm_protocol.trace.store import TraceStore, open_store
from prsm_protocol.types import Cid, RunId, Wei

RUN = RunId("ab" * 16)
ZERO = Wei(0)
MNEMONIC = "test test test test test test test test test test test junk"


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    return open_store(tmp_path / "trace.db")


@pytest.fixture
def key() -> Identity:
    return Identity.generate()


def head_of(question: Sealed) -> blocks.RunHead:
    return blocks.RunHead(
        b"", "", question, "answered", None, "own", 0, b"", None, None, ZERO, ZERO, ZERO, ZERO, None, 1, 2
    )


def test_events_are_signed_and_chained(store: TraceStore, key: Identity) -> None:
    recorder = Recorder(store, RUN, key, wall_us=lambda: 7, mono_us=lambda: 8)
    first = recorder.record("a", "run_started")
    second = recorder.record("b", "run_ended", first)
    event = blocks.decode(blocks.Event, store.get(RUN, second))
    assert event.body == blocks.EventBody(bytes.fromhex(RUN), 1, first, "run_ended", first, 7, 8, key.did)
    assert verify(key.did, "event", blocks.signed_message(event), event.signature)


def test_a_step_recorded_before_returns_its_event(store: TraceStore, key: Identity) -> None:
    recorder = Recorder(store, RUN, key)
    first = recorder.record("a", "run_started")
    assert recorder.record("a", "run_started") == first
    again = Recorder(store, RUN, key)
    assert again.record("a", "run_started") == first
    assert again.record("b", "halted") != first
    assert len(store.events(RUN)) == 2


def test_unknown_event_is_refused(store: TraceStore, key: Identity) -> None:
    with pytest.raises(EventUnknown):
        Recorder(store, RUN, key).record("a", "something_happened")


def test_equal_payloads_of_a_run_seal_equally_also_after_a_restart(store: TraceStore, key: Identity) -> None:
    payload = {"v": 1, "kind": "goal", "text": "why"}
    sealed = Recorder(store, RUN, key).seal(payload)
    recorder = Recorder(store, RUN, key)
    assert recorder.seal(payload) == sealed
    assert dag_cbor.decode(recorder.read(sealed)) == payload
    assert Recorder(store, RunId("cd" * 16), key).seal(payload) != sealed
    with pytest.raises(PayloadUnknown):
        Recorder(store, RunId("cd" * 16), key).read(replace(sealed, digest=bytes(32)))


def test_head_is_filled_in_from_the_record(store: TraceStore, key: Identity) -> None:
    recorder = Recorder(store, RUN, key)
    question = recorder.seal(b"why")
    events = [recorder.record(name, "halted") for name in "abc"]
    cid = recorder.head(head_of(question), key)
    head = blocks.decode(blocks.RunHead, store.get(RUN, cid))
    assert (head.events, head.last, head.previous) == (3, events[-1], None)
    assert head.merkle_root == merkle.root([event.bytes for event in events])
    recorder.record("d", "run_ended")
    later = blocks.decode(blocks.RunHead, store.get(RUN, recorder.head(head_of(question), key)))
    assert (later.events, later.previous) == (4, cid)


def test_a_foreign_event_in_the_chain_is_found(store: TraceStore, key: Identity) -> None:
    recorder = Recorder(store, RUN, key)
    recorder.record("a", "run_started")
    stray = blocks.sign(blocks.Event(blocks.EventBody(bytes.fromhex(RUN), 5, None, "halted", None, 1, 1, key.did)), key)
    store.append(RUN, 1, "stray", stray)
    with pytest.raises(ChainBroken) as refused:
        recorder.head(head_of(recorder.seal(b"why")), key)
    assert refused.value.values == {"seq": 1}


def test_recorded_run_passes_the_standalone_verifier(store: TraceStore, key: Identity, tmp_path: Path) -> None:
    asker = Identity.generate()
    recorder = Recorder(store, RUN, key)
    question = recorder.seal({"v": 1, "kind": "question", "text": "1 + 1"})
    recorder.record("a", "run_started", question)
    delegation = recorder.put(delegate(asker, RUN, key.did, 10**18))
    recorder.record("b", "run_ended")
    recorder.head(replace(head_of(question), state="failed", delegation=delegation), asker)
    exported = bundle.export(store, RUN, tmp_path)
    checks = standalone.verify(standalone.read_run(exported.path.read_bytes()), asker=asker.did)
    assert {check.name: check.wrong + check.open for check in checks if check.status != "ok"} == {}


@pytest.mark.parametrize("openssl", [True, False])
def test_a_thousand_events_are_verified_in_seconds(
    store: TraceStore, key: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openssl: bool
) -> None:
    recorder = Recorder(store, RUN, key)
    question = recorder.seal({"v": 1, "kind": "question", "text": "1 + 1"})
    with store.transaction():
        recorder.record("a", "run_started", question)
        for number in range(999):
            recorder.record(f"step {number}", "halted")
    recorder.head(replace(head_of(question), state="failed"), key)
    data = bundle.export(store, RUN, tmp_path).path.read_bytes()
    monkeypatch.setattr(standalone, "HAS_OPENSSL", openssl and standalone.HAS_OPENSSL)
    begun = time.process_time()
    assert standalone.exit_code(standalone.verify(standalone.read_run(data))) == 0
    assert time.process_time() - begun < 5


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nMC4C",
        "Authorization: Bearer abcdefghijklmnopqrstuvwx",
        f"my words are {MNEMONIC} please",
        "key sk-abcdefghijklmnopqrstuvwx in the notes",
        "the password is hunter2-hunter2",
        b"the password is hunter2-hunter2".hex(),
    ],
)
def test_secrets_are_refused_by_field(store: TraceStore, key: Identity, text: str) -> None:
    secrets = SecretFilter(["hunter2-hunter2", b"the password is hunter2-hunter2"])
    recorder = Recorder(store, RUN, key, secrets=secrets)
    with pytest.raises(SecretInTrace) as refused:
        recorder.seal({"v": 1, "kind": "goal", "text": [text]})
    assert refused.value.values == {"field": "/text/0/"}
    with pytest.raises(SecretInTrace):
        recorder.seal(text.encode())
    with pytest.raises(SecretInTrace):
        recorder.put_bytes(dag_cbor.encode({"v": 1, "kind": "goal", "text": text}))


@pytest.mark.parametrize(
    "text",
    [
        "which of these cases are malignant and which measurements decide it and is the linear model better",
        "0x" + "ab" * 32,
        "the bearer of bad news",
        "test test test test test test test test test test test test",
    ],
)
def test_ordinary_text_is_kept(store: TraceStore, key: Identity, text: str) -> None:
    recorder = Recorder(store, RUN, key, secrets=SecretFilter(["hunter2-hunter2"]))
    assert dag_cbor.decode(recorder.read(recorder.seal({"v": 1, "kind": "goal", "text": text}))) == {
        "v": 1, "kind": "goal", "text": text,
    }  # fmt: skip


def test_secrets_in_structure_are_refused_too(store: TraceStore, key: Identity) -> None:
    recorder = Recorder(store, RUN, key, secrets=SecretFilter(["hunter2-hunter2"]))
    with pytest.raises(SecretInTrace):
        recorder.put(blocks.Decision("kind", blocks.DecidedBy("rule", "hunter2-hunter2"), (), None))
    assert not store.has(RUN, Cid.of(b""))
