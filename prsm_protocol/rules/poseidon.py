"""Poseidon over the scalar field of BN254, with the constants of circomlib.

No table of numbers: the constants are derived as the paper's reference does it (Grassi, Khovratovich, Rechberger, Roy,
Schofnegger, "Poseidon: A New Hash Function for Zero-Knowledge Proof Systems", appendix E). A Grain LFSR, seeded with
the instance's own parameters, gives first the round constants and then the points of a Cauchy matrix. Tests compare
with circomlib's published value and with the prover's own hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from prsm_protocol.errors import UsageError

FIELD_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Order of BN254's scalar field: every word of a circuit is below it."""

FULL_ROUNDS = 8
PARTIAL_ROUNDS = {2: 56, 3: 57, 4: 56, 5: 60, 6: 60, 7: 63, 8: 64, 9: 63}
"""By width, as circomlib chose them (security margin included) for 128 bits."""

_FIELD_BITS = 254
_WARM_UP = 160
"""Bits of the LFSR that the paper throws away first."""


class PoseidonWidthUnknown(UsageError):
    text = "Poseidon of width {width} is not used here; known widths are 2 to 9"


@dataclass(frozen=True)
class Parameters:
    width: int
    partial_rounds: int
    constants: tuple[int, ...]
    matrix: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=8)
def parameters(width: int) -> Parameters:
    """Round constants and matrix of one width; the same for everybody, hence derived once a process."""
    if width not in PARTIAL_ROUNDS:
        raise PoseidonWidthUnknown(width=width)
    partial = PARTIAL_ROUNDS[width]
    bits = _grain(width, partial)
    constants: list[int] = []
    while len(constants) < (FULL_ROUNDS + partial) * width:
        number = _take(bits)
        if number < FIELD_ORDER:  # a number out of the field is dropped, so that all are equally likely
            constants.append(number)
    points: list[int] = []
    while len(set(points)) != 2 * width:  # a Cauchy matrix needs different points; drawn again otherwise
        points = [_take(bits) % FIELD_ORDER for _ in range(2 * width)]
    matrix = tuple(
        tuple(pow(points[row] + points[width + column], -1, FIELD_ORDER) for column in range(width))
        for row in range(width)
    )
    return Parameters(width, partial, tuple(constants), matrix)


def permute(state: Sequence[int]) -> list[int]:
    """One permutation: half of the full rounds, the partial rounds, the other half."""
    chosen = parameters(len(state))
    width, constants, matrix = chosen.width, chosen.constants, chosen.matrix
    words = list(state)
    first_partial = FULL_ROUNDS // 2
    for turn in range(FULL_ROUNDS + chosen.partial_rounds):
        words = [(word + constants[turn * width + at]) % FIELD_ORDER for at, word in enumerate(words)]
        if first_partial <= turn < first_partial + chosen.partial_rounds:
            words[0] = pow(words[0], 5, FIELD_ORDER)
        else:
            words = [pow(word, 5, FIELD_ORDER) for word in words]
        words = [sum(m * word for m, word in zip(row, words, strict=True)) % FIELD_ORDER for row in matrix]
    return words


def poseidon(inputs: Sequence[int]) -> int:
    """circomlib's hash of 1 to 8 words: they fill the state behind a zero, and the first word is the answer."""
    return permute([0, *(word % FIELD_ORDER for word in inputs)])[0]


def _grain(width: int, partial: int) -> Iterator[int]:
    """Bits of the self-shrinking Grain LFSR: of each pair, the second counts if the first is one."""
    seed = f"{1:02b}{0:04b}{_FIELD_BITS:012b}{width:012b}{FULL_ROUNDS:010b}{partial:010b}" + "1" * 30
    register = [int(bit) for bit in seed]

    def step() -> int:
        bit = register[62] ^ register[51] ^ register[38] ^ register[23] ^ register[13] ^ register[0]
        del register[0]
        register.append(bit)
        return bit

    for _ in range(_WARM_UP):
        step()
    while True:
        keep, bit = step(), step()
        if keep:
            yield bit


def _take(bits: Iterator[int]) -> int:
    number = 0
    for _ in range(_FIELD_BITS):
        number = number * 2 + next(bits)
    return number
