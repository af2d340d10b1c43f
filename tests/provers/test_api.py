"""What the prover answers and refuses over HTTP."""

from __future__ import annotations

import base64
import hashlib
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from provers.circuits import ALL_FILES
from provers.manifest import decode
from prsm_protocol.rules.oracle.circuits import circuit_id
from prsm_protocol.rules.oracle.instances import Layout, input_hash
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.types import Cid
from tests.provers.conftest import BITS, INPUTS, SALT, Built, Prover, network, rows

ROW, CONTEXT = rows(1, seed=21)[0], b"\x42" * 32
SALT_TEXT = [str(word) for word in SALT]


def refused(answer: httpx.Response, status: int, name: str) -> dict[str, object]:
    assert (answer.status_code, answer.json()["type"]) == (status, name), answer.text
    return dict(answer.json())


# ── circuits ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_report_names_the_circuit_as_the_router_will(prover: Prover, built: dict[str, Built]):
    for circuit in built.values():
        block = prover.http.get(f"/v1/circuits/{circuit.manifest}/files/manifest.cbor").content
        manifest = decode(block)
        assert manifest.cid.text == circuit.manifest
        code_hash = bytes.fromhex(circuit.report["code_hash"][2:])
        expected = circuit_id(hashlib.sha256(block).digest(), code_hash, circuit.layout, Setup.SINGLE)
        assert circuit.report["circuit_id"] == "0x" + expected.hex()


def test_report_says_what_was_tried_and_found(hashed: Built, public: Built):
    for circuit in (hashed, public):
        assert circuit.report["agreement_ppm"] >= 995_000
        assert circuit.report["setup"] == "SINGLE"
        assert circuit.report["words"] == circuit.layout.words
        assert [candidate["lost"] for candidate in circuit.report["candidates"]] == [""]
        assert 0 < circuit.report["verifier_bytes"] <= 24_576


def test_circuit_files_are_those_of_the_manifest(prover: Prover, public: Built):
    shown = prover.http.get(f"/v1/circuits/{public.manifest}").json()
    for name, field in (("model.onnx", "model"), ("settings.json", "settings"), ("Verifier.sol", "verifier_source")):
        data = prover.http.get(f"/v1/circuits/{public.manifest}/files/{name}").content
        assert "0x" + hashlib.sha256(data).hexdigest() == shown["manifest_fields"][field]
    key = prover.http.get(f"/v1/circuits/{public.manifest}/files/verifying.key").content
    assert shown["key"] == Cid.of(key).text
    assert "forge" in shown["warning"]


def test_the_same_request_for_a_circuit_names_the_same_job(prover: Prover, public: Built):
    model = network((INPUTS, 3, 1))
    again = prover.build(model, rows(40), name="small_public", input_visibility="public")
    assert prover.ended("jobs", again)["report"]["manifest"] == public.manifest


def test_another_model_under_a_taken_name_is_refused(prover: Prover, public: Built):
    body = {
        "name": "small_public",
        "model": base64.b64encode(network((INPUTS, 1), seed=5).SerializeToString()).decode(),
        "rows": rows(8),
        "bits": BITS,
        "input_visibility": "public",
        "labels_from": "sign",
    }
    assert refused(prover.http.post("/v1/circuits", json=body), 409, "CircuitExists")["manifest"] == public.manifest


def test_circuit_is_rebuilt_byte_for_byte(prover: Prover, hashed: Built):
    found = prover.http.post(f"/v1/circuits/{hashed.manifest}/checks", timeout=200).json()
    assert found == {"differences": [], "same": True}


def test_another_prover_takes_a_circuit_in_and_proves_with_it(prover: Prover, public: Built, tmp_path: Path):
    files = {name: prover.http.get(f"/v1/circuits/{public.manifest}/files/{name}").content for name in ALL_FILES}
    encoded = {name: base64.b64encode(data).decode() for name, data in files.items()}
    other = Prover(tmp_path / "other", setup_cache=prover.home / "setup")
    try:
        changed = encoded | {"Verifier.sol": base64.b64encode(files["Verifier.sol"] + b" ").decode()}
        body = {"name": "taken_in", "files": changed}
        refused(other.http.post("/v1/circuits/imports", json=body), 503, "CircuitDamaged")
        assert other.http.get("/v1/circuits").json() == {"circuits": []}
        shown = other.http.post("/v1/circuits/imports", json=body | {"files": encoded}).json()
        assert shown["manifest"] == public.manifest
        found = other.prove(public.manifest, ROW, CONTEXT)
        assert found["outputs"] == prover.prove(public.manifest, ROW, CONTEXT)["outputs"]
    finally:
        other.stop()


