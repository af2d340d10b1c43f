"""Ask a prover over HTTP whether a model can be proved, and at what cost; wait visibly while it builds."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import httpx

from prsm_protocol.errors import DistillationError
from prsm_protocol.types import Candidate, Cid, CircuitReport, Progress

BUILD_SECONDS = 300


class ProverUnreachable(DistillationError):
    exit_code = 6
    text = "the prover at {url} does not answer ({reason}); `prsm doctor` says what is missing"


class CircuitRefused(DistillationError):
    text = "the prover refused the circuit: {error_name}: {detail}"


class CircuitLate(DistillationError):
    text = "the circuit was not built within {seconds} s (last step: {step}); try again, finished parts are kept"


@dataclass(frozen=True)
class BuiltCircuit:
    """A report with the compiled verifier that goes on chain."""

    report: CircuitReport
    verifier: bytes  # creation bytecode


class Prover:
    """Client of one proving service."""

    def __init__(self, url: str, token_file: Path) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._http.headers["Authorization"] = f"Bearer {token_file.read_text().strip()}"

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
            if state["state"] in ("FAILED", "UNPROVABLE", "CANCELLED", "EXPIRED"):
                error = state.get("error") or {}
                raise CircuitRefused(
                    error_name=error.get("type", state["state"]), detail=error.get("detail", "no reason given")
                )
            pause.wait(0.2)
        raise CircuitLate(seconds=BUILD_SECONDS, step=state.get("step"))

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        answer: dict[str, Any] = self._request("POST", path, body).json()
        return answer

    def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._request("GET", path).json()
        return answer

    def _request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
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
