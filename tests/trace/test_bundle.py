"""Bundles: whole, complete or refused; withheld, named and missing told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prsm_protocol.identity import Identity
from prsm_protocol.trace import blocks, bundle, car, dag_cbor
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.store import BlockMissing, TraceStore, open_store
from prsm_protocol.types import DAG_CBOR, Cid, RunId, Wei

RUN = RunId("ab" * 16)
ZERO = Wei(0)
PUBLIC = dag_cbor.encode({"v": 1, "kind": "public"})
PUBLIC_CID = Cid.of(PUBLIC, DAG_CBOR)


@pytest.fixture
def store(tmp_path: Path) -> TraceStore:
    """A run whose task names a public block that only others hold."""
    store, key = open_store(tmp_path / "trace.db"), Identity.generate()
    recorder = Recorder(store, RUN, key)
    question = recorder.seal({"v": 1, "kind": "question", "text": "why"})
    spec = recorder.put(blocks.TaskSpec("write", question, (blocks.Input("public", PUBLIC_CID),), None, (), "own"))
    recorder.record("a", "run_started", spec)
    recorder.head(
        blocks.RunHead(
            b"", "", question, "failed", None, "own", 0, b"", None, None, ZERO, ZERO, ZERO, ZERO, None, 1, 2
        ),
        key,
    )
    return store


def test_export_fetches_what_the_record_lacks(store: TraceStore, tmp_path: Path) -> None:
    exported = bundle.export(store, RUN, tmp_path, fetch={PUBLIC_CID: PUBLIC}.get)
    loaded = bundle.load(exported.path)
    assert loaded.blocks[PUBLIC_CID] == PUBLIC
    assert exported.path.name == f"run-{RUN}.car"
    assert (exported.blocks, exported.bytes) == (len(loaded.blocks), exported.path.stat().st_size)
    assert exported.opened == {"question": 1}
    assert loaded.evidence is None


@pytest.mark.parametrize("answer", [None, b"other bytes"])
def test_export_is_refused_while_a_block_is_missing(store: TraceStore, tmp_path: Path, answer: bytes | None) -> None:
    with pytest.raises(BlockMissing) as refused:
        bundle.export(store, RUN, tmp_path, fetch=lambda cid: answer)
    assert refused.value.values == {"cid": PUBLIC_CID}
    assert list(tmp_path.glob("*.car*")) == []


def test_withheld_links_are_named(store: TraceStore, tmp_path: Path) -> None:
    exported = bundle.export(store, RUN, tmp_path, withheld=frozenset({PUBLIC_CID}))
    assert bundle.load(exported.path).openings.withheld == (PUBLIC_CID,)


def test_run_without_head_has_no_file(store: TraceStore, tmp_path: Path) -> None:
    with pytest.raises(bundle.BundleInvalid):
        bundle.export(store, RunId("00" * 16), tmp_path)


def test_too_large_files_are_refused(store: TraceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = bundle.export(store, RUN, tmp_path, fetch={PUBLIC_CID: PUBLIC}.get)
    monkeypatch.setattr(bundle, "BUNDLE_LIMIT", 100)
    with pytest.raises(bundle.BundleTooLarge):
        bundle.export(store, RUN, tmp_path, fetch={PUBLIC_CID: PUBLIC}.get)
    with pytest.raises(bundle.BundleTooLarge):
        bundle.load(exported.path)


def test_too_many_openings_are_refused(store: TraceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "OPENINGS_LIMIT", 0)
    with pytest.raises(bundle.TooManyOpenings):
        bundle.export(store, RUN, tmp_path, fetch={PUBLIC_CID: PUBLIC}.get)


def test_other_archives_are_no_runs(tmp_path: Path) -> None:
    path = tmp_path / "other.car"
    with path.open("wb") as out:
        car.write(out, [PUBLIC_CID], [(PUBLIC_CID, PUBLIC)])
    with pytest.raises(bundle.BundleInvalid):
        bundle.load(path)


def test_named_links_are_left_out(whole: Any, synthetic: Any) -> None:
    """A listing's ONNX file and circuit key have names only; its weights are carried."""
    loaded = bundle.load(whole.path)
    kinds = [blocks.kind_of(data) for cid, data in loaded.blocks.items() if cid.codec == DAG_CBOR]
    assert kinds.count("listing") == kinds.count("integer_layers") == 2
    assert Cid.of(b"deep") not in loaded.blocks
    assert loaded.evidence is not None
    assert len(loaded.evidence.tasks) == 6
