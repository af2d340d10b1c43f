"""From a model to a circuit: nine steps, each a worker, each remembered, so that a build goes on where it was stopped.

The set-up is made twice and compared, the verifier is tried on a chain with good and with spoilt proofs, and nothing is
written to the circuits' folder before all of that has passed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from provers.circuits import Circuit, Circuits, Measured, check_name
from provers.errors import NotFaithful, NotProvable
from provers.estimate import ProofEstimate, check, from_settings, static
from provers.keys import FILES, Keys
from provers.manifest import Manifest
from provers.setup_files import SetupFile
from provers.solidity import COMPILER, EVM_VERSION, RUNS
from provers.tasks import EZKL_VERSION, Values, digest
from provers.workshop import Workshop
from prsm_protocol.rules.oracle.instances import SALT_BITS, SALT_WORDS, Layout
from prsm_protocol.rules.oracle.proof_cost import Dense
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.types import Candidate, thread_map

BASE, LEGS, COLUMNS = 256, 4, 1
"""The first candidate: cheapest to verify on a chain for the small networks that were measured."""
CALIBRATION_ROWS, ROWS_TRIED, CORNERS, TRIAL_ROWS = 8, 200, 8, 5
SPREADS_BITS = 4
"""Inputs are clipped at 2**4 = 16 spreads, so the widest range that is ever needed is this."""
AGREEMENT_PPM = 995_000
ERROR_ROOM = 4
"""A row beyond the tried ones may err a few times as much before a proof is held back."""
STEPS = ("model", "compile", "set-up file", "rows", "keys", "verifier", "proofs", "trial", "folder")

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Specification:
    """What somebody wants a circuit of. `rows` are integer words at `bits`."""

    name: str
    bits: int
    hashed: bool
    labels_from: str
    setup: Setup
    max_error_ppm: int | None = None
    max_seconds: float = 60.0
    batch_rows: int = 1


class Build:
    """One build in its folder, which holds `source.onnx` and `given.json` (the rows) when it begins."""

    def __init__(
        self, spec: Specification, folder: Path, workshop: Workshop, circuits: Circuits, report: Report
    ) -> None:
        check_name(spec.name)
        self._spec, self._folder, self._workshop, self._circuits = spec, folder, workshop, circuits
        self._report = report

    def run(self) -> Circuit:
        model = self._step(0, self._model)
        inputs, outputs = cast(int, model["inputs"]), cast(int, model["outputs"])
        layout = Layout(inputs, outputs, self._spec.hashed)
        rows = self._rows(inputs)
        guess = estimate_model(model, self._spec.hashed)
        check(guess, self._workshop.machine)
        compiled = self._step(1, lambda: self._compile("model.onnx", "compiled", guess))
        estimate = from_settings(guess.cost, cast(int, compiled["rows"]), cast(int, compiled["k"]))
        check(estimate, self._workshop.machine)
        setup = self._setup(cast(int, compiled["k"]))
        tried = self._step(3, lambda: self._try_rows(compiled, inputs, rows, estimate))
        digests = {
            "model": digest(self._folder / "model.onnx"),
            "settings": digest(self._folder / "compiled" / "settings.json"),
            "compiled": digest(self._folder / "compiled" / "circuit.compiled"),
        }
        self._report(STEPS[4], 4, len(STEPS))
        keys = self._workshop.make_keys(
            self._spec.name,
            {
                "compiled": str(self._folder / "compiled" / "circuit.compiled"),
                "model": str(self._folder / "model.onnx"),
                "settings": str(self._folder / "compiled" / "settings.json"),
            },
            setup,
            digests,
            self._folder / "keys",
            estimate,
        )
        verifier = self._step(5, lambda: self._verified(setup, keys, estimate))
        proofs = self._step(6, lambda: self._prove(setup, keys, estimate, len(rows)))
        trial = self._step(7, lambda: self._trial(verifier, setup))
        self._report(STEPS[8], 8, len(STEPS))
        manifest = self._manifest(layout, compiled, tried, setup, keys, verifier)
        return self._circuits.add(
            self._spec.name, self._gather(keys), manifest, self._measured(compiled, keys, verifier, proofs, trial)
        )

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _model(self) -> Values:
        values: Values = {"model": str(self._folder / "source.onnx"), "hashed": self._spec.hashed}
        return self._workshop.run("inspect", values, self._folder).values

    def _compile(self, model: str, folder: str, estimate: ProofEstimate) -> Values:
        spec = self._spec
        values: Values = {
            "model": str(self._folder / model),
            "rows": str(self._folder / "rows.json"),
            "take": list(range(CALIBRATION_ROWS)),
            "bits": spec.bits,
            "hashed": spec.hashed,
            "base": BASE,
            "legs": LEGS,
            "columns": COLUMNS,
            "max_k": self._workshop.machine.max_k,
        }
        return self._workshop.run(
            "compile", values, self._folder / folder, estimate=estimate, seconds=120, threads=1
        ).values

    def _setup(self, k: int) -> SetupFile:
        self._report(STEPS[2], 2, len(STEPS))
        if self._spec.setup is Setup.CEREMONY:
            return self._workshop.setups.ceremony(k)
        return self._workshop.single_setup(k, self._folder / "setup")

    def _try_rows(self, compiled: Values, inputs: int, rows: list[list[int]], estimate: ProofEstimate) -> Values:
        """Agreement and error on the given rows; then the widest range of inputs whose corners have a witness."""
        values: Values = {
            "compiled": str(self._folder / "compiled" / "circuit.compiled"),
            "model": str(self._folder / "model.onnx"),
            "bits": self._spec.bits,
            "output_bits": compiled["output_bits"],
            "inputs": inputs,
            "labels_from": self._spec.labels_from,
        }
        chosen = evenly(len(rows), ROWS_TRIED)
        halves = [chosen[::2], chosen[1::2]]

        def try_half(at: int) -> object:
            part = values | {"rows": str(self._folder / "rows.json"), "take": halves[at]}
            return self._workshop.run("agree", part, self._folder / f"agree{at}", estimate=estimate, seconds=300).values

        found = [cast("dict[str, int | float]", item) for item in thread_map(try_half, (0, 1), at_most=2)]
        failed, agreed = (sum(int(part[name]) for part in found) for name in ("failed", "agreed"))
        if failed:
            raise NotProvable(reason=f"{failed} of {len(chosen)} rows overflow the circuit at {self._spec.bits} bits")
        agreement = agreed * 1_000_000 // len(chosen)
        if agreement < AGREEMENT_PPM:
            raise NotFaithful(agreement_ppm=agreement, wanted_ppm=AGREEMENT_PPM)
        largest = int(max(part["largest"] for part in found) * 1e6)
        if self._spec.max_error_ppm is not None and largest > self._spec.max_error_ppm:
            raise NotProvable(reason=f"its largest error is {largest} millionths of {self._spec.max_error_ppm} allowed")
        bound, corner_ratio = self._range(values, inputs, rows, estimate)
        ratio = max(corner_ratio, *(float(part["ratio"]) for part in found))
        unit_ppm = 1_000_000 >> cast(int, compiled["output_bits"])
        return {
            "rows": len(chosen),
            "agreement_ppm": agreement,
            "largest_error_ppm": largest,
            "allowed_error_ppm": ERROR_ROOM * int(ratio * 1e6) + unit_ppm + 1,
            "bound": bound,
        }

    def _range(self, values: Values, inputs: int, rows: list[list[int]], estimate: ProofEstimate) -> tuple[int, float]:
        needed = max(abs(word) for row in rows for word in row[:inputs])
        for room in range(SPREADS_BITS, -1, -1):
            bound = 1 << (self._spec.bits + room)
            if bound < needed:
                break
            path = self._folder / f"corners{room}.json"
            path.write_text(json.dumps(corners(inputs, bound, hashed=self._spec.hashed)))
            part = values | {"rows": str(path)}
            found = self._workshop.run("agree", part, self._folder / "corners", estimate=estimate, seconds=120).values
            if not found["failed"]:
                return bound, cast(float, found["ratio"])
        raise NotProvable(reason=f"inputs up to {needed} overflow 256^4 inside it at {self._spec.bits} bits")

    def _verified(self, setup: SetupFile, keys: Keys, estimate: ProofEstimate) -> Values:
        """The verifier's code and, beside it, a foreign proof: each is mostly one core's work."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            foreign = pool.submit(self._foreign, setup, estimate)
            verifier = self._verifier(setup, keys, estimate)
            foreign.result()
            return verifier

    def _prove(self, setup: SetupFile, keys: Keys, estimate: ProofEstimate, rows: int) -> Values:
        values = self._proof_values(setup, keys) | {"take": evenly(rows, TRIAL_ROWS)}
        done = self._workshop.run(
            "prove_rows",
            values,
            self._folder / "proofs",
            estimate=estimate,
            seconds=max(120.0, 4 * TRIAL_ROWS * estimate.seconds[1]),
            threads=self._workshop.machine.threads,
        )
        return done.values | {"peak_bytes": done.peak_bytes}

    def _verifier(self, setup: SetupFile, keys: Keys, estimate: ProofEstimate) -> Values:
        name = "Verifier" + digest(self._folder / "model.onnx")[:16]
        folder = self._folder / "verifier"
        values: Values = {
            "verifying_key": keys.path("verifying"),
            "settings": str(self._folder / "compiled" / "settings.json"),
            "srs": str(setup.path),
            "name": name,
        }
        rendered = self._workshop.run("render", values, folder, estimate=estimate)
        source: Values = {"source": str(folder / "Verifier.sol"), "name": name}
        compiled = self._workshop.run("compile_verifier", source, folder, seconds=120, starts_program=True)
        return compiled.values | {"source": rendered.values["digest"]}

    def _foreign(self, setup: SetupFile, estimate: ProofEstimate) -> None:
        """A proof of a circuit that differs in one weight: the most plausible forgery there is."""
        folder = self._folder / "other"
        self._compile("other.onnx", "other", estimate)
        values: Values = {"compiled": str(folder / "circuit.compiled"), "srs": str(setup.path)}
        self._workshop.run("setup", values, folder, estimate=estimate, seconds=120)
        values |= {
            "key": str(folder / FILES["proving"]),
            "verifying_key": str(folder / FILES["verifying"]),
            "settings": str(folder / "settings.json"),
            "rows": str(self._folder / "rows.json"),
            "take": [0],
        }
        self._workshop.run("prove_rows", values, folder, estimate=estimate, seconds=120)

    def _trial(self, verifier: Values, setup: SetupFile) -> Values:
        values: Values = {
            "proofs": [str(self._folder / "proofs" / f"proof-{at}.json") for at in range(TRIAL_ROWS)],
            "foreign": str(self._folder / "other" / "proof-0.json"),
            "bytecode": verifier["bytecode"],
            "code_hash": verifier["code_hash"],
        }
        return self._workshop.run(
            "try_verifier", values, self._folder / "trial", seconds=120, starts_program=True
        ).values

    # ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _manifest(
        self, layout: Layout, compiled: Values, tried: Values, setup: SetupFile, keys: Keys, verifier: Values
    ) -> Manifest:
        bound = cast(int, tried["bound"])
        return Manifest(
            model=bytes.fromhex(digest(self._folder / "model.onnx")),
            source=bytes.fromhex(digest(self._folder / "source.onnx")),
            settings=bytes.fromhex(digest(self._folder / "compiled" / "settings.json")),
            verifying_key=bytes.fromhex(keys.digests["verifying"]),
            verifier_source=bytes.fromhex(str(verifier["source"])),
            code_hash=bytes.fromhex(str(verifier["code_hash"])),
            compiler=f"solc {COMPILER} runs {RUNS} {EVM_VERSION}",
            setup=setup.kind,
            setup_k=setup.k,
            setup_file=bytes.fromhex(setup.digest),
            setup_g2=bytes.fromhex(setup.g2),
            ezkl=EZKL_VERSION,
            inputs=layout.inputs,
            outputs=layout.outputs,
            hashed_input=layout.hashed_input,
            batch_rows=self._spec.batch_rows,
            salt_words=SALT_WORDS if layout.hashed_input else 0,
            bits=self._spec.bits,
            output_bits=cast(int, compiled["output_bits"]),
            low=-bound,
            high=bound,
            labels_from=self._spec.labels_from,
            rows=hashlib.sha256((self._folder / "rows.json").read_bytes()).digest(),
            rows_tried=cast(int, tried["rows"]),
            agreement_ppm=cast(int, tried["agreement_ppm"]),
            largest_error_ppm=cast(int, tried["largest_error_ppm"]),
            allowed_error_ppm=cast(int, tried["allowed_error_ppm"]),
        )

    def _measured(self, compiled: Values, keys: Keys, verifier: Values, proofs: Values, trial: Values) -> Measured:
        seconds = sorted(cast("list[int]", proofs["prove_us"]))
        median = seconds[len(seconds) // 2]
        k, rows, gas = (cast(int, item) for item in (compiled["k"], compiled["rows"], trial["verify_gas"]))
        candidate = Candidate(self._spec.bits, BASE, LEGS, COLUMNS, k, rows, median, gas, lost="")
        return Measured(
            k=k,
            rows=rows,
            prove_us=median,
            peak_bytes=cast(int, proofs["peak_bytes"]),
            key_bytes=keys.bytes,
            verify_gas=gas,
            deploy_gas=cast(int, trial["deploy_gas"]),
            verifier_bytes=cast(int, verifier["bytes"]),
            spoilt=cast(int, trial["spoilt"]),
            candidates=(candidate,),
        )

    def _gather(self, keys: Keys) -> Path:
        """The circuit's files in one folder, under their names."""
        found = {
            "model.onnx": self._folder / "model.onnx",
            "source.onnx": self._folder / "source.onnx",
            "settings.json": self._folder / "compiled" / "settings.json",
            "verifying.key": Path(keys.path("verifying")),
            "Verifier.sol": self._folder / "verifier" / "Verifier.sol",
            "verifier.json": self._folder / "verifier" / "verifier.json",
        }
        folder = self._folder / "files"
        folder.mkdir(exist_ok=True)
        for name, path in found.items():
            (folder / name).unlink(missing_ok=True)
            os.symlink(path, folder / name)
        return folder

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _rows(self, inputs: int) -> list[list[int]]:
        """The given rows with their salt, checked and written once."""
        given = json.loads((self._folder / "given.json").read_bytes())
        if len(given) < CALIBRATION_ROWS:
            raise NotProvable(reason=f"{len(given)} rows are given, at least {CALIBRATION_ROWS} are needed")
        for row in given:
            if len(row) != inputs:
                raise NotProvable(reason=f"a row has {len(row)} words where the model takes {inputs}")
        rows = [[*row, *salt_of(row)] if self._spec.hashed else row for row in given]
        (self._folder / "rows.json").write_text(json.dumps(rows, separators=(",", ":")))
        return rows

    def _proof_values(self, setup: SetupFile, keys: Keys) -> Values:
        return {
            "compiled": keys.path("compiled"),
            "key": keys.path("proving"),
            "verifying_key": keys.path("verifying"),
            "settings": str(self._folder / "compiled" / "settings.json"),
            "srs": str(setup.path),
            "rows": str(self._folder / "rows.json"),
        }

    def _step(self, at: int, call: Callable[[], Values]) -> Values:
        """Run a step once; after a restart its remembered result is taken, since its files were written before it."""
        self._report(STEPS[at], at, len(STEPS))
        path = self._folder / f"step{at}.json"
        if path.exists():
            remembered: Values = json.loads(path.read_bytes())
            return remembered
        values = call()
        aside = path.with_suffix(".part")
        with open(aside, "w") as out:
            json.dump(values, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, path)
        return values


def estimate_model(model: Values, hashed: bool) -> ProofEstimate:
    """From what `inspect` said about a model."""
    layers = [Dense(int(part[0]), int(part[1]), bool(part[2])) for part in cast("list[list[int]]", model["layers"])]
    return static(layers, Layout(cast(int, model["inputs"]), cast(int, model["outputs"]), hashed))


def evenly(count: int, at_most: int) -> list[int]:
    """Indices spread over all rows."""
    if count <= at_most:
        return list(range(count))
    return [at * count // at_most for at in range(at_most)]


def salt_of(row: Sequence[int]) -> list[int]:
    """Salt of a build's own row: its digest, so that a rebuild tries the very same numbers."""
    found = hashlib.sha256(b"prsm/build-salt" + json.dumps(list(row)).encode()).digest()
    parts = [int.from_bytes(found[4 * at : 4 * at + 4], "big") for at in range(SALT_WORDS)]
    return [part % (1 << SALT_BITS) for part in parts]


def corners(inputs: int, bound: int, *, hashed: bool) -> list[list[int]]:
    """Rows at the ends of the allowed range: all low, all high, and signs taken from a digest."""
    rows = [[-bound] * inputs, [bound] * inputs]
    for turn in range(CORNERS - len(rows)):
        bits = hashlib.shake_256(f"prsm/corner {turn}".encode()).digest(inputs)
        rows.append([bound if byte & 1 else -bound for byte in bits])
    largest = [(1 << SALT_BITS) - 1] * SALT_WORDS
    return [[*row, *largest] for row in rows] if hashed else rows