def test_unknown_circuits_and_files_are_not_found(prover: Prover, public: Built):
    refused(prover.http.get("/v1/circuits/nothing"), 404, "CircuitUnknown")
    refused(prover.http.get(f"/v1/circuits/{public.manifest}/files/proving.key"), 404, "FileUnknown")
    refused(prover.http.get("/v1/jobs/00"), 404, "JobUnknown")


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"model": "****"}, 422, "ModelRefused"),
        ({"model": base64.b64encode(b"no model").decode()}, 422, "ModelRefused"),
        ({"name": "Not A Name"}, 422, "CircuitNameInvalid"),
        ({"rows": [[1, 2]]}, 422, "InputShapeWrong"),
        ({"batch_rows": 2}, 422, "RequestInvalid"),
        ({"bits": 14}, 422, "RequestInvalid"),
        ({"surprise": 1}, 422, "RequestInvalid"),
    ],
)
def test_a_circuit_that_cannot_be_is_refused_at_once(prover: Prover, change: dict[str, object], status: int, name: str):
    body = {
        "name": "refused",
        "model": base64.b64encode(network((INPUTS, 1)).SerializeToString()).decode(),
        "rows": rows(8),
        "bits": BITS,
        "input_visibility": "public",
        "labels_from": "sign",
    }
    refused(prover.http.post("/v1/circuits", json=body | change), status, name)


def test_a_model_that_is_too_large_is_refused_with_numbers_before_any_work(prover: Prover):
    model = base64.b64encode(network((2_000, 2_500, 1)).SerializeToString()).decode()  # 5 M parameters
    answer = prover.http.post("/v1/estimates", json={"model": model, "input_visibility": "hashed"})
    found = refused(answer, 422, "CircuitTooLarge")
    assert int(str(found["needed_bytes"])) > 10 * 2**30
    assert "static" in str(found["basis"])


# ── proofs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_key_names_one_job(prover: Prover, public: Built):
    fields = {"key": "the same", "deadline": time.time() + 200}
    first = prover.ask(public.manifest, ROW, CONTEXT, **fields).json()["id"]
    assert prover.ask(public.manifest, ROW, CONTEXT, **fields).json()["id"] == first
    refused(prover.ask(public.manifest, ROW, b"\x43" * 32, **fields), 409, "JobOther")
    assert prover.ended("proofs", first)["state"] == "DONE"
    assert prover.ask(public.manifest, ROW, CONTEXT, **fields).json()["id"] == first


@pytest.mark.parametrize(
    ("fields", "status", "name"),
    [
        ({"inputs": {"x": ["1"] * (INPUTS - 1)}}, 422, "InputShapeWrong"),
        ({"inputs": {}}, 422, "InputShapeWrong"),
        ({"inputs": {"x": [str(1 << 30)] * INPUTS}}, 422, "InputOutOfRange"),
        ({"inputs": {"x": ["1.5"] * INPUTS}}, 422, "RequestInvalid"),
        ({"context": "0x00"}, 422, "ContextMissing"),
        ({"context": "none"}, 422, "ContextMissing"),
        ({"salt": SALT_TEXT}, 422, "SaltRefused"),
        ({"deadline": 1.0}, 409, "ProofTooSlow"),
    ],
)
def test_a_proof_that_cannot_be_is_refused_at_once(
    prover: Prover, public: Built, fields: dict[str, object], status: int, name: str
):
    body = {
        "circuit": public.manifest,
        "context": "0x" + CONTEXT.hex(),
        "inputs": {"x": [str(number) for number in ROW]},
        "deadline": time.time() + 200,
        "key": f"refused {name}",
    }
    refused(prover.http.post("/v1/proofs", json=body | fields), status, name)


def test_input_range_is_taken_to_its_ends(prover: Prover, public: Built):
    shown = prover.http.get(f"/v1/circuits/{public.manifest}").json()["manifest_fields"]
    found = prover.prove(public.manifest, [shown["low"]] * INPUTS, CONTEXT)
    assert found["proof"]
    answer = prover.ask(public.manifest, [shown["high"] + 1] + [0] * (INPUTS - 1), CONTEXT)
    assert refused(answer, 422, "InputOutOfRange")["index"] == 0


@pytest.mark.parametrize("salt", [None, ["1"] * 4, [str(1 << 31)] * 5])
def test_a_hashed_circuit_wants_its_salt(prover: Prover, hashed: Built, salt: list[str] | None):
    refused(prover.ask(hashed.manifest, ROW, CONTEXT, salt=salt), 422, "SaltRefused")


