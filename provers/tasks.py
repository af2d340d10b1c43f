"""What a worker can do: one function a step, files in its folder, values in and out as JSON.

The only module that touches the proof system. Each function is called once in a fresh process; libraries are loaded by
the step that needs them, since loading takes longer than some steps.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from provers.errors import (
    FileDamaged,
    NotProvable,
    OutputDrift,
    ProofInvalid,
    ProverVersionOther,
    RendererFailed,
    Unprovable,
    WorkerFault,
)
from prsm_protocol.rules.oracle.circuit_hash import circuit_hash
from prsm_protocol.rules.oracle.context import limbs
from prsm_protocol.rules.oracle.instances import (
    Layout,
    check_salt,
    context_hash,
    from_word,
    instances,
    to_word,
    words_hash,
)
from prsm_protocol.rules.poseidon import FIELD_ORDER

Values = dict[str, object]
EZKL_VERSION = "23.0.5"
"""The version whose files and proofs these circuits are; another one is refused, not tried."""
_COMPILER_TEXT = "svm error"
"""The renderer writes the source and then fails to fetch a compiler: this error, and no other, is expected."""


def felt(word: int) -> str:
    """A field word as the prover's files hold it: 32 bytes, least significant first."""
    return word.to_bytes(32, "little").hex()


def unfelt(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "little")


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ── a model becomes a circuit ────────────────────────────────────────────────────────────────────────────────────────


def inspect(folder: Path, values: Values) -> Values:
    """Read a model; with `hashed` given also wrap it, and a second one that differs in a weight."""
    from provers import model

    source = model.read(Path(_text(values, "model")))
    if "hashed" in values:
        wrapped = model.wrap(source, hashed=bool(values["hashed"]))
        _save(folder / "model.onnx", wrapped.SerializeToString())
        _save(folder / "other.onnx", model.other(wrapped).SerializeToString())
    return {
        "inputs": source.inputs,
        "outputs": source.outputs,
        "layers": [[layer.inputs, layer.units, layer.relu] for layer in source.layers],
    }


def compile_circuit(folder: Path, values: Values) -> Values:
    """Settings, calibration on the given rows, and the compiled circuit."""
    ezkl = _prover()
    bits, model = _number(values, "bits"), _text(values, "model")
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility = "hashed" if values["hashed"] else "public"
    arguments.output_visibility, arguments.param_visibility = "public", "fixed"
    arguments.input_scale = arguments.param_scale = bits
    arguments.num_inner_cols = _number(values, "columns")
    arguments.decomp_base, arguments.decomp_legs = _number(values, "base"), _number(values, "legs")
    arguments.disable_freivalds = True  # a newer shortcut that no audit has covered
    path = folder / "settings.json"
    ezkl.gen_settings(model, str(path), py_run_args=arguments)
    if (rows := json.loads(path.read_bytes())["num_rows"]) > (1 << _number(values, "max_k")):
        raise NotProvable(reason=f"{rows} rows are more than 2^{values['max_k']}")
    _inputs(folder / "calibration.json", values, _rows(values))
    ezkl.calibrate_settings(
        str(folder / "calibration.json"),
        model,
        str(path),
        target="resources",
        lookup_safety_margin=2,
        scales=[bits],
        scale_rebase_multiplier=[1],
        max_logrows=_number(values, "max_k"),
    )
    settings = json.loads(path.read_bytes())
    # C1: the same model and rows give the same file, hence the same keys. The prover writes the time, and its tables in
    # the order of a hash set, which changes from run to run and would change the verifying key with it.
    for tables in ("required_lookups", "required_range_checks"):
        settings[tables].sort(key=json.dumps)
    settings["timestamp"] = 0
    _save(path, (json.dumps(settings, sort_keys=True, separators=(",", ":")) + "\n").encode())
    ezkl.compile_circuit(model, str(folder / "circuit.compiled"), str(path))
    return {
        "k": settings["run_args"]["logrows"],
        "rows": settings["num_rows"],
        "output_bits": settings["model_output_scales"][0],
        "settings": digest(path),
    }


def recompile(folder: Path, values: Values) -> Values:
    """The compiled circuit of a model whose settings are known: it never travels, since it differs from run to run."""
    path = folder / "circuit.compiled"
    _prover().compile_circuit(_text(values, "model"), str(path), _text(values, "settings"))
    return {"compiled": digest(path)}


