"""`prsm prove` and `prsm verify-proof`: one inference of a circuit, proved and checked, without any money.

A proof file may be given away. Of a hashed circuit it shows neither row nor salt; those go into a file of their own, readable by
its owner alone, and open the hash to whoever gets it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prsm_protocol.cli.circuit import Circuit, prover_of_world, read_rows
from prsm_protocol.cli.common import Ended, Json, app, err, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.distillation.circuit import Prover

DEADLINE_SECONDS = 300
NO_CONTEXT = "0x" + "00" * 32


class ContextInvalid(UsageError):
    text = "--context {value!r} is none; it has 32 bytes in hexadecimal"


class RowMissing(UsageError):
    text = "{path} has {rows} rows; --row counts from 1"


class ProofFileInvalid(UsageError):
    exit_code = 1
    text = "{path} is no proof file ({reason}); `prsm prove` writes one"


class ProofFileExists(UsageError):
    exit_code = 1
    text = "{path} exists and is never overwritten; name another place with -o"


@app.command()
def prove(
    circuit: Circuit,
    input_: Annotated[Path, typer.Option("--input", help="CSV with a header: the row as the model takes it")],
    row: Annotated[int, typer.Option(min=1, help="which row of the file")] = 1,
    context: Annotated[
        str, typer.Option(metavar="HEX", help="32 bytes that the proof is bound to; default: bound to nothing")
    ] = NO_CONTEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="where to; default: proof-<id>.json")] = None,
    as_json: Json = False,
) -> None:
    """Prove that a circuit gives these outputs for this row."""
    from prsm_protocol.rules.oracle.instances import SALT_BITS, SALT_WORDS, from_word

    with reporting(as_json):
        bound = _context(context)
        _, prover = prover_of_world()
        found = prover.circuit(circuit)
        rows = read_rows(input_, int(found["bits"]))
        if row > len(rows):
            raise RowMissing(path=input_, rows=len(rows))
        hashed = found["input_visibility"] == "hashed"
        salt = [secrets.randbelow(1 << SALT_BITS) for _ in range(SALT_WORDS)] if hashed else None
        job = prover.prove(str(found["manifest"]), bound, rows[row - 1], salt, deadline=time.time() + DEADLINE_SECONDS,
                           key=secrets.token_hex(16), report=lambda text: err.print(f"  {text}", style="dim"))  # fmt: skip
        path = output or Path(f"proof-{job['id'][:12]}.json")
        if path.exists():
            raise ProofFileExists(path=path)
        shown = {
            "circuit": found["manifest"],
            "context": "0x" + bound.hex(),
            "input_hash": job["input_hash"],
            "inputs": job["inputs"],
            "outputs": job["outputs"],
            "proof": job["proof"],
        }
        path.write_text(json.dumps(shown, indent=1))
        opening = None
        if salt is not None:
            opening = path.with_name(path.stem + ".opening.json")
            private = {"x": [str(word) for word in rows[row - 1]], "salt": [str(word) for word in salt]}
            with os.fdopen(os.open(opening, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(private, file)
        scale = 1 << int(found["manifest_fields"]["output_bits"])
        values = [from_word(int(word)) / scale for word in job["outputs"]]
        if as_json:
            print_json({**shown, "seconds": job["seconds"], "peak_bytes": job["peak_bytes"], "values": values,
                        "path": str(path), "opening": None if opening is None else str(opening)})  # fmt: skip
            return
        size = (len(job["proof"]) - 2) // 2
        out.print(f"proved in {job['seconds']:.2f} s: outputs {', '.join(f'{value:g}' for value in values)}")
        out.print(f"  proof    {path} ({size:,} bytes)", markup=False)
        if opening is not None:
            out.print(f"  opening  {opening}: the row and its salt; keep it to yourself", markup=False)
        out.print(f"check: prsm verify-proof {found['name']} --proof {path}", markup=False)


@app.command("verify-proof")
def verify_proof(
    circuit: Circuit,
    proof: Annotated[Path, typer.Option("--proof", help="a file of `prsm prove`")],
    context: Annotated[
        str | None, typer.Option(metavar="HEX", help="32 bytes that it must be bound to; default: those it names")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a proof with the circuit's own key, and that its words are the ones it names. Exit 1 when it is not valid."""
    with reporting(as_json):
        document = _proof_file(proof)
        bound = _context(document["context"] if context is None else context)
        _, prover = prover_of_world()
        found = prover.circuit(circuit)
        reason = _refusal(prover, found, document, bound)
        if as_json:
            print_json(
                {
                    "valid": not reason,
                    "reason": reason or None,
                    "circuit": found["manifest"],
                    "outputs": document["outputs"],
                }
            )
        else:
            out.print("valid" if not reason else f"NOT VALID: {reason}", markup=False)
        if reason:
            raise Ended(1)


def _refusal(prover: Prover, found: dict[str, Any], document: dict[str, Any], context: bytes) -> str:
    """Why the proof is not valid, or nothing."""
    try:
        words = _words(found, document, context)
    except UsageError as refused:
        return str(refused)
    answer = prover.verify(str(found["manifest"]), str(document["proof"]), [str(word) for word in words])
    return "" if answer["valid"] else str(answer["reason"] or "the verifier refuses it")


def _context(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ContextInvalid(value=text[:80])
    return raw


def _proof_file(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise ProofFileInvalid(path=path, reason=(error.strerror or str(error)).lower()) from None
    except ValueError:
        raise ProofFileInvalid(path=path, reason="it is not JSON") from None
    if not isinstance(document, dict) or not all(_is_good(name, document.get(name)) for name in _FIELDS):
        raise ProofFileInvalid(path=path, reason=f"one of {', '.join(_FIELDS)} is missing or malformed")
    return document


_FIELDS = ("circuit", "context", "input_hash", "inputs", "outputs", "proof")


def _is_good(name: str, value: object) -> bool:
    if name in ("inputs", "outputs"):
        return isinstance(value, list) and all(isinstance(word, str) and word.isdecimal() for word in value)
    if name == "circuit":
        return isinstance(value, str)
    return isinstance(value, str) and re.fullmatch(r"0x([0-9a-fA-F]{2})+", value) is not None


def _words(found: dict[str, Any], document: dict[str, Any], context: bytes) -> list[int]:
    """The instance words as the hub builds them: from what the file names, so a proof of anything else is refused."""
    from prsm_protocol.rules.oracle.instances import Layout, instances

    layout = Layout(int(found["inputs"]), int(found["outputs"]), found["input_visibility"] == "hashed")
    inputs, outputs = ([int(word) for word in document[name]] for name in ("inputs", "outputs"))
    return instances(layout, context, inputs, outputs, hash_word=int(document["input_hash"], 16))
