"""Ask the teacher: rows go out in batches, answers come back with receipts, every answer is paid by the row.

The port `Teacher` is what a node's metered route looks like from here; a teacher that answers one row twice differently is
refused, since nothing can be learned from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from prsm_protocol.distillation.request import Dataset
from prsm_protocol.errors import DistillationError
from prsm_protocol.rules.rows import Part
from prsm_protocol.types import Progress

BATCH = 32
"""Rows a request: at a thousandth of an FTNS a row it stays inside a node's smallest credit window of 0.05 FTNS."""
PROBES = 8
MIN_AGREEMENT_PPM = 800_000


class TeacherUnreliable(DistillationError):
    text = (
        "the teacher agreed with itself on {agreement_ppm} of a million repeated rows; at least {needed_ppm} are needed"
    )


class Teacher(Protocol):
    def ask(self, part: str, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Output words of these rows; `part` names the batch, so that a repeated call is not paid twice."""
        ...


def extract(data: Dataset, teacher: Teacher, report: Callable[[Progress], None]) -> dict[int, list[int]]:
    """The teacher's words for every row but the held-out ones' truth is never used to train; held-out answers only score it."""
    rows = data.rows_of(Part.TRAIN, Part.VALIDATION, Part.HELD_OUT)
    answers: dict[int, list[int]] = {}
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        for row, words in zip(batch, teacher.ask(f"rows-{start}", [data.words[row] for row in batch]), strict=True):
            answers[row] = words
        report(Progress("teacher's answers", min(start + BATCH, len(rows)), len(rows), "rows"))
    probes = rows[:: max(1, len(rows) // PROBES)][:PROBES]
    again = teacher.ask("probes", [data.words[row] for row in probes])
    same = sum(answers[row] == words for row, words in zip(probes, again, strict=True))
    agreement = same * 1_000_000 // len(probes)
    if agreement < MIN_AGREEMENT_PPM:
        raise TeacherUnreliable(agreement_ppm=agreement, needed_ppm=MIN_AGREEMENT_PPM)
    return answers


def as_tensor(data: Dataset, answers: dict[int, list[int]]) -> Tensor:
    """Teacher's outputs [rows, outputs] as floats, in the order of the table."""
    words = [answers[row] for row in range(len(data.words))]
    return torch.tensor(words, dtype=torch.float32) / (1 << data.bits)
