"""Client of the proving service: one proof a task, asked for again under the same key after any crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from prsm_protocol.errors import NodeError
from prsm_protocol.types import Cid


class ProverUnreachable(NodeError):
    text = "the prover at {url} does not answer ({reason}); start it with `python -m provers`"


class ProverRefused(NodeError):
    text = "the prover refused ({kind}): {detail}"


class ProverBusy(NodeError):
    text = "the prover asks to come again ({kind}): {detail}"


class ProofFailed(NodeError):
    text = "the proof of task {task} failed: {reason}"


_PASSING = frozenset({401, 403, 404, 409, 423, 425, 429, 500, 502, 503})
"""Answers that another moment may change: the token is rotated, the job was lost with a restart, the queue is full."""
_FLOAT_ROOM = 4
_LEAST_ERROR = 1 / 16
"""Held-out rows do not show the worst row: a circuit drifts when it is four times worse than it ever was there."""


@dataclass(frozen=True)
class HeldCircuit:
    """A circuit that the prover has checked and can prove."""

    manifest: Cid
    circuit_id: bytes
    code_hash: bytes
    setup: str
    batch_rows: int
    input_visibility: str
    inputs: int
    outputs: int
    prove_seconds: float
    output_bits: int
    allowed_error: float


@dataclass(frozen=True)
class Proved:
    """A proof that the service verified, with the words around it as the hub takes them."""

    proof: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_hash: bytes
    output_hash: bytes
    seconds: float


class Prover:
    """HTTP client of one prover."""

    def __init__(self, url: str, token_file: Path, timeout_seconds: float = 10) -> None:
        self.url = url.rstrip("/")
        self._token_file = token_file
        self._http = httpx.Client(timeout=timeout_seconds, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def circuits(self) -> list[HeldCircuit]:
        """Everything it holds and has not set aside for drifting from its model."""
        body = self._ask("GET", "/v1/circuits")
        rows = body.get("circuits", [])
        if not isinstance(rows, list):
            return []
        return [_circuit(row) for row in rows if not row.get("aside")]

    def start(
        self, *, key: str, circuit: Cid, context: bytes, words: Sequence[int], salt: Sequence[int] | None, deadline: int
    ) -> str:
        """Ask for a proof; the same key always gives the same job."""
        request: dict[str, object] = {
            "circuit": circuit.text,
            "context": "0x" + context.hex(),
            "inputs": {"x": [str(word) for word in words]},
            "deadline": deadline,
            "key": key,
        }
        if salt is not None:
            request["salt"] = [str(word) for word in salt]
        return str(self._ask("POST", "/v1/proofs", request)["id"])

    def poll(self, job: str, task: str) -> Proved | None:
        """The proof once it is there, None while it is being made."""
        body = self._ask("GET", f"/v1/proofs/{job}")
        state = str(body.get("state", "")).lower()
        if state in ("failed", "cancelled", "expired"):
            raise ProofFailed(task=task, reason=body.get("error") or state)
        if not body.get("proof"):
            return None
        return Proved(
            _hex(body["proof"]),
            tuple(_ints(body["inputs"])),
            tuple(_ints(body["outputs"])),
            _hex(body["input_hash"]),
            _hex(body["output_hash"]),
            _number(body.get("seconds")),
        )

    def is_ready(self) -> bool:
        try:
            self._ask("GET", "/ready")
        except (ProverUnreachable, ProverRefused, ProverBusy):
            return False
        return True

    def _ask(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()
            answer = self._http.request(
                method, self.url + path, json=body, headers={"Authorization": f"Bearer {token}"}
            )
        except (httpx.HTTPError, OSError) as error:
            raise ProverUnreachable(url=self.url, reason=error) from None
        try:
            found = answer.json()
        except ValueError:
            found = {}
        if answer.status_code >= 400:
            kind = found.get("type") or found.get("title") or f"HTTP {answer.status_code}"
            if answer.status_code in _PASSING and kind not in ("CircuitUnknown", "ProofTooSlow"):
                raise ProverBusy(kind=kind, detail=found.get("detail") or answer.text[:300])
            raise ProverRefused(kind=kind, detail=found.get("detail") or answer.text[:300])
        if isinstance(found, list):
            return {"circuits": found}
        return dict(found)


def _circuit(row: dict[str, object]) -> HeldCircuit:
    manifest = row["manifest_fields"]
    assert isinstance(manifest, dict)
    return HeldCircuit(
        manifest=Cid.parse(str(row["manifest"])),
        circuit_id=_hex(row["circuit_id"]),
        code_hash=_hex(row["code_hash"]),
        setup=str(row["setup"]).lower(),
        batch_rows=int(_number(row.get("batch_rows", 1))),
        input_visibility=str(row["input_visibility"]),
        inputs=int(_number(row["inputs"])),
        outputs=int(_number(row["outputs"])),
        prove_seconds=_number(row.get("prove_us", 2_000_000)) / 1e6,
        output_bits=int(_number(manifest["output_bits"])),
        allowed_error=max(_LEAST_ERROR, _FLOAT_ROOM * _number(row.get("largest_error_ppm", 0)) / 1e6),
    )


def _hex(value: object) -> bytes:
    return bytes.fromhex(str(value).removeprefix("0x"))


def _ints(value: object) -> list[int]:
    return [int(str(item)) for item in value] if isinstance(value, list) else []


def _number(value: object) -> float:
    return float(str(value)) if value is not None else 0.0
