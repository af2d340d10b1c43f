"""Statistics of a comparison as integers that any language recomputes: exact McNemar test, paired bootstrap, agreement.

Knows rows that were right or wrong and nothing of models. Standard library only; no float, no `random`.

Byte recipes (the standalone verifier carries its own copy of each):

- **Counter stream** of (purpose, key, numbers): block k is SHA-256(purpose ‖ 0x00 ‖ key ‖ n₁ ‖ … ‖ k), every number and the
  counter k as 8 bytes big endian, k from 0. The blocks are read on as 4-byte big-endian words.
- **Below n**: the next word under 2³² − (2³² mod n), modulo n; words at or above that bound are passed over (no bias).
- **Bootstrap draw t** of n rows: n indices below n from the stream of (b"prsm/bootstrap", digest of the table, [t]).
- **Parts per million** of a fraction p/q (q > 0, p of either sign): floor((2·p·10⁶ + q) / (2·q)), which is half up.
- **Interval** at 95 % of D draws: the sorted sums at positions D//40 and D − 1 − D//40.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

DRAWS = 2_000
"""Resampling draws: the 2.5 % tail then holds 50 of them, so its edge moves by less than one row in a hundred."""

MILLION = 1_000_000
_WORDS = 2**32


class CounterStream:
    """Whole numbers from SHA-256 of (purpose, key, numbers, counter); the recipe stands in the module's head."""

    def __init__(self, purpose: bytes, key: bytes, *numbers: int) -> None:
        self._prefix = purpose + b"\0" + key + b"".join(number.to_bytes(8, "big") for number in numbers)
        self._counter = 0
        self._block = b""
        self._at = 0

    def word(self) -> int:
        """The next 32 bits."""
        if self._at == len(self._block):
            self._block = hashlib.sha256(self._prefix + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
            self._at = 0
        self._at += 4
        return int.from_bytes(self._block[self._at - 4 : self._at], "big")

    def below(self, bound: int) -> int:
        """A number in 0 … bound − 1, each equally likely."""
        limit = _WORDS - _WORDS % bound
        while True:
            word = self.word()
            if word < limit:
                return word % bound


def per_million(part: int, whole: int) -> int:
    """`part / whole` in millionths, half rounded up; `whole` is positive."""
    return (2 * part * MILLION + whole) // (2 * whole)


def mcnemar_exact(only_first: int, only_second: int) -> int:
    """Two-sided exact p in millionths that a difference this lopsided arises when both err equally often.

    Only rows on which exactly one of the two was right count; without such rows nothing speaks against equality.
    """
    unequal = only_first + only_second
    tail = sum(comb(unequal, count) for count in range(min(only_first, only_second) + 1))
    return per_million(min(2 * tail, 2**unequal), 2**unequal)


def bootstrap_interval(differences: Sequence[int], table_digest: bytes, draws: int = DRAWS) -> tuple[int, int]:
    """95 % interval, in millionths, of the mean of paired differences (each −1, 0 or 1), by resampling rows."""
    count = len(differences)
    sums = []
    for draw in range(draws):
        stream = CounterStream(b"prsm/bootstrap", table_digest, draw)
        sums.append(sum(differences[stream.below(count)] for _ in range(count)))
    sums.sort()
    edge = draws // 40
    return per_million(sums[edge], count), per_million(sums[draws - 1 - edge], count)


@dataclass(frozen=True)
class Comparison:
    """Two predictors on the same labelled rows. Differences are first minus second."""

    right: tuple[int, int]
    only_first: int
    only_second: int
    mcnemar_p_ppm: int
    difference_ppm: int
    low_ppm: int
    high_ppm: int
    draws: int
    agreement_ppm: int
    verdict: str  # "first", "second" or "no difference shown"


def compare(
    truth: Sequence[str], first: Sequence[str], second: Sequence[str], table_digest: bytes, draws: int = DRAWS
) -> Comparison:
    """Which of two predictors is right more often; a verdict only when the interval excludes zero.

    The three sequences run over the same rows, at least one; `table_digest` is the 32-byte digest of the table's block.
    """
    right_first = [predicted == true for predicted, true in zip(first, truth, strict=True)]
    right_second = [predicted == true for predicted, true in zip(second, truth, strict=True)]
    differences = [int(a) - int(b) for a, b in zip(right_first, right_second, strict=True)]
    low, high = bootstrap_interval(differences, table_digest, draws)
    only_first, only_second = differences.count(1), differences.count(-1)
    return Comparison(
        right=(sum(right_first), sum(right_second)),
        only_first=only_first,
        only_second=only_second,
        mcnemar_p_ppm=mcnemar_exact(only_first, only_second),
        difference_ppm=per_million(sum(differences), len(differences)),
        low_ppm=low,
        high_ppm=high,
        draws=draws,
        agreement_ppm=agreement(first, second),
        verdict="first" if low > 0 else "second" if high < 0 else "no difference shown",
    )


def agreement(first: Sequence[str], second: Sequence[str]) -> int:
    """Share of rows with equal labels, in millionths; needs no truth."""
    return per_million(sum(a == b for a, b in zip(first, second, strict=True)), len(first))
