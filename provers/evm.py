"""A verifier contract, tried on a chain of its own: deployed, asked about good proofs, then about every spoilt one.

Starts anvil for the length of one step. Knows JSON-RPC and nothing of the package's chain client.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from eth_abi.abi import encode

from provers.errors import ChainBinaryMissing, RendererFailed, VerifierAcceptsFalse, VerifierRefusesTrue
from prsm_protocol.rules.eip712 import keccak
from prsm_protocol.rules.poseidon import FIELD_ORDER
from prsm_protocol.settings import settings

SPOILT_BYTES = 64
"""Bytes of the proof that are changed, spread evenly; every one of thousands would only take longer."""
_SELECTOR = keccak(b"verifyProof(bytes,uint256[])")[:4]
_MINED_SECONDS = 20.0
_TRUE = "0x" + "1".rjust(64, "0")
_GAS = hex(30_000_000)
_NPM_ANVIL = Path("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")

Answer = dict[str, object]


class Chain:
    """JSON-RPC over one kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, *parameters: object) -> object:
        answer = self.batch([(method, parameters)])[0]
        if "error" in answer:
            raise RendererFailed(reason=f"{method}: {answer['error']}")
        return answer["result"]

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Answer]:
        """Many calls in one request, answers in their order; an error stays an answer."""
        body = [
            {"jsonrpc": "2.0", "id": at, "method": method, "params": list(parameters)}
            for at, (method, parameters) in enumerate(calls)
        ]
        self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answers: list[Answer] = json.loads(self._connection.getresponse().read())
        return sorted(answers, key=lambda answer: int(str(answer["id"])))


class Verifier:
    """A deployed verifier."""

    def __init__(self, chain: Chain, bytecode: str) -> None:
        self._chain = chain
        accounts = chain.ask("eth_accounts")
        assert isinstance(accounts, list)
        self._from = str(accounts[0])
        receipt = self._send({"data": bytecode})
        self.address = str(receipt["contractAddress"])
        self.deploy_gas = int(str(receipt["gasUsed"]), 16)
        self.code_hash = keccak(bytes.fromhex(str(chain.ask("eth_getCode", self.address, "latest"))[2:]))

    def accepts(self, cases: Sequence[tuple[bytes, Sequence[int]]]) -> list[bool]:
        """Whether each (proof, instances) is answered with true; a revert is a refusal."""
        calls = [("eth_call", (self._call(*case), "latest")) for case in cases]
        return [answer.get("result") == _TRUE for answer in self._chain.batch(calls)]

    def gas(self, proof: bytes, instances: Sequence[int]) -> int:
        """Gas of a whole transaction that verifies: calldata included."""
        return int(str(self._send(self._call(proof, instances))["gasUsed"]), 16)

    def _call(self, proof: bytes, instances: Sequence[int]) -> dict[str, object]:
        data = _SELECTOR + encode(["bytes", "uint256[]"], [proof, list(instances)])
        return {"from": self._from, "to": self.address, "data": "0x" + data.hex(), "gas": _GAS}

    def _receipt(self, hashed: str) -> object:
        """The receipt, as soon as the chain has mined it: it answers a sender before."""
        pause, until = Event(), time.monotonic() + _MINED_SECONDS
        while time.monotonic() < until:
            receipt = self._chain.ask("eth_getTransactionReceipt", hashed)
            if receipt is not None:
                return receipt
            pause.wait(0.01)
        return None

    def _send(self, transaction: dict[str, object]) -> dict[str, object]:
        hashed = self._chain.ask("eth_sendTransaction", {"from": self._from, "gas": _GAS} | transaction)
        receipt = self._receipt(str(hashed))
        if not isinstance(receipt, dict) or receipt["status"] != "0x1":
            raise RendererFailed(reason=f"a transaction of the trial failed: {receipt}")
        return receipt


def anvil_path() -> Path:
    """The chain's program: as set, else the npm package's, else on PATH."""
    chosen = settings()
    for path in (chosen.anvil, chosen.checkout / _NPM_ANVIL, shutil.which("anvil")):
        if path is not None and Path(path).is_file():
            return Path(path)
    raise ChainBinaryMissing(path=str(chosen.anvil or chosen.checkout / _NPM_ANVIL), setting="PRSM_ANVIL")


@contextmanager
def development_chain(folder: Path) -> Iterator[Chain]:
    """An anvil on a free port, which dies with this process. It logs to a file: nobody would empty a pipe."""
    log = folder / "anvil.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [str(anvil_path()), "--port", "0", "--accounts", "1", "--no-request-size-limit"],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            preexec_fn=die_with_parent,
        )
    try:
        yield Chain(_port(process, log))
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    pause, until = Event(), time.monotonic() + _MINED_SECONDS
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines(keepends=True):
            if line.startswith("Listening on ") and line.endswith("\n"):
                return int(line.rsplit(":", 1)[1])
        pause.wait(0.01)
    raise RendererFailed(reason=f"anvil does not listen (exit {process.poll()}): {log.read_text()[-300:]}")


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def trial(
    verifier: Verifier, proofs: Sequence[tuple[bytes, Sequence[int]]], foreign: tuple[bytes, Sequence[int]]
) -> dict[str, object]:
    """Good proofs are accepted, all spoilt ones refused; the gas of the dearest. `foreign` is another circuit's."""
    for row, accepted in enumerate(verifier.accepts(proofs)):
        if not accepted:
            raise VerifierRefusesTrue(row=row)
    cases = spoilt(*proofs[0])
    cases["proof of another circuit"] = (foreign[0], foreign[1])
    cases["proof of another circuit with this one's words"] = (foreign[0], proofs[0][1])
    cases["proof of another row"] = (proofs[1][0], proofs[0][1])
    for name, accepted in zip(cases, verifier.accepts(list(cases.values())), strict=True):
        if accepted:
            raise VerifierAcceptsFalse(case=name)
    return {
        "verify_gas": max(verifier.gas(*proof) for proof in proofs),
        "deploy_gas": verifier.deploy_gas,
        "spoilt": len(cases),
    }


def spoilt(proof: bytes, words: Sequence[int]) -> dict[str, tuple[bytes, Sequence[int]]]:
    """Every way in which a proof or its words are changed a little, by name."""
    cases: dict[str, tuple[bytes, Sequence[int]]] = {}
    for at, word in enumerate(words):
        changes = {
            f"word {at} plus one": (word + 1) % FIELD_ORDER,
            f"word {at} minus one": (word - 1) % FIELD_ORDER,
            f"word {at} plus the field's order": word + FIELD_ORDER,
        }
        for name, changed in changes.items():
            cases[name] = (proof, [*words[:at], changed, *words[at + 1 :]])
    cases["one word more"] = (proof, [*words, 0])
    cases["one word less"] = (proof, words[:-1])
    for turn in range(SPOILT_BYTES):
        at = turn * len(proof) // SPOILT_BYTES
        cases[f"proof byte {at}"] = (proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :], words)
    cases["proof shorter"] = (proof[:-32], words)
    cases["proof longer"] = (proof + bytes(32), words)
    cases["no proof"] = (b"", words)
    return cases