def agree(folder: Path, values: Values) -> Values:
    """Run rows through circuit and model: how many have a witness, how many labels agree, how far words are apart."""
    ezkl = _prover()

    rows = _rows(values)
    floating = _floats(values, rows)
    agreed, largest, ratio, failed = 0, 0.0, 0.0, 0
    unit = 1 << _number(values, "output_bits")
    for row, wanted in zip(rows, floating, strict=True):
        _inputs(folder / "row.json", values, [row])
        try:
            witness = ezkl.gen_witness(str(folder / "row.json"), _text(values, "compiled"))
        except RuntimeError:
            failed += 1
            continue
        found = [from_word(unfelt(word)) / unit for word in witness["outputs"][0]]
        error = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
        agreed += _label(found, values) == _label(wanted, values)
        largest = max(largest, error)
        ratio = max(ratio, error / _magnitude(row, values))
    return {"rows": len(rows), "failed": failed, "agreed": agreed, "largest": largest, "ratio": ratio}


def setup(folder: Path, values: Values) -> Values:
    """Verifying and proving key; the same for everybody who has circuit and set-up file."""
    ezkl = _prover()
    if "model" in values:  # as a stranger would: from the model and its settings, not from our compiled file
        recompile(folder, values)
    ezkl.setup(
        str(folder / "circuit.compiled") if "model" in values else _text(values, "compiled"),
        str(folder / "verifying.key"),
        str(folder / "proving.key"),
        _text(values, "srs"),
        disable_selector_compression=False,
    )
    return {name: digest(folder / f"{name}.key") for name in ("verifying", "proving")}


def make_srs(folder: Path, values: Values) -> Values:
    """A set-up file made by this machine alone, hence good for development only."""
    ezkl = _prover()

    ezkl.gen_srs(str(folder / "made.srs"), _number(values, "k"))
    return {"digest": digest(folder / "made.srs")}


# ── a proof ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def witness(folder: Path, values: Values) -> Values:
    """Everything inside the circuit for one input. One that overflows it cannot be proved, and nobody is to blame."""
    ezkl = _prover()
    row, salt = _numbers(values, "row"), _numbers(values, "salt")
    write_input(folder / "input.json", row, salt, bytes.fromhex(_text(values, "context")))
    try:
        found = ezkl.gen_witness(str(folder / "input.json"), _text(values, "compiled"), str(folder / "witness.json"))
    except RuntimeError as error:
        raise Unprovable(reason=str(error)[:200]) from None
    return {"outputs": [str(unfelt(word)) for word in found["outputs"][0]], "digest": digest(folder / "witness.json")}


def prove(folder: Path, values: Values) -> Values:
    """One proof. Keys are compared first: with a foreign one the prover never ends."""
    ezkl = _prover()

    for name in ("key", "srs", "compiled"):
        expect(Path(_text(values, name)), _text(values, f"{name}_digest"))
    started = time.monotonic()
    ezkl.prove(
        str(folder / "witness.json"),
        _text(values, "compiled"),
        _text(values, "key"),
        str(folder / "proof.json"),
        _text(values, "srs"),
    )
    return {"digest": digest(folder / "proof.json"), "prove_us": int((time.monotonic() - started) * 1e6)}


def check(folder: Path, values: Values) -> Values:
    """A proof leaves only if it verifies, carries the words of its request, and says what the model says.

    The prover makes a proof of a tampered witness without complaint, so nothing that it did before is believed.
    """
    ezkl = _prover()

    path = Path(_text(values, "proof"))
    layout = Layout(_number(values, "inputs"), _number(values, "outputs"), bool(values["hashed"]))
    row, salt, context = _numbers(values, "row"), _numbers(values, "salt"), bytes.fromhex(_text(values, "context"))
    proof, words = read_proof(path)
    outputs = words[2 : 2 + layout.outputs] if layout.hashed_input else words[len(words) - layout.outputs :]
    inputs = [context_hash(context)] if layout.hashed_input else [to_word(number, at) for at, number in enumerate(row)]
    hash_word = circuit_hash([*row, *check_salt(salt)]) if layout.hashed_input else 0
    if instances(layout, context, inputs, outputs, hash_word=hash_word) != words:
        raise ProofInvalid(reason="its words are not those of the request")
    try:
        accepted = ezkl.verify(
            str(path), _text(values, "settings"), _text(values, "verifying_key"), _text(values, "srs")
        )
    except RuntimeError:
        accepted = False
    if not accepted:
        raise ProofInvalid(reason="the verifier refuses it")
    wanted = _floats(values, [row + salt])[0]
    allowed = _number(values, "allowed_ppm") / 1e6 * _magnitude(row, values)
    for at, (word, floating) in enumerate(zip(outputs, wanted, strict=True)):
        fixed = from_word(word) / (1 << _number(values, "output_bits"))
        if abs(fixed - floating) > allowed:
            raise OutputDrift(index=at, fixed=fixed, floating=round(floating, 6), allowed=round(allowed, 6))
    return {
        "proof": proof.hex(),
        "inputs": [str(word) for word in inputs],
        "outputs": [str(word) for word in outputs],
        "input_hash": (hash_word.to_bytes(32, "big") if layout.hashed_input else words_hash(inputs)).hex(),
        "output_hash": words_hash(outputs).hex(),
    }


