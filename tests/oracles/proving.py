"""A real prover with one small circuit, announced on the real router: made once for all stories that prove."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from prsm_protocol.chain import Call
from prsm_protocol.chain.anvil import development_account
from prsm_protocol.content import add_bytes
from prsm_protocol.rules.oracle.circuits import Circuit
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.types import Cid, CircuitRef
from tests.oracles.world import BITS, NETWORK, World, until


def onnx_of_network() -> bytes:
    """The integer network as the floats it stands for."""
    nodes, weights, previous = [], [], "x"
    for at, layer in enumerate(NETWORK.layers):
        last = at == len(NETWORK.layers) - 1
        w = (numpy.array(layer.weights) / float(1 << BITS)).astype(numpy.float32)
        b = (numpy.array(layer.bias) / float(1 << (2 * BITS))).astype(numpy.float32)
        weights += [numpy_helper.from_array(w, f"w{at}"), numpy_helper.from_array(b, f"b{at}")]
        out = "y" if last and not layer.relu else f"h{at}"
        nodes.append(helper.make_node("Gemm", [previous, f"w{at}", f"b{at}"], [out], transB=1))
        if layer.relu:
            nodes.append(helper.make_node("Relu", [out], [f"r{at}"]))
            out = f"r{at}"
        previous = out
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, NETWORK.inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, NETWORK.outputs])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@dataclass
class RunningProver:
    url: str
    token_file: Path

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=60, trust_env=False)
        assert answer.status_code < 400, answer.text
        found: dict[str, object] = answer.json()
        return found


@contextmanager
def prover(home: Path) -> Iterator[RunningProver]:
    process = subprocess.Popen(
        [sys.executable, "-m", "provers", "--home", str(home), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=(home.parent / "prover.log").open("wb"),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (home.parent / "prover.log").read_text()
        yield RunningProver(json.loads(line)["url"], home / "token")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def build(running: RunningProver, visibility: str) -> dict[str, object]:
    """A circuit of the test network; rows on a grid within what the front allows."""
    rows = [[(37 * at + 911 * column) % 4001 - 2000 for column in range(NETWORK.inputs)] for at in range(60)]
    body = {
        "name": f"test_{visibility}",
        "model": base64.b64encode(onnx_of_network()).decode(),
        "rows": rows,
        "bits": BITS,
        "input_visibility": visibility,
        "batch_rows": 1,
        "candidates": 1,
        "labels_from": "sign",
    }
    job = running.ask("POST", "/v1/circuits", body)["id"]

    def report() -> object:
        state = running.ask("GET", f"/v1/jobs/{job}")
        assert state["state"] not in ("FAILED", "EXPIRED", "CANCELLED"), state["error"]
        return state["report"]

    found = until(report, seconds=300, every=0.5)
    assert isinstance(found, dict)
    return found


def announce(world: World, running: RunningProver, report: dict[str, object], visibility: str) -> CircuitRef:
    """Deploy the verifier and announce the circuit, as its owner would."""
    owner = development_account(1)
    manifest = Cid.parse(str(report["manifest"]))
    verifier = running.ask("GET", f"/v1/circuits/{manifest}/files/verifier.json")
    code = bytes.fromhex(str(verifier["bytecode"]).removeprefix("0x"))
    deployed = world.send(owner, Call("", code, name="verifier"))
    assert deployed.contract is not None
    layout = Layout(int(str(report["inputs"])), int(str(report["outputs"])), visibility == "hashed")
    circuit = Circuit(deployed.contract, layout, Setup[str(report["setup"]).upper()])
    receipt = world.send(owner, world.chain.router.announce(circuit, manifest.digest))
    announced = receipt.event("CircuitAnnounced").fields["circuit_id"]
    expected = bytes.fromhex(str(report["circuit_id"]).removeprefix("0x"))
    assert announced == expected, "the router derives the id that the prover reported"
    return CircuitRef(expected, manifest, manifest, 1, visibility)


def model_cid(world: World) -> Cid:
    return add_bytes(world.blocks, onnx_of_network())
