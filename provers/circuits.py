"""A circuit is a folder with a name a person can say; its manifest's digest is its real name.

C2: a folder never changes. C3: nothing is fetched by address. What lies in a folder is compared with the manifest
before it is used: a wrong key does not fail, it hangs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from provers.errors import (
    CircuitDamaged,
    CircuitExists,
    CircuitNameInvalid,
    CircuitUnknown,
    FileUnknown,
    ProverVersionOther,
)
from provers.manifest import Manifest, decode
from provers.tasks import EZKL_VERSION
from prsm_protocol.errors import PrsmError
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import Candidate, CircuitReport

MANIFEST, MEASURED = "manifest.cbor", "measured.cbor"
FILES = ("model.onnx", "source.onnx", "settings.json", "verifying.key", "Verifier.sol", "verifier.json")
ALL_FILES = (*FILES, MANIFEST, MEASURED)


@dataclass(frozen=True)
class Measured:
    """What this machine found when it built the circuit; no part of its identity."""

    k: int
    rows: int
    prove_us: int
    peak_bytes: int
    key_bytes: int
    verify_gas: int
    deploy_gas: int
    verifier_bytes: int
    spoilt: int
    candidates: tuple[Candidate, ...]

    def encode(self) -> bytes:
        return dag_cbor.encode(asdict(self))


@dataclass(frozen=True)
class Circuit:
    """A circuit whose files were compared with its manifest."""

    name: str
    folder: Path
    manifest: Manifest
    measured: Measured

    def file(self, name: str) -> Path:
        if name not in ALL_FILES:
            raise FileUnknown(name=name, files=", ".join(ALL_FILES))
        return self.folder / name

    def report(self) -> CircuitReport:
        manifest, measured = self.manifest, self.measured
        return CircuitReport(
            name=self.name,
            manifest=manifest.cid,
            circuit_id=manifest.circuit_id,
            code_hash=manifest.code_hash,
            bits=manifest.bits,
            input_visibility=manifest.visibility,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
            batch_rows=manifest.batch_rows,
            setup=manifest.setup.name,
            k=measured.k,
            rows=measured.rows,
            words=manifest.layout.words,
            prove_us=measured.prove_us,
            peak_bytes=measured.peak_bytes,
            key_bytes=measured.key_bytes,
            verify_gas=measured.verify_gas,
            deploy_gas=measured.deploy_gas,
            verifier_bytes=measured.verifier_bytes,
            agreement_ppm=manifest.agreement_ppm,
            largest_error_ppm=manifest.largest_error_ppm,
            candidates=measured.candidates,
        )


def load(folder: Path) -> Circuit:
    """The circuit of a folder, every file compared with the manifest."""
    manifest = decode((folder / MANIFEST).read_bytes())
    if manifest.ezkl != EZKL_VERSION:
        raise ProverVersionOther(circuit=manifest.ezkl, installed=EZKL_VERSION)
    expected = {
        "model.onnx": manifest.model,
        "source.onnx": manifest.source,
        "settings.json": manifest.settings,
        "verifying.key": manifest.verifying_key,
        "Verifier.sol": manifest.verifier_source,
    }
    for name, digest in expected.items():
        path = folder / name
        found = hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
        if found != digest:
            raise CircuitDamaged(name=folder.name, file=name, expected=digest.hex(), found=found.hex() or "none")
    code_hash = json.loads((folder / "verifier.json").read_bytes())["code_hash"]
    if code_hash != "0x" + manifest.code_hash.hex():
        raise CircuitDamaged(
            name=folder.name, file="verifier.json", expected="0x" + manifest.code_hash.hex(), found=code_hash
        )
    return Circuit(folder.name, folder, manifest, _measured(folder / MEASURED))


class Circuits:
    """The circuits of a home, loaded once and found by manifest, circuit id or name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        found = [
            load(path) for path in sorted(folder.iterdir()) if path.suffix != ".part" and (path / MANIFEST).is_file()
        ]
        self._by_name = {circuit.name: circuit for circuit in found}

    def all(self) -> list[Circuit]:
        with self._lock:
            return list(self._by_name.values())

    def get(self, key: str) -> Circuit:
        for circuit in self.all():
            manifest = circuit.manifest
            if key in (manifest.cid.text, circuit.name, "0x" + manifest.circuit_id.hex()):
                return circuit
        raise CircuitUnknown(circuit=key)

    def named(self, name: str) -> Circuit | None:
        with self._lock:
            return self._by_name.get(name)

    def add(self, name: str, files: Path, manifest: Manifest, measured: Measured) -> Circuit:
        """Copy a built circuit aside, sync, rename. The same circuit under its name is left as it is."""
        check_name(name)
        existing = self.named(name)
        if existing is not None:
            if existing.manifest.cid != manifest.cid:
                raise CircuitExists(name=name, manifest=existing.manifest.cid.text)
            return existing
        content = {file: (files / file).read_bytes() for file in FILES}
        return self._place(name, content | {MANIFEST: manifest.encode(), MEASURED: measured.encode()})

    def take_in(self, name: str, files: dict[str, bytes]) -> Circuit:
        """A circuit that another prover built: every file is compared with the manifest before it gets its name."""
        check_name(name)
        if odd := sorted(set(files) ^ set(ALL_FILES)):
            raise FileUnknown(name=odd[0], files=", ".join(ALL_FILES))
        manifest, existing = decode(files[MANIFEST]), self.named(name)
        if existing is not None and existing.manifest.cid != manifest.cid:
            raise CircuitExists(name=name, manifest=existing.manifest.cid.text)
        return existing or self._place(name, files)

    def _place(self, name: str, files: dict[str, bytes]) -> Circuit:
        aside = self._folder / f".{name}.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for file, data in files.items():
            (aside / file).write_bytes(data)
        try:
            load(aside)
        except PrsmError:
            shutil.rmtree(aside)
            raise
        for path in aside.iterdir():
            sync(path)
        sync(aside)
        os.replace(aside, self._folder / name)
        sync(self._folder)
        circuit = load(self._folder / name)
        with self._lock:
            self._by_name[name] = circuit
        return circuit


def check_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{0,63}", name):
        raise CircuitNameInvalid(name=name)
    return name


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _measured(path: Path) -> Measured:
    document = dag_cbor.decode(path.read_bytes())
    assert isinstance(document, dict)
    candidates = tuple(Candidate(**item) for item in document.pop("candidates"))
    return Measured(**document, candidates=candidates)
