"""The smallest network within one standard error of the best, inside what may be proved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

from torch import Tensor

from prsm_protocol.distillation.evaluation import score
from prsm_protocol.distillation.request import Dataset
from prsm_protocol.distillation.training import Trained, quantise, train
from prsm_protocol.errors import DistillationError
from prsm_protocol.rules.integer_layers import IntegerNetwork
from prsm_protocol.rules.rows import Part

SHAPES: tuple[tuple[int, ...], ...] = ((8,), (16,), (32,))
"""Hidden layers tried, smallest first. All of them fit the lowest proof step (2**12 rows) for up to 40 inputs."""
MAX_MULTIPLICATIONS = 4096


class NoStudentFits(DistillationError):
    text = "no network of {inputs} inputs and {outputs} outputs fits {limit} multiplications; leave columns out or list it unproved"


@dataclass(frozen=True)
class Found:
    network: IntegerNetwork
    trained: Trained
    tried: tuple[tuple[tuple[int, ...], int], ...]  # shape, right answers on the validation rows


def multiplications(inputs: int, hidden: Sequence[int], outputs: int) -> int:
    widths = [inputs, *hidden, outputs]
    return sum(a * b for a, b in pairwise(widths))


def search(data: Dataset, teacher: Tensor, *, seed: int, on_trial: Callable[[str], None] | None = None) -> Found:
    """Train each shape that fits by BASIC distillation and choose on the validation rows alone."""
    inputs, outputs = len(data.features), data.outputs
    shapes = [shape for shape in SHAPES if multiplications(inputs, shape, outputs) <= MAX_MULTIPLICATIONS]
    if not shapes:
        raise NoStudentFits(inputs=inputs, outputs=outputs, limit=MAX_MULTIPLICATIONS)
    trials: list[tuple[tuple[int, ...], Trained, IntegerNetwork, int, int]] = []
    for shape in shapes:
        trained = train(data, shape, seed=seed, teacher=teacher)
        network = quantise(trained, data.bits)
        result = score(data, network, Part.VALIDATION)
        trials.append((shape, trained, network, result.right, result.total))
        if on_trial is not None:
            on_trial(f"{'-'.join(map(str, (inputs, *shape, outputs)))}: {result.right} of {result.total}")
    best, total = max(trial[3] for trial in trials), max(1, trials[0][4])
    error = sqrt(best / total * (1 - best / total) / total) * total
    chosen = next(trial for trial in trials if trial[3] >= best - error)
    return Found(chosen[2], chosen[1], tuple((trial[0], trial[3]) for trial in trials))
