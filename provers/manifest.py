"""What a circuit is: the description whose digest names it off chain and in VerifierRouter's announcement.

Holds digests of everything a stranger needs to rebuild the verifier and compare it byte for byte. Not in it: the
compiled circuit and the proving key, which differ or can be made again, and anything that was timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import cast

from provers.errors import ManifestInvalid
from prsm_protocol.errors import PrsmError
from prsm_protocol.rules.oracle.circuits import circuit_id
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, RAW, Cid

_VERSION, _KIND = 1, "circuit"
LABELS = ("sign", "argmax", "value")


@dataclass(frozen=True)
class Manifest:
    """Digests are SHA-256, except `code_hash` (keccak of the verifier's deployed code)."""

    model: bytes  # the wrapped ONNX model
    source: bytes  # the model as it was given
    settings: bytes
    verifying_key: bytes
    verifier_source: bytes
    code_hash: bytes
    compiler: str
    setup: Setup
    setup_k: int
    setup_file: bytes
    setup_g2: bytes
    ezkl: str
    inputs: int
    outputs: int
    hashed_input: bool
    batch_rows: int
    salt_words: int
    bits: int  # scale of the input words
    output_bits: int
    low: int  # allowed input words
    high: int
    labels_from: str
    rows: bytes  # digest of the rows that were tried
    rows_tried: int
    agreement_ppm: int
    largest_error_ppm: int
    allowed_error_ppm: int  # times one plus the largest feature: beyond it a proof is not let out

    @property
    def layout(self) -> Layout:
        return Layout(self.inputs, self.outputs, self.hashed_input)

    @property
    def visibility(self) -> str:
        return "hashed" if self.hashed_input else "public"

    def encode(self) -> bytes:
        document: dict[str, object] = {"v": _VERSION, "kind": _KIND}
        for field in fields(self):
            value = getattr(self, field.name)
            document[field.name] = int(value) if isinstance(value, Setup) else value
        return dag_cbor.encode(document)

    @property
    def cid(self) -> Cid:
        return Cid.of(self.encode(), DAG_CBOR)

    @property
    def circuit_id(self) -> bytes:
        """The id that VerifierRouter derives when this circuit is announced."""
        return circuit_id(self.cid.digest, self.code_hash, self.layout, self.setup)

    @property
    def key(self) -> Cid:
        return Cid(RAW, self.verifying_key)


def decode(data: bytes) -> Manifest:
    """Strict: every field with its type, no other field."""
    try:
        document = dag_cbor.decode(data)
    except PrsmError as error:
        raise ManifestInvalid(field="block") from error
    if not isinstance(document, dict) or document.pop("v", None) != _VERSION or document.pop("kind", None) != _KIND:
        raise ManifestInvalid(field="kind")
    names = [field.name for field in fields(Manifest)]
    if odd := sorted(set(document) ^ set(names)):
        raise ManifestInvalid(field=odd[0])
    read: dict[str, object] = {}
    for field in fields(Manifest):
        value, check = document[field.name], _CHECKS[str(field.type)]
        if not check(value):
            raise ManifestInvalid(field=field.name)
        read[field.name] = Setup(cast(int, value)) if field.type == "Setup" else value
    manifest = Manifest(**read)  # type: ignore[arg-type]  # each value was checked against its field's type
    if manifest.labels_from not in LABELS or manifest.inputs < 1 or manifest.outputs < 1:
        raise ManifestInvalid(field="labels_from" if manifest.labels_from not in LABELS else "inputs")
    return manifest


_CHECKS: dict[str, Callable[[object], bool]] = {
    "bytes": lambda value: isinstance(value, bytes) and len(value) == 32,
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "Setup": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2,
}
