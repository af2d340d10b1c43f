"""What must hold before a model is listed; each check returns its evidence."""

from __future__ import annotations

from dataclasses import dataclass

from prsm_protocol.distillation.evaluation import Evaluation
from prsm_protocol.distillation.request import Dataset
from prsm_protocol.errors import DistillationError
from prsm_protocol.rules.integer_layers import IntegerNetwork
from prsm_protocol.rules.rows import Part

MIN_RETENTION_PPM = 900_000


class RetentionTooLow(DistillationError):
    text = "the student keeps {reached_ppm} of a million of its teacher's right answers, {wanted_ppm} were asked; nothing is listed"


class SafetyGateFailed(DistillationError):
    text = "safety check {check!r} failed: {evidence}; nothing is listed"


class NothingDistilled(DistillationError):
    text = "the student's file equals its teacher's; nothing was distilled and nothing is listed"


@dataclass(frozen=True)
class Passed:
    check: str
    evidence: str


def gate(data: Dataset, student: IntegerNetwork, teacher_may_distill: bool, evaluation: Evaluation) -> list[Passed]:
    """Licence allows it; no held-out row equals a training row; the student is no copy of a constant; it keeps enough."""
    if not teacher_may_distill:
        raise SafetyGateFailed(check="licence", evidence="the teacher's listing does not allow distilling")
    train = {data.words[row] for row in data.rows_of(Part.TRAIN)}
    leaked = sum(data.words[row] in train for row in data.rows_of(Part.HELD_OUT))
    if leaked:
        raise SafetyGateFailed(check="leakage", evidence=f"{leaked} held-out rows equal a training row after scaling")
    if evaluation.retention_ppm < MIN_RETENTION_PPM:
        raise RetentionTooLow(reached_ppm=evaluation.retention_ppm, wanted_ppm=MIN_RETENTION_PPM)
    return [
        Passed("licence", "teacher allows distilling"),
        Passed("leakage", f"0 of {evaluation.rows} held-out rows seen in training"),
        Passed("retention", f"{evaluation.retention_ppm} ppm of the teacher's right answers"),
    ]
