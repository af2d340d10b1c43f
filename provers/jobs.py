"""Jobs: what a client asked for becomes a checked proof or a named reason, whatever is killed meanwhile.

    QUEUED → WITNESS → PROVE → CHECK → DONE        each arrow: files synced, then one commit
                └→ UNPROVABLE      any fault: again, at most three times, else FAILED;  any → CANCELLED, EXPIRED

J1 every job ends by its deadline plus one kill. J2 one (client, key) is one job. J3 DONE implies the checks of `check`.
J4 no effect outside this machine. Inputs and witness are private: they lie in memory where there is a memory-backed
folder, readable by this user only, and go when the job ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import cast

from provers.build import STEPS, Build, Specification
from provers.circuits import Circuit, Circuits, sync
from provers.errors import (
    CircuitSetAside,
    FileDamaged,
    InputLost,
    OutputDrift,
    ProofTooSlow,
    QueueFull,
    Unprovable,
    WorkerError,
    WorkerFault,
    WorkerKilled,
)
from provers.estimate import MEASURED_PROOFS, MIN_SECONDS, ProofEstimate, check, from_settings, measured
from provers.keys import Keys, cache_key
from provers.launch import end_recorded
from provers.setup_files import SetupFile
from provers.store import ENDED, Job, JobStore, new_id
from provers.tasks import EZKL_VERSION, digest
from provers.telemetry import Telemetry
from provers.workshop import Workshop
from prsm_protocol.errors import PrsmError
from prsm_protocol.rules.oracle.proof_cost import ProofCost
from prsm_protocol.rules.oracle.tiers import Setup

MAX_FAILURES = 3
OPEN_JOBS = 64
_IDLE_SECONDS = 0.5
_SWEEP_SECONDS = 3600.0
_CHECK_SECONDS = 1.0
"""Witness, check and three starts of a process, beside the proof itself."""
BUILD_SECONDS = 1800.0


class Jobs:
    """The queue and its threads."""

    def __init__(
        self, home: Path, store: JobStore, workshop: Workshop, circuits: Circuits, telemetry: Telemetry
    ) -> None:
        self._store, self._workshop, self._circuits, self._telemetry = store, workshop, circuits, telemetry
        self._private = private_folder(home)
        self._builds, self._proofs = home / "builds", home / "proofs"
        for folder in (self._builds, self._proofs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cancelled: dict[str, Event] = {}
        self._lock = Lock()
        self._wake = {"prove": Event(), "build": Event()}
        self._stopping = Event()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """End what an earlier service left running, put its open jobs back, and begin."""
        for job in self._store.open_jobs():
            if job.worker is not None and job.worker_started is not None:
                end_recorded(job.worker, job.worker_started)
            if job.state != "QUEUED":
                self._store.update(job.id, state="QUEUED", attempt=job.attempt + 1, worker=None, worker_started=None)
        open_ids = {job.id for job in self._store.open_jobs()}
        for folder in (self._private, self._builds):
            for left in folder.iterdir():
                if left.name not in open_ids:
                    shutil.rmtree(left, ignore_errors=True)
        self._forget_old()
        for kind, count in (("prove", self._workshop.machine.threads), ("build", 1)):
            for number in range(count):
                Thread(target=self._loop, args=(kind,), name=f"jobs-{kind}-{number}", daemon=True).start()
        Thread(target=self._clock, name="jobs-clock", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing new. What runs dies with this process and goes on after the next start."""
        self._stopping.set()
        for event in self._wake.values():
            event.set()
        if not any(self._private.iterdir()):
            self._private.rmdir()

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def add_proof(
        self,
        client: str,
        key: str,
        circuit: Circuit,
        context: bytes,
        row: Sequence[int],
        salt: Sequence[int],
        deadline: float,
    ) -> tuple[Job, float, int]:
        """Queue a proof: the job, its predicted seconds and how many go before it. Refused at once if it will be late."""
        manifest = circuit.manifest.cid.text
        aside = self._store.aside()
        if manifest in aside:
            raise CircuitSetAside(circuit=circuit.name, reason=aside[manifest])
        private = json.dumps({"row": [str(number) for number in row], "salt": [str(word) for word in salt]}).encode()
        asked = hashlib.sha256(manifest.encode() + context + private).hexdigest()
        known = self._store.by_key(client, key)
        estimate = self.estimate(circuit)
        ahead = [job for job in self._store.open_jobs() if job.kind == "prove" and job.deadline <= deadline]
        predicted = (len(ahead) + 1) * (estimate.seconds[1] + _CHECK_SECONDS)
        if known is None:
            if len(ahead) >= OPEN_JOBS:
                raise QueueFull(open=len(ahead), limit=OPEN_JOBS)
            if (left := deadline - time.time()) < predicted:
                raise ProofTooSlow(predicted_seconds=round(predicted, 1), left_seconds=round(left, 1))
            check(estimate, self._workshop.machine)
        identity = new_id()
        if known is None:
            _write(self._private / identity / "asked.json", private)
        job, is_new = self._store.add(
            kind="prove",
            client=client,
            key=key,
            request_digest=asked,
            circuit=manifest,
            context=context.hex(),
            request={},
            deadline=deadline,
            total=3,
            identity=identity,
        )
        if not is_new:
            shutil.rmtree(self._private / identity, ignore_errors=True)
        self._wake["prove"].set()
        return job, round(predicted, 2), len(ahead)

    def add_build(
        self, client: str, key: str | None, spec: dict[str, object], model: bytes, rows: Sequence[Sequence[int]]
    ) -> Job:
        """Queue a build. The same request names the same job, until it has failed."""
        given = json.dumps(rows, separators=(",", ":")).encode()
        asked = hashlib.sha256(json.dumps(spec, sort_keys=True).encode() + model + given).hexdigest()
        key = key or f"build/{asked}"
        known = self._store.by_key(client, key)
        if known is not None and known.state in ENDED and known.state != "DONE":
            self._store.release_key(known)
        identity = new_id()
        folder = self._builds / identity
        _write(folder / "source.onnx", model)
        _write(folder / "given.json", given)
        job, is_new = self._store.add(
            kind="build",
            client=client,
            key=key,
            request_digest=asked,
            circuit=str(spec["name"]),
            context="",
            request=spec,
            deadline=time.time() + BUILD_SECONDS,
            total=len(STEPS),
            identity=identity,
        )
        if not is_new:
            shutil.rmtree(folder)
        self._wake["build"].set()
        return job

    def cancel(self, identity: str) -> Job:
        job = self._store.get(identity)
        if not job.is_ended:
            self._event(identity).set()
            for waiting in self._store.end_waiting("CANCELLED", identity=identity):
                self._clean(waiting, "CANCELLED")
        return self._store.get(identity)

    def result(self, job: Job) -> dict[str, object]:
        """The proof of a DONE job, if its file still has the digest that was committed with it."""
        data = (self._proofs / f"{job.id}.json").read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != job.result_digest:
            raise FileDamaged(file=f"{job.id}.json", found=found, expected=job.result_digest)
        document: dict[str, object] = json.loads(data)
        return document

    def estimate(self, circuit: Circuit) -> ProofEstimate:
        """What a proof of this circuit takes here: measured once five were made, before that as its build found."""
        manifest, said = circuit.manifest, circuit.measured
        cost = ProofCost(said.rows, said.k, manifest.layout.words, said.key_bytes, said.verify_gas)
        done = self._store.proofs_of(manifest.cid.text)
        if len(done) >= MEASURED_PROOFS:
            return measured(cost, [seconds for seconds, _ in done], max(peak for _, peak in done))
        first = from_settings(cost, said.rows, said.k)
        seconds = said.prove_us / 1e6
        return ProofEstimate(cost, (seconds / 2, seconds * 2), first.peak_bytes, "settings")

    # ── a proof ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _run_proof(self, job: Job) -> None:
        folder = self._private / job.id
        asked = folder / "asked.json"
        if not asked.is_file():
            raise InputLost(id=job.id)
        circuit = self._circuits.get(job.circuit)
        estimate, setup = self.estimate(circuit), self._workshop.setup_of(circuit)
        key = cache_key(circuit.manifest.model.hex(), circuit.manifest.settings.hex(), setup.digest, EZKL_VERSION)
        with self._workshop.cache.using(key):
            keys = self._workshop.keys(circuit, setup, estimate, folder / "keys")
            values = self._values(job, circuit, setup, keys, json.loads(asked.read_bytes()))
            if not _is_whole(job, "proof", folder):
                if not _is_whole(job, "witness", folder):
                    self._witness(job, values, folder, estimate)
                try:
                    self._prove(job, values, folder, estimate)
                except FileDamaged:
                    self._workshop.cache.drop(key)
                    raise
            self._check(job, values, folder, estimate)

    def _witness(self, job: Job, values: dict[str, object], folder: Path, estimate: ProofEstimate) -> None:
        self._store.update(job.id, state="WITNESS", step="WITNESS", done=0)
        found = self._step(job, "witness", values, folder, estimate, MIN_SECONDS)
        sync(folder / "witness.json")
        self._store.update(job.id, state="PROVE", step="PROVE", done=1, digests={"witness": found["digest"]})

    def _prove(self, job: Job, values: dict[str, object], folder: Path, estimate: ProofEstimate) -> None:
        self._store.update(job.id, state="PROVE", step="PROVE")
        limit = max(MIN_SECONDS, 4 * estimate.seconds[1])
        # Alone, a proof takes every core. With others waiting, one core each does more: starting, checking and the parts of a
        # proof that run on one core then overlap.
        others = sum(self._store.count(state) for state in ("QUEUED", "WITNESS", "PROVE", "CHECK")) - 1
        threads = max(1, self._workshop.machine.threads // (1 + max(0, others)))
        found = self._step(job, "prove", values, folder, estimate, limit, threads=threads)
        sync(folder / "proof.json")
        self._store.update(
            job.id,
            state="CHECK",
            step="CHECK",
            done=2,
            seconds=cast(int, found["prove_us"]) / 1e6,
            peak_bytes=found["peak_bytes"],
            digests={"witness": digest(folder / "witness.json"), "proof": found["digest"]},
        )

    def _check(self, job: Job, values: dict[str, object], folder: Path, estimate: ProofEstimate) -> None:
        self._store.update(job.id, state="CHECK", step="CHECK", done=2)
        found = self._step(job, "check", values, folder, estimate, MIN_SECONDS)
        found.pop("peak_bytes")
        data = json.dumps(found).encode()
        _write(self._proofs / f"{job.id}.json", data)
        self._end(job, "DONE", result_digest=hashlib.sha256(data).hexdigest(), done=3)

    def _step(
        self,
        job: Job,
        task: str,
        values: dict[str, object],
        folder: Path,
        estimate: ProofEstimate,
        seconds: float,
        threads: int = 1,
    ) -> dict[str, object]:
        started = time.monotonic()
        outcome = self._workshop.run(
            task,
            values,
            folder,
            estimate=estimate,
            seconds=seconds,
            threads=threads,
            urgent=True,
            cancelled=self._event(job.id),
            deadline=job.deadline,
            on_start=lambda pid, since: self._store.update(job.id, worker=pid, worker_started=since),
        )
        self._telemetry.step(task, job.circuit, time.monotonic() - started, outcome.peak_bytes)
        return outcome.values | {"peak_bytes": outcome.peak_bytes}

    def _values(
        self, job: Job, circuit: Circuit, setup: SetupFile, keys: Keys, asked: dict[str, object]
    ) -> dict[str, object]:
        manifest = circuit.manifest
        return {
            "row": asked["row"],
            "salt": asked["salt"],
            "context": job.context,
            "compiled": keys.path("compiled"),
            "compiled_digest": keys.digests["compiled"],
            "key": keys.path("proving"),
            "key_digest": keys.digests["proving"],
            "srs": str(setup.path),
            "srs_digest": setup.digest,
            "verifying_key": str(circuit.file("verifying.key")),
            "settings": str(circuit.file("settings.json")),
            "model": str(circuit.file("model.onnx")),
            "proof": str(self._private / job.id / "proof.json"),
            "inputs": manifest.inputs,
            "outputs": manifest.outputs,
            "hashed": manifest.hashed_input,
            "bits": manifest.bits,
            "output_bits": manifest.output_bits,
            "allowed_ppm": manifest.allowed_error_ppm,
        }

    # ── a build ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _run_build(self, job: Job) -> None:
        spec = Specification(**{**job.request, "setup": Setup(cast(int, job.request["setup"]))})  # type: ignore[arg-type]

        def report(step: str, done: int, total: int) -> None:
            if self._event(job.id).is_set():
                raise WorkerKilled(task=step, seconds=0, cause="CANCELLED")
            self._store.update(job.id, step=step, done=done, total=total)

        circuit = Build(spec, self._builds / job.id, self._workshop, self._circuits, report).run()
        self._telemetry.circuit(circuit.manifest.setup)
        self._end(
            job, "DONE", circuit=circuit.manifest.cid.text, done=job.total, peak_bytes=circuit.measured.peak_bytes
        )

    # ── running and ending ───────────────────────────────────────────────────────────────────────────────────────────

    def _clock(self) -> None:
        """J1 also for those that wait: their deadline ends them while another job runs."""
        swept = time.monotonic()
        while not self._stopping.wait(_IDLE_SECONDS):
            for late in self._store.end_waiting("EXPIRED"):
                self._clean(late, "EXPIRED")
            if time.monotonic() - swept > _SWEEP_SECONDS:
                self._forget_old()
                swept = time.monotonic()

    def _loop(self, kind: str) -> None:
        while not self._stopping.is_set():
            job = self._store.take(kind)
            if job is None:
                self._wake[kind].wait(_IDLE_SECONDS)
                self._wake[kind].clear()
                continue
            self._attempt(job)

    def _attempt(self, job: Job) -> None:
        """One try at a job; every outcome is a state with a name."""
        if self._event(job.id).is_set():
            self._end(job, "CANCELLED")
            return
        if time.time() >= job.deadline:
            self._end(job, "EXPIRED")
            return
        try:
            (self._run_proof if job.kind == "prove" else self._run_build)(job)
        except WorkerKilled as error:
            self._telemetry.killed(str(error.values["cause"]))
            ends = {"CANCELLED": "CANCELLED", "DEADLINE": "EXPIRED"}
            if (state := ends.get(str(error.values["cause"]))) is not None:
                self._end(job, state)
            else:
                self._again(job, error)
        except Unprovable as error:
            self._end(job, "UNPROVABLE", error)
        except OutputDrift as error:
            self._store.set_aside(job.circuit, str(error))
            self._telemetry.self_check_failed()
            self._end(job, "FAILED", error)
        except WorkerError as error:
            self._again(job, error)
        except PrsmError as error:
            self._telemetry.refused(error.name)
            self._end(job, "FAILED", error)
        except Exception as error:  # a defect of ours ends this job by name and leaves the service running
            self._end(job, "FAILED", _defect(job, error))

    def _again(self, job: Job, error: PrsmError) -> None:
        """A fault that may be the machine's: tried again from the files that are whole, three times in all."""
        failures = job.failures + 1
        if failures >= MAX_FAILURES:
            self._end(job, "FAILED", error)
            return
        self._store.update(
            job.id, state="QUEUED", failures=failures, attempt=job.attempt + 1, worker=None, worker_started=None
        )

    def _end(self, job: Job, state: str, error: PrsmError | None = None, **values: object) -> None:
        """The end of a job, then of its private files."""
        found: dict[str, object] = {"state": state, "ended": time.time(), "worker": None, "worker_started": None}
        if error is not None:
            found |= {"error_kind": error.name, "error_values": {**error.values, "detail": str(error)}}
        self._store.update(job.id, **found, **values)
        self._clean(job, state)

    def _clean(self, job: Job, state: str) -> None:
        self._telemetry.ended(job.kind, state)
        shutil.rmtree((self._private if job.kind == "prove" else self._builds) / job.id, ignore_errors=True)
        with self._lock:
            self._cancelled.pop(job.id, None)

    def _event(self, identity: str) -> Event:
        with self._lock:
            return self._cancelled.setdefault(identity, Event())

    def _forget_old(self) -> None:
        for identity in self._store.forget_old():
            (self._proofs / f"{identity}.json").unlink(missing_ok=True)


def private_folder(home: Path) -> Path:
    """Where inputs and witnesses lie: in memory where the machine has such a folder, else in the home."""
    name = f"prsm-prover-{os.getuid()}-{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}"
    memory = Path("/dev/shm")
    folder = memory / name if memory.is_dir() and os.access(memory, os.W_OK) else home / "private"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; remove it")
    folder.chmod(0o700)
    return folder


def _defect(job: Job, error: Exception) -> PrsmError:
    return WorkerFault(task=job.kind, exit=0, reason=f"{type(error).__name__}: {str(error)[:300]}")


def _is_whole(job: Job, name: str, folder: Path) -> bool:
    """Whether a finished step's file is there with the digest that was committed."""
    path = folder / f"{name}.json"
    return name in job.digests and path.is_file() and digest(path) == job.digests[name]


def _write(path: Path, data: bytes) -> None:
    """Written aside, synced, renamed, readable by this user only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(path.name + ".part")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(aside, path)
    sync(path.parent)