def verify(folder: Path, values: Values) -> Values:
    """Whether a proof from anywhere is one of this circuit for these words."""
    words = [int(text) for text in cast("list[str]", values["words"])]
    if any(word >= FIELD_ORDER for word in words):
        return {"valid": False, "reason": "a word is not below the field's order"}
    proof = bytes.fromhex(_text(values, "proof"))
    document = {
        "protocol": None,
        "instances": [[felt(word) for word in words]],
        "proof": list(proof),
        "hex_proof": "0x" + proof.hex(),
        "split": None,
        "pretty_public_inputs": None,
        "timestamp": None,
        "version": EZKL_VERSION,
    }
    path = folder / "given.json"
    _save(path, json.dumps(document).encode())
    try:
        valid = _prover().verify(
            str(path), _text(values, "settings"), _text(values, "verifying_key"), _text(values, "srs")
        )
    except RuntimeError as error:
        return {"valid": False, "reason": str(error)[:200]}
    return {"valid": bool(valid), "reason": "" if valid else "the verifier refuses it"}


def prove_rows(folder: Path, values: Values) -> Values:
    """Proofs of a new circuit for its trial, one after another; seconds of each."""
    ezkl = _prover()

    seconds: list[int] = []
    for at, row in enumerate(_rows(values)):
        _inputs(folder / "row.json", values, [row])
        started = time.monotonic()
        ezkl.gen_witness(str(folder / "row.json"), _text(values, "compiled"), str(folder / "row.witness"))
        ezkl.prove(
            str(folder / "row.witness"),
            _text(values, "compiled"),
            _text(values, "key"),
            str(folder / f"proof-{at}.json"),
            _text(values, "srs"),
        )
        seconds.append(int((time.monotonic() - started) * 1e6))
        ezkl.verify(
            str(folder / f"proof-{at}.json"),
            _text(values, "settings"),
            _text(values, "verifying_key"),
            _text(values, "srs"),
        )
    return {"prove_us": seconds}


# ── a verifier contract ──────────────────────────────────────────────────────────────────────────────────────────────


def render(folder: Path, values: Values) -> Values:
    """The verifier's source. The renderer then looks for a compiler, which it cannot reach and does not need."""
    import asyncio

    ezkl = _prover()
    path = folder / "Verifier.sol"

    async def write() -> str:
        try:
            await ezkl.create_evm_verifier(
                _text(values, "verifying_key"),
                _text(values, "settings"),
                str(path),
                str(folder / "Verifier.abi"),
                _text(values, "srs"),
                reusable=False,  # the other kind lets strangers register keys
            )
        except RuntimeError as error:
            return str(error)
        return ""

    text = asyncio.run(write())
    if text and _COMPILER_TEXT not in text:
        raise RendererFailed(reason=text[:500])
    source = path.read_text() if path.exists() else ""
    if source.count("contract Halo2Verifier {") != 1 or not source.rstrip().endswith("}"):
        raise RendererFailed(reason="the source is incomplete")
    _save(path, source.replace("contract Halo2Verifier {", f"contract {_text(values, 'name')} {{").encode())
    return {"digest": digest(path)}


def compile_verifier(folder: Path, values: Values) -> Values:
    from provers import solidity

    return solidity.compile_source(folder, Path(_text(values, "source")), _text(values, "name"))


def try_verifier(folder: Path, values: Values) -> Values:
    from provers import evm

    proofs = [read_proof(Path(path)) for path in cast("list[str]", values["proofs"])]
    foreign = read_proof(Path(_text(values, "foreign")))
    with evm.development_chain(folder) as chain:
        verifier = evm.Verifier(chain, _text(values, "bytecode"))
        if verifier.code_hash.hex() != _text(values, "code_hash"):
            raise RendererFailed(reason="the deployed code is not the compiled one")
        return evm.trial(verifier, proofs, foreign)


# ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def read_proof(path: Path) -> tuple[bytes, list[int]]:
    """Proof bytes and instance words of the prover's file."""
    document = json.loads(path.read_bytes())
    return bytes.fromhex(document["hex_proof"].removeprefix("0x")), [unfelt(word) for word in document["instances"][0]]


def write_input(path: Path, row: Sequence[int], salt: Sequence[int], context: bytes) -> None:
    """One input as the prover reads it: field elements, so that no float is ever rounded on the way."""
    words = [to_word(number, at) for at, number in enumerate([*row, *salt])]
    _save(
        path, json.dumps({"input_data": [[felt(word) for word in words], [felt(w) for w in limbs(context)]]}).encode()
    )


def expect(path: Path, wanted: str) -> None:
    found = digest(path) if path.exists() else "none"
    if found != wanted:
        raise FileDamaged(file=path.name, found=found, expected=wanted)


def _inputs(path: Path, values: Values, rows: Sequence[Sequence[int]]) -> None:
    """Rows of a build: they carry their salt, and one context made from the row, so that its words differ too."""
    tensors: tuple[list[str], list[str]] = ([], [])
    for row in rows:
        tensors[0].extend(felt(number % FIELD_ORDER) for number in row)
        context = hashlib.sha256(json.dumps(list(row)).encode()).digest()
        tensors[1].extend(felt(word) for word in limbs(context))
    _save(path, json.dumps({"input_data": tensors}).encode())


def _floats(values: Values, rows: Sequence[Sequence[int]]) -> list[list[float]]:
    """What the wrapped model says in floats about rows of words (salt included)."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(_text(values, "model"), options, providers=["CPUExecutionProvider"])
    name, context = session.get_inputs()[0].name, np.zeros((1, len(limbs(bytes(32)))), np.int64)
    scale = float(1 << _number(values, "bits"))
    found: list[list[float]] = []
    for row in rows:
        x = (np.array([row], np.float64) / scale).astype(np.float32)
        found.append([float(y) for y in session.run(None, {name: x, "context": context})[0][0]])
    return found


def _magnitude(row: Sequence[int], values: Values) -> float:
    """One plus the largest feature: quantised weights err in proportion to what they multiply."""
    width = _number(values, "inputs")
    return 1.0 + max(abs(number) for number in row[:width]) / (1 << _number(values, "bits"))


def _label(outputs: Sequence[float], values: Values) -> int:
    kind = _text(values, "labels_from")
    if kind == "sign":
        return int(outputs[0] > 0)
    if kind == "argmax":
        return max(range(len(outputs)), key=lambda at: (outputs[at], -at))
    return 0  # a value has no label: its error is what counts


def _prover() -> Any:
    """The proof system, in the one version whose files these are. Its stubs name other parameters than it takes."""
    module = importlib.import_module("ezkl")
    if (installed := module.__version__) != EZKL_VERSION:
        raise ProverVersionOther(circuit=EZKL_VERSION, installed=installed)
    return module


def _save(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)


def _text(values: Values, name: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise WorkerFault(task=name, exit=4, reason="text expected")
    return value


def _number(values: Values, name: str) -> int:
    value = values[name]
    if not isinstance(value, int):
        raise WorkerFault(task=name, exit=4, reason="number expected")
    return value


def _numbers(values: Values, name: str) -> list[int]:
    return [int(item) for item in cast("list[str | int]", values[name])]


def _rows(values: Values) -> list[list[int]]:
    """Rows of a build, from a file: they may be many."""
    rows = json.loads(Path(_text(values, "rows")).read_bytes())
    chosen = values.get("take")
    return [rows[at] for at in cast("list[int]", chosen)] if chosen is not None else rows


TASKS: dict[str, Callable[[Path, Values], Values]] = {
    "inspect": inspect,
    "compile": compile_circuit,
    "recompile": recompile,
    "agree": agree,
    "setup": setup,
    "make_srs": make_srs,
    "witness": witness,
    "prove": prove,
    "check": check,
    "verify": verify,
    "prove_rows": prove_rows,
    "render": render,
    "compile_verifier": compile_verifier,
    "try_verifier": try_verifier,
}
