"""The prover over HTTP. Bodies are checked here and nowhere else; errors are RFC 9457 documents with the error's values."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from provers import errors
from provers.build import estimate_model
from provers.circuits import Circuit, Circuits, check_name
from provers.estimate import ProofEstimate
from provers.estimate import check as check_estimate
from provers.jobs import Jobs
from provers.model_limits import MODEL_LIMIT
from provers.rebuild import rebuild
from provers.store import ENDED, Job, JobStore
from provers.telemetry import Telemetry
from provers.workshop import Workshop
from prsm_protocol.errors import PrsmError
from prsm_protocol.rules.oracle.instances import SALT_BITS, SALT_WORDS, Layout, input_hash, to_word
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.types import Cid, CircuitReport

BODY_LIMIT = 1 << 20
UPLOAD_LIMIT = MODEL_LIMIT * 4 // 3 + (32 << 20)
"""A model in base64 and its rows."""
_DISK_FLOOR = 1 << 30
_EVENT_SECONDS = 0.2
_CLIENT = "node"
_UPLOADS = ("/v1/circuits", "/v1/circuits/imports", "/v1/estimates")

_STATUS: dict[type[PrsmError], int] = {
    errors.CircuitUnknown: 404,
    errors.JobUnknown: 404,
    errors.FileUnknown: 404,
    errors.TokenWrong: 401,
    errors.RequestTooLarge: 413,
    errors.QueueFull: 429,
    errors.ProofTooSlow: 409,
    errors.JobOther: 409,
    errors.CircuitExists: 409,
    errors.CircuitSetAside: 409,
    errors.FileDamaged: 503,
    errors.CircuitDamaged: 503,
    errors.SetupMissing: 503,
    errors.ChainBinaryMissing: 503,
    errors.CompilerMissing: 503,
    errors.WorkerFault: 503,
    errors.WorkerKilled: 503,
    errors.WorkerMemory: 503,
}

Word = Annotated[int, Field(strict=True, ge=-(1 << 127), le=1 << 127)]
Decimal = Annotated[str, Field(pattern=r"^-?[0-9]{1,40}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CircuitBody(Body):
    name: str
    model: str
    rows: Annotated[list[list[Word]], Field(min_length=1, max_length=100_000)]
    bits: Annotated[int, Field(ge=7, le=13)]
    input_visibility: Literal["hashed", "public"]
    batch_rows: Literal[1] = 1
    candidates: Literal[1] = 1
    labels_from: Literal["sign", "argmax", "value"]
    setup: Literal["SINGLE", "CEREMONY"] = "SINGLE"
    max_error_ppm: Annotated[int, Field(gt=0)] | None = None
    max_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0


class ImportBody(Body):
    name: str
    files: dict[str, str]


class EstimateBody(Body):
    model: str | None = None
    input_visibility: Literal["hashed", "public"] = "hashed"
    circuit: str | None = None


class ProofBody(Body):
    circuit: str
    context: str
    inputs: dict[Literal["x"], list[Decimal]]
    salt: list[Decimal] | None = None
    deadline: float
    key: Annotated[str, Field(min_length=1, max_length=200)]


class HashBody(Body):
    inputs: dict[Literal["x"], Annotated[list[Decimal], Field(max_length=100_000)]]
    salt: list[Decimal] | None = None
    outputs: int = 1


class VerifyBody(Body):
    circuit: str
    proof: Annotated[str, Field(pattern=r"^(0x)?([0-9a-fA-F]{2})*$")]
    words: list[Annotated[str, Field(pattern=r"^[0-9]{1,78}$")]]


class Api:
    """The routes of one home."""

    def __init__(
        self,
        home: Path,
        token_digest: bytes,
        jobs: Jobs,
        store: JobStore,
        circuits: Circuits,
        workshop: Workshop,
        telemetry: Telemetry,
    ) -> None:
        self._home, self._token_digest = home, token_digest
        self._jobs, self._store, self._circuits = jobs, store, circuits
        self._workshop, self._telemetry = workshop, telemetry

    def mount(self, app: FastAPI) -> None:
        guarded = APIRouter(prefix="/v1", dependencies=[Depends(self._authorised), Depends(self._small_enough)])
        guarded.add_api_route("/circuits", self.add_circuit, methods=["POST"], status_code=202)
        guarded.add_api_route("/circuits", self.list_circuits, methods=["GET"])
        guarded.add_api_route("/circuits/imports", self.take_in, methods=["POST"])
        guarded.add_api_route("/circuits/{circuit}/checks", self.check_circuit, methods=["POST"])
        guarded.add_api_route("/circuits/{circuit}", self.show_circuit, methods=["GET"])
        guarded.add_api_route("/circuits/{circuit}/files/{name}", self.circuit_file, methods=["GET"])
        guarded.add_api_route("/jobs/{identity}", self.show_job, methods=["GET"])
        guarded.add_api_route("/jobs/{identity}", self.cancel, methods=["DELETE"])
        guarded.add_api_route("/proofs", self.add_proof, methods=["POST"], status_code=202)
        guarded.add_api_route("/proofs/{identity}", self.show_proof, methods=["GET"])
        guarded.add_api_route("/proofs/{identity}", self.cancel, methods=["DELETE"])
        guarded.add_api_route("/proofs/{identity}/events", self.events, methods=["GET"])
        guarded.add_api_route("/estimates", self.estimate, methods=["POST"])
        guarded.add_api_route("/verifications", self.verify, methods=["POST"])
        guarded.add_api_route("/input-hashes", self.hash_input, methods=["POST"])
        app.include_router(guarded)
        app.add_api_route("/health", self.health, methods=["GET"])
        app.add_api_route("/ready", self.ready, methods=["GET"])
        app.add_api_route("/metrics", self.metrics, methods=["GET"])
        app.add_exception_handler(PrsmError, self._problem)
        app.add_exception_handler(RequestValidationError, self._invalid)

    # ── circuits ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def add_circuit(
        self, body: CircuitBody, idempotency_key: Annotated[str | None, Header()] = None
    ) -> dict[str, object]:
        check_name(body.name)
        model = _model_bytes(body.model)
        existing = self._circuits.named(body.name)
        if existing is not None and existing.manifest.source != hashlib.sha256(model).digest():
            raise errors.CircuitExists(name=body.name, manifest=existing.manifest.cid.text)
        found, estimate = self._inspect(model, body.input_visibility == "hashed")
        check_estimate(estimate, self._workshop.machine)
        for at, row in enumerate(body.rows):
            if len(row) != found["inputs"]:
                raise errors.InputShapeWrong(name=f"row {at}", expected=found["inputs"], got=len(row))
        spec: dict[str, object] = {
            "name": body.name,
            "bits": body.bits,
            "hashed": body.input_visibility == "hashed",
            "labels_from": body.labels_from,
            "setup": int(Setup[body.setup]),
            "max_error_ppm": body.max_error_ppm,
            "max_seconds": body.max_seconds,
            "batch_rows": body.batch_rows,
        }
        job = self._jobs.add_build(_CLIENT, idempotency_key, spec, model, body.rows)
        return {"id": job.id, "state": job.state, "estimate": _estimate(estimate)}

    def take_in(self, body: ImportBody) -> dict[str, object]:
        """A circuit from another prover's files. It needs the very set-up file that the circuit was built with."""
        files = {name: _decoded(text) for name, text in body.files.items()}
        circuit = self._circuits.take_in(body.name, files)
        self._telemetry.circuit(circuit.manifest.setup)
        return self._shown(circuit)

    def check_circuit(self, circuit: str) -> dict[str, object]:
        """Build key and verifier once more and say what differs: what a stranger does in a circuit's notice."""
        found = self._circuits.get(circuit)
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            differences = rebuild(found, self._workshop, self._jobs.estimate(found), Path(folder))
        return {"differences": list(differences), "same": not differences}

    def list_circuits(self) -> dict[str, object]:
        return {"circuits": [self._shown(circuit) for circuit in self._circuits.all()]}

    def show_circuit(self, circuit: str) -> dict[str, object]:
        return self._shown(self._circuits.get(circuit))

    def circuit_file(self, circuit: str, name: str) -> FileResponse:
        return FileResponse(self._circuits.get(circuit).file(name), media_type="application/octet-stream")

    def estimate(self, body: EstimateBody) -> dict[str, object]:
        if body.circuit is not None:
            return _estimate(self._jobs.estimate(self._circuits.get(body.circuit)))
        _, estimate = self._inspect(_model_bytes(body.model or ""), body.input_visibility == "hashed")
        check_estimate(estimate, self._workshop.machine)
        return _estimate(estimate)

    # ── proofs and jobs ──────────────────────────────────────────────────────────────────────────────────────────────

    def add_proof(self, body: ProofBody) -> dict[str, object]:
        circuit = self._circuits.get(body.circuit)
        manifest = circuit.manifest
        context = _context(body.context)
        row = [int(text) for text in body.inputs.get("x", [])]
        if len(row) != manifest.inputs:
            raise errors.InputShapeWrong(name="x", expected=manifest.inputs, got=len(row))
        for at, number in enumerate(row):
            if not manifest.low <= number <= manifest.high:
                raise errors.InputOutOfRange(index=at, value=number, low=manifest.low, high=manifest.high)
        salt = _salt(body.salt, hashed=manifest.hashed_input)
        job, predicted, ahead = self._jobs.add_proof(_CLIENT, body.key, circuit, context, row, salt, body.deadline)
        return {"id": job.id, "state": job.state, "predicted_seconds": predicted, "position": ahead}

    def show_proof(self, identity: str) -> dict[str, object]:
        job = self._store.get(identity)
        shown: dict[str, object] = {
            **_job(job),
            "circuit": job.circuit,
            "seconds": job.seconds,
            "peak_bytes": job.peak_bytes,
            "proof": None,
            "inputs": None,
            "outputs": None,
            "input_hash": None,
            "output_hash": None,
        }
        if job.state == "DONE":
            result = self._jobs.result(job)
            shown |= {
                "proof": f"0x{result['proof']}",
                "inputs": result["inputs"],
                "outputs": result["outputs"],
                "input_hash": f"0x{result['input_hash']}",
                "output_hash": f"0x{result['output_hash']}",
            }
        return shown

    def show_job(self, identity: str) -> dict[str, object]:
        job = self._store.get(identity)
        report = None
        if job.state == "DONE" and job.kind == "build":
            report = report_document(self._circuits.get(job.circuit).report())
        return {**_job(job), "report": report}

    def cancel(self, identity: str) -> dict[str, object]:
        return _job(self._jobs.cancel(identity))

    def events(self, identity: str) -> StreamingResponse:
        self._store.get(identity)

        async def stream() -> AsyncIterator[str]:
            last = None
            while True:
                job = await anyio.to_thread.run_sync(self._store.get, identity)
                if (now := _job(job)) != last:
                    yield f"event: {job.state}\ndata: {json.dumps(now)}\n\n"
                    last = now
                if job.state in ENDED:
                    return
                await anyio.sleep(_EVENT_SECONDS)

        return StreamingResponse(stream(), media_type="text/event-stream")

    def verify(self, body: VerifyBody) -> dict[str, object]:
        circuit = self._circuits.get(body.circuit)
        values: dict[str, object] = {
            "proof": body.proof.removeprefix("0x"),
            "words": body.words,
            "settings": str(circuit.file("settings.json")),
            "verifying_key": str(circuit.file("verifying.key")),
            "srs": str(self._workshop.setup_of(circuit).path),
        }
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            found = self._workshop.run(
                "verify", values, Path(folder), estimate=self._jobs.estimate(circuit), urgent=True
            )
        return found.values

    def hash_input(self, body: HashBody) -> dict[str, object]:
        row = [int(text) for text in body.inputs.get("x", [])]
        salt = _salt(body.salt, hashed=body.salt is not None)
        hashed = input_hash(Layout(len(row), body.outputs, body.salt is not None), row, salt)
        words = [str(to_word(number, at)) for at, number in enumerate(row)]
        return {"input_hash": "0x" + hashed.hex(), "words": words}

    # ── how it is ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def health(self) -> dict[str, object]:
        return {"ok": True}

    def ready(self, response: Response) -> dict[str, object]:
        """Each thing that must hold, by name."""
        free = shutil.disk_usage(self._home).free
        found: dict[str, str] = {"disk": "ok" if free > _DISK_FLOOR else f"{free} bytes free, {_DISK_FLOOR} wanted"}
        try:
            found["store"] = "ok" if self._store.count("QUEUED") >= 0 else "unreadable"
        except Exception as error:  # whatever sqlite says, a person has to see it
            found["store"] = str(error)
        aside = self._store.aside()
        for circuit in self._circuits.all():
            try:
                self._workshop.setup_of(circuit)
                found[circuit.name] = aside.get(circuit.manifest.cid.text, "ok")
            except PrsmError as error:
                found[circuit.name] = str(error)
        if any(text != "ok" for text in found.values()):
            response.status_code = 503
        machine = self._workshop.machine
        return {"ready": response.status_code != 503, "checks": found, "proving": f"cpu ({machine.threads} threads)"}

    def metrics(self) -> Response:
        page = self._telemetry.page(self._workshop.cache.held_bytes())
        return Response(page, media_type="text/plain; version=0.0.4")

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _authorised(self, authorization: Annotated[str | None, Header()] = None) -> None:
        given = (authorization or "").removeprefix("Bearer ")
        if not hmac.compare_digest(hashlib.sha256(given.encode()).digest(), self._token_digest):
            raise errors.TokenWrong()

    def _small_enough(self, request: Request) -> None:
        limit = UPLOAD_LIMIT if request.url.path in _UPLOADS else BODY_LIMIT
        size = int(request.headers.get("content-length", 0))
        if size > limit:
            raise errors.RequestTooLarge(bytes=size, limit=limit)

    def _inspect(self, model: bytes, hashed: bool) -> tuple[dict[str, object], ProofEstimate]:
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            path = Path(folder) / "source.onnx"
            path.write_bytes(model)
            found = self._workshop.run("inspect", {"model": str(path)}, Path(folder), urgent=True).values
        return found, estimate_model(found, hashed)

    def _shown(self, circuit: Circuit) -> dict[str, object]:
        manifest = circuit.manifest
        described = {name: _plain(value) for name, value in asdict(manifest).items()}
        return {
            **report_document(circuit.report()),
            "manifest_fields": described | {"setup": manifest.setup.name},
            "key": manifest.key.text,
            "warning": "whoever made this set-up can forge any proof" if manifest.setup is Setup.SINGLE else "",
            "aside": self._store.aside().get(manifest.cid.text),
        }

    async def _problem(self, request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, PrsmError)
        self._telemetry.refused(error.name)
        status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 422)
        values = {name: _plain(value) for name, value in error.values.items()}
        headers = {"Retry-After": "5"} if status == 429 else {}
        document = {"type": error.name, "title": error.name, "status": status, "detail": str(error), **values}
        return JSONResponse(document, status_code=status, headers=headers, media_type="application/problem+json")

    async def _invalid(self, request: Request, error: Exception) -> JSONResponse:
        """Field and rule; never the value, which may be an input."""
        assert isinstance(error, RequestValidationError)
        found = [{"field": ".".join(map(str, item["loc"])), "rule": item["msg"]} for item in error.errors()[:10]]
        document = {
            "type": "RequestInvalid",
            "title": "RequestInvalid",
            "status": 422,
            "detail": "; ".join(f"{item['field']}: {item['rule']}" for item in found),
            "fields": found,
        }
        return JSONResponse(document, status_code=422, media_type="application/problem+json")


