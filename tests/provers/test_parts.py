"""Parts without a process: manifest, estimate, keys, store."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path
from threading import Thread

import pytest

from provers import errors, estimate
from provers.build import corners, evenly, salt_of
from provers.circuits import Circuits, check_name
from provers.estimate import Machine, address_space, check, measured, static
from provers.keys import FILES, KeyCache
from provers.manifest import Manifest, decode
from provers.store import JobStore
from provers.workshop import Gate
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.proof_cost import Dense
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.trace import dag_cbor

MANIFEST = Manifest(
    model=b"\x01" * 32,
    source=b"\x02" * 32,
    settings=b"\x03" * 32,
    verifying_key=b"\x04" * 32,
    verifier_source=b"\x05" * 32,
    code_hash=b"\x06" * 32,
    compiler="solc",
    setup=Setup.SINGLE,
    setup_k=12,
    setup_file=b"\x07" * 32,
    setup_g2=b"\x08" * 32,
    ezkl="23.0.5",
    inputs=30,
    outputs=1,
    hashed_input=True,
    batch_rows=1,
    salt_words=5,
    bits=10,
    output_bits=10,
    low=-16384,
    high=16384,
    labels_from="sign",
    rows=b"\x09" * 32,
    rows_tried=200,
    agreement_ppm=1_000_000,
    largest_error_ppm=5_000,
    allowed_error_ppm=20_000,
)
MACHINE = Machine(memory_bytes=8 << 30, threads=2, max_k=17, max_seconds=60)
SMALL, LAYOUT = [Dense(30, 16), Dense(16, 1)], Layout(30, 1, True)


# ── manifest ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_manifest_reads_back():
    assert decode(MANIFEST.encode()) == MANIFEST


@pytest.mark.parametrize("name", [field.name for field in fields(Manifest)])
def test_manifest_with_a_changed_type_or_missing_field_is_refused_by_its_name(name: str):
    document = dag_cbor.decode(MANIFEST.encode())
    assert isinstance(document, dict)
    for broken in ({**document, name: []}, {key: value for key, value in document.items() if key != name}):
        with pytest.raises(errors.ManifestInvalid, match=repr(name)):
            decode(dag_cbor.encode(broken))


def test_manifest_with_another_field_kind_or_bytes_is_refused():
    document = dag_cbor.decode(MANIFEST.encode())
    assert isinstance(document, dict)
    for broken in (dag_cbor.encode({**document, "more": 1}), dag_cbor.encode({**document, "kind": "x"}), b"\xff"):
        with pytest.raises(errors.ManifestInvalid):
            decode(broken)


def test_circuit_id_follows_manifest_and_code():
    assert MANIFEST.circuit_id != replace(MANIFEST, bits=9).circuit_id
    assert MANIFEST.circuit_id != replace(MANIFEST, code_hash=bytes(32)).circuit_id


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", "a" * 65, "_a"])
def test_circuit_names_are_words(name: str):
    assert check_name("biopsy_malignant_24_rows") == "biopsy_malignant_24_rows"
    with pytest.raises(errors.CircuitNameInvalid):
        check_name(name)


def test_circuits_of_an_empty_home_know_nothing(tmp_path: Path):
    with pytest.raises(errors.CircuitUnknown, match="nothing"):
        Circuits(tmp_path).get("nothing")


# ── estimate ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_small_network_fits_and_its_measured_figures_lie_in_the_range():
    found = static(SMALL, LAYOUT)
    check(found, MACHINE)
    assert found.seconds[0] < 0.9 < found.seconds[1]
    assert found.peak_bytes[0] <= 124_000_000 <= found.peak_bytes[1]
    assert address_space(found) > 512 << 20


@pytest.mark.parametrize(
    ("machine", "fits"),
    [
        (MACHINE, True),
        (replace(MACHINE, max_k=12), True),
        (replace(MACHINE, max_k=11), False),
        (replace(MACHINE, memory_bytes=100_000_000), False),
        (replace(MACHINE, max_seconds=0.1), False),
    ],
)
def test_each_limit_refuses_with_numbers(machine: Machine, fits: bool):
    found = static(SMALL, LAYOUT)
    if fits:
        check(found, machine)
        return
    with pytest.raises(errors.CircuitTooLarge, match=f"{found.peak_bytes[0]} bytes"):
        check(found, machine)


def test_five_million_parameters_are_refused_in_no_time():
    started = time.monotonic()
    with pytest.raises(errors.CircuitTooLarge):
        check(static([Dense(2_000, 2_500), Dense(2_500, 1)], Layout(2_000, 1, True)), MACHINE)
    assert time.monotonic() - started < 0.1


def test_a_public_input_of_too_many_words_is_not_provable():
    with pytest.raises(errors.NotProvable, match="hash the input"):
        check(static([Dense(2_000, 1)], Layout(2_000, 1, False)), MACHINE)


def test_measured_estimate_spans_what_was_seen():
    found = measured(static(SMALL, LAYOUT).cost, [0.5, 0.9, 0.6], 100)
    assert (found.seconds, found.peak_bytes, found.basis) == ((0.25, 1.8), (100, 150), "measured")


def test_available_memory_is_read():
    assert estimate.available_bytes() > 1 << 20


# ── build's numbers ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_rows_are_taken_evenly_and_corners_reach_the_ends():
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(10, 5) == [0, 2, 4, 6, 8]
    found = corners(4, 16, hashed=True)
    assert all(abs(word) == 16 for row in found for word in row[:4])
    assert all(len(row) == 9 for row in found)
    assert len({tuple(row) for row in corners(30, 16, hashed=False)}) == 8


def test_salt_of_a_row_is_the_same_again_and_below_its_bound():
    assert salt_of([1, 2]) == salt_of([1, 2]) != salt_of([1, 3])
    assert all(0 <= word < 1 << 31 for word in salt_of([1, 2]))


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def made(folder: Path, size: int) -> Path:
    folder.mkdir()
    for name in FILES.values():
        (folder / name).write_bytes(bytes(size))
    return folder


def test_least_recently_used_key_goes_first_and_never_one_in_use(tmp_path: Path):
    cache = KeyCache(tmp_path / "cache", limit_bytes=1_000)
    for name in ("a", "b"):
        cache.put(name, made(tmp_path / name, 100), {"proving": "x"})
    assert cache.find("a") is not None  # now the younger one
    with cache.using("b"):
        cache.put("c", made(tmp_path / "c", 200), {})
        assert (cache.find("a"), cache.find("b") is not None) == (None, True)
    with cache.using("b"), cache.using("c"), pytest.raises(errors.CacheFull, match="900"):
        cache.put("d", made(tmp_path / "d", 300), {})


def test_half_written_key_is_no_key(tmp_path: Path):
    (tmp_path / "cache" / "a.part").mkdir(parents=True)
    (tmp_path / "cache" / "b").mkdir()
    cache = KeyCache(tmp_path / "cache", 1_000)
    assert (cache.find("a"), cache.find("b")) == (None, None)
    assert not (tmp_path / "cache" / "a.part").exists()


# ── gate ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_gate_lets_the_urgent_go_first_and_no_more_than_fit():
    gate, order = Gate(100, 2), []
    held = gate.admitted(10, 2, urgent=False)
    held.__enter__()

    def step(name: str, urgent: bool) -> None:
        with gate.admitted(10, 2, urgent=urgent):
            order.append(name)

    waiting = [Thread(target=step, args=("build", False)), Thread(target=step, args=("proof", True))]
    for thread in waiting:
        thread.start()
        time.sleep(0.1)
    assert order == []
    held.__exit__(None, None, None)
    for thread in waiting:
        thread.join(10)
    assert order == ["proof", "build"]


# ── store ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def add(store: JobStore, key: str, deadline: float, asked: str = "same") -> tuple[str, bool]:
    job, is_new = store.add(
        kind="prove",
        client="node",
        key=key,
        request_digest=asked,
        circuit="c",
        context="",
        request={},
        deadline=deadline,
        total=3,
    )
    return job.id, is_new


def test_one_key_is_one_job_and_another_request_is_refused(tmp_path: Path):
    store = JobStore(tmp_path / "jobs")
    first, is_new = add(store, "k", 1e12)
    assert (is_new, add(store, "k", 1e12)) == (True, (first, False))
    with pytest.raises(errors.JobOther, match="'k'"):
        add(store, "k", 1e12, asked="other")


def test_earliest_deadline_is_taken_first_and_once(tmp_path: Path):
    store = JobStore(tmp_path / "jobs")
    late, _ = add(store, "late", 2e12)
    soon, _ = add(store, "soon", 1e12)
    taken = [store.take("prove") for _ in range(3)]
    assert [job.id if job else None for job in taken] == [soon, late, None]
    assert store.take("build") is None


def test_waiting_jobs_expire_and_begun_ones_do_not(tmp_path: Path):
    store = JobStore(tmp_path / "jobs")
    begun, _ = add(store, "a", time.time() - 2)
    assert store.take("prove") is not None
    waiting, _ = add(store, "b", time.time() - 1)
    add(store, "c", time.time() + 100)
    assert [job.id for job in store.end_waiting("EXPIRED")] == [waiting]
    assert (store.get(waiting).state, store.get(begun).state) == ("EXPIRED", "WITNESS")


def test_old_jobs_are_forgotten_and_unknown_ones_named(tmp_path: Path):
    store = JobStore(tmp_path / "jobs")
    old, _ = add(store, "a", 1e12)
    store.update(old, state="DONE", ended=1.0)
    assert store.forget_old() == [old]
    with pytest.raises(errors.JobUnknown, match=old):
        store.get(old)


def test_store_survives_being_opened_again(tmp_path: Path):
    first = JobStore(tmp_path / "jobs")
    identity, _ = add(first, "a", 1e12)
    first.update(identity, digests={"witness": "d"}, error_values={"n": 1})
    first.set_aside("m", "drift")
    second = JobStore(tmp_path / "jobs")
    assert (second.get(identity).digests, second.get(identity).error_values) == ({"witness": "d"}, {"n": 1})
    assert second.aside() == {"m": "drift"}


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_errors_travel_by_name_and_an_unknown_name_is_a_fault():
    sent = errors.InputOutOfRange(index=1, value=2, low=3, high=4)
    back = errors.rebuild(sent.name, sent.values)
    assert (type(back), str(back)) == (type(sent), str(sent))
    assert isinstance(errors.rebuild("Nothing", {}), errors.WorkerFault)
