"""A real prover over HTTP with two small circuits, built once a run; nothing it makes is kept."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from prsm_protocol.rules.oracle.instances import Layout

BITS, INPUTS, HIDDEN = 8, 5, 3
SALT = [11, 22, 33, 44, 2**31 - 1]
WAIT_SECONDS = 240


def network(sizes: tuple[int, ...], seed: int = 1, **changes: Any) -> onnx.ModelProto:
    """Gemm and ReLU layers with weights from a seed; `changes` goes to the model's maker."""
    rng = np.random.default_rng(seed)
    nodes, weights, name = [], [], "x"
    for at, (inputs, units) in enumerate(pairwise(sizes)):
        last = at == len(sizes) - 2
        weights.append(numpy_helper.from_array(rng.normal(0, 0.4, (units, inputs)).astype(np.float32), f"w{at}"))
        weights.append(numpy_helper.from_array(rng.normal(0, 0.4, units).astype(np.float32), f"b{at}"))
        out = "y" if last else f"sum{at}"
        nodes.append(helper.make_node("Gemm", [name, f"w{at}", f"b{at}"], [out], transB=1, name=f"gemm{at}"))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"relu{at}"], name=f"relu{at}"))
            name = f"relu{at}"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, sizes[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, sizes[-1]])],
        weights,
    )
    opset = changes.pop("opset", 17)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **changes)


def rows(count: int, width: int = INPUTS, bits: int = BITS, seed: int = 3) -> list[list[int]]:
    numbers = random.Random(seed)
    return [[round(numbers.gauss(0, 1) * (1 << bits)) for _ in range(width)] for _ in range(count)]


class Prover:
    """A service process of its own home, and a client."""

    def __init__(self, home: Path, *arguments: str, setup_cache: Path | None = None) -> None:
        self.home = home
        environment = dict(os.environ)
        if setup_cache is not None:
            environment["PRSM_SETUP_CACHE"] = str(setup_cache)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "provers", "--home", str(home), "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the prover ended with {self.process.wait()}"
        self.url = json.loads(line)["url"]
        token = (home / "token").read_text().strip()
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(30)

    def build(self, model: onnx.ModelProto, given: list[list[int]], **fields: Any) -> str:
        body = {
            "model": base64.b64encode(model.SerializeToString()).decode(),
            "rows": given,
            "bits": BITS,
            "labels_from": "sign",
            **fields,
        }
        answer = self.http.post("/v1/circuits", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def ask(self, circuit: str, row: list[int], context: bytes, **fields: Any) -> httpx.Response:
        body = {
            "circuit": circuit,
            "context": "0x" + context.hex(),
            "inputs": {"x": [str(number) for number in row]},
            "deadline": time.time() + WAIT_SECONDS,
            "key": os.urandom(8).hex(),
            **fields,
        }
        return self.http.post("/v1/proofs", json=body)

    def prove(self, circuit: str, row: list[int], context: bytes, **fields: Any) -> dict[str, Any]:
        answer = self.ask(circuit, row, context, **fields)
        assert answer.status_code == 202, answer.text
        found = self.ended("proofs", answer.json()["id"])
        assert found["state"] == "DONE", found
        return found

    def ended(self, kind: str, identity: str) -> dict[str, Any]:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            found: dict[str, Any] = self.http.get(f"/v1/{kind}/{identity}").json()
            if found["waiting"] is None:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{kind} {identity} did not end: {found}")


@dataclass(frozen=True)
class Built:
    """A circuit with the proof of its first row."""

    report: dict[str, Any]
    manifest: str
    layout: Layout
    verifier: dict[str, Any]


@pytest.fixture(scope="session")
def prover(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prover]:
    started = Prover(tmp_path_factory.mktemp("prover"))
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="session")
def built(prover: Prover) -> dict[str, Built]:
    """One hashed and one public circuit of the same network."""
    model, found = network((INPUTS, HIDDEN, 1)), {}
    jobs = {
        kind: prover.build(model, rows(40), name=f"small_{kind}", input_visibility=kind)
        for kind in ("hashed", "public")
    }
    for kind, job in jobs.items():
        ended = prover.ended("jobs", job)
        assert ended["state"] == "DONE", ended
        report = ended["report"]
        verifier = prover.http.get(f"/v1/circuits/{report['manifest']}/files/verifier.json").json()
        layout = Layout(report["inputs"], report["outputs"], kind == "hashed")
        found[kind] = Built(report, report["manifest"], layout, verifier)
    return found


@pytest.fixture(scope="session")
def hashed(built: dict[str, Built]) -> Built:
    return built["hashed"]


@pytest.fixture(scope="session")
def public(built: dict[str, Built]) -> Built:
    return built["public"]