def report_document(report: CircuitReport) -> dict[str, object]:
    """A report as JSON: bytes in hexadecimal, CIDs as text."""
    return {field.name: _plain(getattr(report, field.name)) for field in fields(report)}


def _plain(value: object) -> object:
    if isinstance(value, Cid):
        return value.text
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)


def _job(job: Job) -> dict[str, object]:
    error = None
    if job.error_kind is not None:
        error = {"type": job.error_kind, **(job.error_values or {})}
    waiting = None
    if not job.is_ended:
        waiting = {
            "for_what": "its turn" if job.state == "QUEUED" else job.step,
            "deadline": job.deadline,
            "then": "EXPIRED",
        }
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "step": job.step,
        "done": job.done,
        "total": job.total,
        "attempt": job.attempt,
        "waiting": waiting,
        "error": error,
    }


def _estimate(estimate: ProofEstimate) -> dict[str, object]:
    return {**asdict(estimate), "cost": asdict(estimate.cost)}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise errors.ModelRefused(reason="it is no base64", node="") from None


def _model_bytes(text: str) -> bytes:
    data = _decoded(text)
    if len(data) > MODEL_LIMIT:
        raise errors.ModelRefused(reason=f"{len(data)} bytes, {MODEL_LIMIT} are read", node="")
    return data


def _context(text: str) -> bytes:
    try:
        context = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise errors.ContextMissing(context=text[:80]) from None
    if len(context) != 32:
        raise errors.ContextMissing(context=text[:80])
    return context


def _salt(given: list[str] | None, *, hashed: bool) -> list[int]:
    if not hashed:
        if given:
            raise errors.SaltRefused(reason="this circuit's input is public")
        return []
    words = [int(text) for text in given or []]
    if len(words) != SALT_WORDS or any(not 0 <= word < 1 << SALT_BITS for word in words):
        raise errors.SaltRefused(reason=f"{len(words)} salt words are given or one is too large")
    return words