def test_private_inputs_are_gone_when_the_job_has_ended(prover: Prover, hashed: Built):
    found = prover.prove(hashed.manifest, [12_345 % 4096, 7, 7, 7, 7], CONTEXT, salt=SALT_TEXT)
    name = f"prsm-prover-*-{hashlib.sha256(str(prover.home).encode()).hexdigest()[:16]}"
    for root in (*Path("/dev/shm").glob(name), prover.home):
        assert not list(root.rglob(f"*{found['id']}/*"))
        assert not list(root.rglob("witness.json"))


def test_events_end_with_the_job(prover: Prover, public: Built):
    identity = prover.ask(public.manifest, ROW, CONTEXT).json()["id"]
    with prover.http.stream("GET", f"/v1/proofs/{identity}/events") as stream:
        names = [line.removeprefix("event: ") for line in stream.iter_lines() if line.startswith("event: ")]
    assert names[-1] == "DONE"


def test_a_waiting_proof_is_cancelled_and_named_so(prover: Prover, hashed: Built):
    ids = [prover.ask(hashed.manifest, ROW, CONTEXT, salt=SALT_TEXT).json()["id"] for _ in range(3)]
    prover.http.delete(f"/v1/proofs/{ids[-1]}")
    states = [prover.ended("proofs", identity)["state"] for identity in ids]
    assert states == ["DONE", "DONE", "CANCELLED"]


def test_verification_accepts_a_proof_for_its_words_only(prover: Prover, public: Built):
    from prsm_protocol.rules.oracle.instances import instances

    found = prover.prove(public.manifest, ROW, CONTEXT)
    inputs, outputs = ([int(text) for text in found[name]] for name in ("inputs", "outputs"))
    words = [str(word) for word in instances(public.layout, CONTEXT, inputs, outputs)]
    body = {"circuit": public.manifest, "proof": found["proof"], "words": words}
    assert prover.http.post("/v1/verifications", json=body).json() == {"valid": True, "reason": ""}
    body["words"] = [*words[:-1], str(int(words[-1]) + 1)]
    assert prover.http.post("/v1/verifications", json=body).json()["valid"] is False


def test_input_hashes_are_the_rules(prover: Prover):
    body = {"inputs": {"x": ["1", "-2"]}, "salt": SALT_TEXT}
    found = prover.http.post("/v1/input-hashes", json=body).json()
    assert found["input_hash"] == "0x" + input_hash(Layout(2, 1, True), [1, -2], SALT).hex()


# ── the service ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_token_is_wanted_and_readable_by_its_owner_only(prover: Prover):
    assert stat.S_IMODE((prover.home / "token").stat().st_mode) == 0o600
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = httpx.get(f"{prover.url}/v1/circuits", headers=headers)
        refused(answer, 401, "TokenWrong")


def test_large_bodies_are_refused(prover: Prover):
    answer = prover.http.post("/v1/proofs", content=b" " * ((1 << 20) + 1))
    assert answer.status_code in (413, 422)
    assert len(answer.content) < 10_000


def test_health_answers_during_a_proof(prover: Prover, hashed: Built):
    identity = prover.ask(hashed.manifest, ROW, CONTEXT, salt=SALT_TEXT).json()["id"]
    slowest = 0.0
    while prover.http.get(f"/v1/proofs/{identity}").json()["waiting"] is not None:
        started = time.monotonic()
        assert prover.http.get("/health").json() == {"ok": True}
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 2.0  # 100 ms on a machine of its own; tests share theirs


def test_ready_and_metrics_name_what_they_show(prover: Prover, public: Built):
    ready = prover.http.get("/ready").json()
    assert ready["ready"] is True
    assert ready["checks"]["small_public"] == "ok"
    page = prover.http.get("/metrics").text
    for name in (
        "jobs_total",
        "seconds_bucket",
        "peak_bytes",
        "kills",
        "refused",
        "self_check",
        "cache_bytes",
        "setup",
    ):
        assert f"prsm_prover_{name}" in page


def test_a_second_prover_in_one_home_ends_with_7(prover: Prover):
    done = subprocess.run(
        [sys.executable, "-m", "provers", "--home", str(prover.home)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "HomeBusy" in done.stderr) == (7, True)


def test_service_process_loads_neither_proof_system_nor_torch():
    loaded = "import sys, provers.service; print([n for n in ('ezkl', 'onnx', 'onnxruntime', 'torch', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
