"""What a proof of a small network costs, from its shape alone.

Fitted at the settings every circuit here is built with first (one inner column, decomposition 256 × 4): rows within a
few per cent of what the prover lays out. Counting costs microseconds, so a model far too large is refused before
anybody has locked money or memory for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prsm_protocol.rules.oracle.context import LIMBS
from prsm_protocol.rules.oracle.instances import SALT_WORDS, Layout

_BASE_ROWS = 172  # context words and range tables of any circuit
_INPUT_ROWS = 17  # decomposition of one input word
_HIDDEN_ROWS = 86  # rescaling and sign of one hidden unit, beside its multiplications
_OUTPUT_ROWS = 98  # the same for one output word
_HASHED_ROWS = 448  # salt and the context passed through
_POSEIDON_ROWS = 41  # one absorbed word, in columns of its own
_BLINDING_ROWS = 8  # rows at a column's end that hide it

_KEY_BYTES_A_ROW = {False: 2_882, True: 8_130}
_GAS = {False: (396_600, 1_191), True: (538_000, 916)}
"""Verification of a proof, and what each instance word adds."""


@dataclass(frozen=True)
class Dense:
    """A layer of `units` weighted sums of `inputs`, followed by ReLU or not."""

    inputs: int
    units: int
    relu: bool = False


@dataclass(frozen=True)
class ProofCost:
    rows: int
    k: int
    words: int
    key_bytes: int
    verify_gas: int


def proof_cost(layers: Sequence[Dense], layout: Layout, *, batch_rows: int = 1) -> ProofCost:
    """Rows, size of key and gas of a proof, without touching the prover."""
    laid_out = _BASE_ROWS + _INPUT_ROWS * layout.inputs
    for at, layer in enumerate(layers):
        overhead = _OUTPUT_ROWS if at == len(layers) - 1 else _HIDDEN_ROWS
        laid_out += batch_rows * layer.units * (layer.inputs + overhead)
    rows = laid_out
    if layout.hashed_input:
        hashing = _POSEIDON_ROWS * (layout.inputs + SALT_WORDS + LIMBS)
        rows = max(laid_out + _HASHED_ROWS + layout.inputs, hashing)
    k = rows_to_k(rows)
    base, a_word = _GAS[layout.hashed_input]
    return ProofCost(
        rows=rows,
        k=k,
        words=layout.words,
        key_bytes=_KEY_BYTES_A_ROW[layout.hashed_input] << k,
        verify_gas=base + a_word * layout.words,
    )


def rows_to_k(rows: int) -> int:
    """The smallest circuit of 2**k rows that holds these rows."""
    return max(6, (rows + _BLINDING_ROWS - 1).bit_length())
