"""How good a model is, on rows that nothing was trained or chosen on; intervals by exact counting, no judge but labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from prsm_protocol.distillation.request import Dataset
from prsm_protocol.rules.integer_layers import IntegerNetwork, run
from prsm_protocol.rules.rows import Part


@dataclass(frozen=True)
class Score:
    right: int
    total: int

    @property
    def ppm(self) -> int:
        return self.right * 1_000_000 // self.total if self.total else 0

    def interval_ppm(self) -> tuple[int, int]:
        """Wilson's 95 % interval."""
        if not self.total:
            return 0, 1_000_000
        z, n, p = 1.96, self.total, self.right / self.total
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return int(max(0.0, middle - half) * 1e6), int(min(1.0, middle + half) * 1e6)


@dataclass(frozen=True)
class Evaluation:
    """`teacher` and `student` on the same held-out rows; for numbers right means within half a spread of the truth."""

    teacher: Score
    student: Score
    rows: int

    @property
    def retention_ppm(self) -> int:
        return self.student.right * 1_000_000 // self.teacher.right if self.teacher.right else 0


def label_of(outputs: int, words: Sequence[int]) -> int:
    """Class index: sign of one word, else the first of the largest."""
    return int(words[0] > 0) if outputs == 1 else max(range(len(words)), key=lambda index: words[index])


def is_right(data: Dataset, row: int, words: Sequence[int]) -> bool:
    if data.is_classifier:
        return label_of(data.outputs, words) == data.targets[row]
    return abs(words[0] - data.targets[row]) <= 1 << (data.bits - 1)


def score(data: Dataset, network: IntegerNetwork, *parts: Part) -> Score:
    """Right answers of the network, as integers compute them."""
    rows = data.rows_of(*parts)
    return Score(sum(is_right(data, row, run(network, data.words[row])) for row in rows), len(rows))


def score_answers(data: Dataset, answers: Mapping[int, Sequence[int]], *parts: Part) -> Score:
    """Right answers among words that somebody else computed (a teacher asked over HTTP)."""
    rows = [row for row in data.rows_of(*parts) if row in answers]
    return Score(sum(is_right(data, row, answers[row]) for row in rows), len(rows))
