"""What a stranger does before trusting a circuit: make its key and verifier again and compare them byte for byte."""

from __future__ import annotations

from pathlib import Path

from provers.circuits import Circuit
from provers.estimate import ProofEstimate
from provers.tasks import digest
from provers.workshop import Workshop


def rebuild(circuit: Circuit, workshop: Workshop, estimate: ProofEstimate, folder: Path) -> tuple[str, ...]:
    """Names of what differs: wrapped model, verifying key, verifier's source, its code. Empty: all the same."""
    manifest, setup = circuit.manifest, workshop.setup_of(circuit)
    source: dict[str, object] = {"model": str(circuit.file("source.onnx")), "hashed": manifest.hashed_input}
    workshop.run("inspect", source, folder)
    values: dict[str, object] = {
        "model": str(folder / "model.onnx"),
        "settings": str(circuit.file("settings.json")),
        "srs": str(setup.path),
    }
    keys = workshop.run("setup", values, folder, estimate=estimate, seconds=max(120.0, 10 * estimate.seconds[1]))
    name = "Verifier" + manifest.model.hex()[:16]
    values |= {"verifying_key": str(folder / "verifying.key"), "name": name}
    rendered = workshop.run("render", values, folder, estimate=estimate)
    code: dict[str, object] = {"source": str(folder / "Verifier.sol"), "name": name}
    compiled = workshop.run("compile_verifier", code, folder, seconds=120, starts_program=True)
    found = {
        "model.onnx": (digest(folder / "model.onnx"), manifest.model),
        "verifying.key": (keys.values["verifying"], manifest.verifying_key),
        "Verifier.sol": (rendered.values["digest"], manifest.verifier_source),
        "verifier code": (compiled.values["code_hash"], manifest.code_hash),
    }
    return tuple(file for file, (made, said) in found.items() if made != said.hex())
