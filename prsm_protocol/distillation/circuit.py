"""Ask a prover over HTTP whether a model can be proved, and at what cost; wait visibly while it builds."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from prsm_protocol.errors import DistillationError
from prsm_protocol.types import Candidate, Cid, CircuitReport, Progress

BUILD_SECONDS = 300
ANSWER_SECONDS = 60
_ENDED = ("DONE", "FAILED", "UNPROVABLE", "CANCELLED", "EXPIRED")


class ProverUnreachable(DistillationError):
    exit_code = 6
    text = "the prover at {url} does not answer ({reason}); `prsm doctor` says what is missing"


class CircuitRefused(DistillationError):
    text = "the prover refused the circuit: {error_name}: {detail}"


class CircuitLate(DistillationError):
    text = "the circuit was not built within {seconds} s (last step: {step}); try again, finished parts are kept"


class ProofFailed(DistillationError):
    text = "the proof ended as {state}: {error_name} {error}"


@dataclass(frozen=True)
class BuiltCircuit:
    """A report with the compiled verifier that goes on chain."""

    report: CircuitReport
    verifier: bytes  # creation bytecode


class Prover:
    """Client of one proving service."""

    def __init__(self, url: str, token_file: Path) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=ANSWER_SECONDS, trust_env=False)
        try:
            token = token_file.read_text().strip()
        except OSError as error:
            raise ProverUnreachable(url=url, reason=f"no token in {token_file}: {error.strerror}") from None
        self._http.headers["Authorization"] = f"Bearer {token}"

    def build(
        self,
        name: str,
        model: bytes,
        rows: Sequence[Sequence[int]],
        *,
        bits: int,
        input_visibility: str,
        labels_from: str,
        report: Callable[[Progress], None],
    ) -> BuiltCircuit:
        """Build a circuit with the one standard candidate; every check of the build is kept."""
        job = self._post(
            "/v1/circuits",
            {
                "name": name,
                "model": base64.b64encode(model).decode(),
                "rows": [list(row) for row in rows],
                "bits": bits,
                "input_visibility": input_visibility,
                "batch_rows": 1,
                "candidates": 1,
                "labels_from": labels_from,
            },
        )
        state = self._wait(str(job["id"]), report)
        found = report_from_json(state["report"])
        return BuiltCircuit(found, self.verifier(found.manifest))

    def verifier(self, manifest: Cid) -> bytes:
        """Creation bytecode of the circuit's own verifier."""
        document = self._get(f"/v1/circuits/{manifest}/files/verifier.json")
        return bytes.fromhex(str(document["bytecode"]).removeprefix("0x"))

    def file(self, manifest: Cid, name: str) -> bytes:
        return self._request("GET", f"/v1/circuits/{manifest}/files/{name}").content

    def estimate(self, model: bytes, *, input_visibility: str) -> dict[str, Any]:
        """What a proof of this model would cost here, from its graph alone."""
        body = {"model": base64.b64encode(model).decode(), "input_visibility": input_visibility}
        return self._post("/v1/estimates", body)

    def circuits(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("/v1/circuits")["circuits"]
        return found

    def circuit(self, name: str) -> dict[str, Any]:
        """A circuit by name, manifest or id."""
        return self._get(f"/v1/circuits/{quote(name, safe='')}")

    def check(self, name: str) -> dict[str, Any]:
        """Build key and verifier again and compare."""
        return self._post(f"/v1/circuits/{quote(name, safe='')}/checks", {}, timeout=BUILD_SECONDS)

    def prove(
        self,
        manifest: str,
        context: bytes,
        words: Sequence[int],
        salt: Sequence[int] | None,
        *,
        deadline: float,
        key: str,
        report: Callable[[str], None],
    ) -> dict[str, Any]:
        """Prove one row; returns the finished job with its proof. The same key is the same job."""
        body: dict[str, object] = {
            "circuit": manifest,
            "context": "0x" + context.hex(),
            "inputs": {"x": [str(word) for word in words]},
            "salt": None if salt is None else [str(word) for word in salt],
            "deadline": deadline,
            "key": key,
        }
        job = self._post("/v1/proofs", body)
        report(f"about {job['predicted_seconds']:.1f} s, {job['position']} before it")
        pause = threading.Event()
        while (state := self._get(f"/v1/proofs/{job['id']}"))["state"] not in _ENDED:
            pause.wait(0.1)
        if state["state"] != "DONE":
            error = state.get("error") or {}
            raise ProofFailed(state=state["state"], error_name=error.get("type", "no reason given"), error=error)
        return state

    def verify(self, manifest: str, proof: str, words: Sequence[str]) -> dict[str, Any]:
        """Check a proof with the circuit's verifying key."""
        return self._post("/v1/verifications", {"circuit": manifest, "proof": proof, "words": list(words)})

    def _wait(self, job: str, report: Callable[[Progress], None]) -> dict[str, Any]:
        end = time.monotonic() + BUILD_SECONDS
        pause = threading.Event()
        state: dict[str, Any] = {"step": "queued"}
        while time.monotonic() < end:
            state = self._get(f"/v1/jobs/{job}")
            report(
                Progress(
                    "circuit",
                    int(state.get("done") or 0),
                    int(state.get("total") or 1),
                    "steps",
                    str(state.get("step") or ""),
                )
            )
            if state["state"] == "DONE":
                return state
            if state["state"] in _ENDED:
                error = state.get("error") or {}
                raise CircuitRefused(
                    error_name=error.get("type", state["state"]), detail=error.get("detail", "no reason given")
                )
            pause.wait(0.2)
        raise CircuitLate(seconds=BUILD_SECONDS, step=state.get("step"))

    def _post(self, path: str, body: Mapping[str, object], timeout: float = ANSWER_SECONDS) -> dict[str, Any]:
        answer: dict[str, Any] = self._request("POST", path, body, timeout).json()
        return answer

    def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._request("GET", path).json()
        return answer

    def _request(
        self, method: str, path: str, body: Mapping[str, object] | None = None, timeout: float = ANSWER_SECONDS
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise ProverUnreachable(url=self.url, reason=type(error).__name__) from error
        if answer.is_error:
            problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
            raise CircuitRefused(
                error_name=problem.get("type", answer.status_code), detail=problem.get("detail", answer.text[:300])
            )
        return answer


_BYTES = {"circuit_id", "code_hash"}


def report_from_json(raw: Mapping[str, Any]) -> CircuitReport:
    """The prover's record as it came over HTTP."""
    values: dict[str, Any] = {}
    for field in fields(CircuitReport):
        value = raw[field.name]
        if field.name in _BYTES:
            value = bytes.fromhex(str(value).removeprefix("0x"))
        elif field.name == "manifest":
            value = Cid.parse(str(value))
        elif field.name == "candidates":
            value = tuple(Candidate(**entry) for entry in value)
        values[field.name] = value
    return CircuitReport(**values)
