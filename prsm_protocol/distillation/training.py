"""Train small networks: one loop for teachers and students, deterministic for a seed on one machine.

BASIC distillation: α·τ²·KL(p_T(τ) ‖ p_S(τ)) + (1-α)·CE, squared errors for numbers (Hinton, Vinyals, Dean 2015).
Randomness is torch's seeded generator; threads are pinned to one so that sums have one order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prsm_protocol.distillation.request import Dataset
from prsm_protocol.errors import DistillationError
from prsm_protocol.rules.integer_layers import IntegerNetwork, Layer
from prsm_protocol.rules.rows import Part

EPOCHS = 400
LEARNING_RATE = 0.01
WEIGHT_DECAY = 1e-3


class TrainingDiverged(DistillationError):
    text = "training reached a loss that is not a number, twice; scale the data or report the seed {seed}"


@dataclass(frozen=True)
class Trained:
    """A float network with the shape of its hidden layers."""

    hidden: tuple[int, ...]
    weights: tuple[Tensor, ...]  # alternating weight [out, in] and bias [out]
    steps: int


def tensors(data: Dataset) -> tuple[Tensor, Tensor]:
    """Inputs [rows, features] as floats of words, targets [rows]."""
    inputs = torch.tensor(data.words, dtype=torch.float32) / (1 << data.bits)
    if data.is_classifier:
        return inputs, torch.tensor(data.targets, dtype=torch.long)
    return inputs, torch.tensor(data.targets, dtype=torch.float32) / (1 << data.bits)


def network(inputs: int, hidden: Sequence[int], outputs: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    width = inputs
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    layers.append(nn.Linear(width, outputs))
    return nn.Sequential(*layers)


def hard_loss(data: Dataset, outputs: Tensor, targets: Tensor) -> Tensor:
    if not data.is_classifier:
        return nn.functional.mse_loss(outputs[:, 0], targets)
    if data.outputs == 1:
        return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets.float())
    return nn.functional.cross_entropy(outputs, targets)


def soft_loss(data: Dataset, outputs: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """τ²·KL between softened distributions; squared error for numbers. Zero when the outputs are equal."""
    if not data.is_classifier:
        return nn.functional.mse_loss(outputs, teacher)
    if data.outputs == 1:  # two classes on one logit: a distribution over (0, logit)
        outputs = torch.cat([torch.zeros_like(outputs), outputs], dim=1)
        teacher = torch.cat([torch.zeros_like(teacher), teacher], dim=1)
    log_student = nn.functional.log_softmax(outputs / temperature, dim=1)
    log_teacher = nn.functional.log_softmax(teacher / temperature, dim=1)
    return temperature**2 * nn.functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def train(
    data: Dataset,
    hidden: Sequence[int],
    *,
    seed: int,
    teacher: Tensor | None = None,
    alpha: float = 0.5,
    temperature: float = 2.0,
    epochs: int = EPOCHS,
) -> Trained:
    """Train on the TRAIN part; with `teacher` (its outputs on all rows) by BASIC distillation, else on labels alone."""
    torch.set_num_threads(1)
    rows = data.rows_of(Part.TRAIN)
    inputs, targets = tensors(data)
    for rate in (LEARNING_RATE, LEARNING_RATE / 3):
        model = network(len(data.features), hidden, data.outputs, seed)
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
        for _ in range(epochs):
            outputs = model(inputs[rows])
            loss = hard_loss(data, outputs, targets[rows])
            if teacher is not None:
                loss = alpha * soft_loss(data, outputs, teacher[rows], temperature) + (1 - alpha) * loss
            if not torch.isfinite(loss):
                break
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        else:
            return Trained(tuple(hidden), tuple(p.detach() for p in model.parameters()), epochs)
    raise TrainingDiverged(seed=seed)


def quantise(trained: Trained, bits: int) -> IntegerNetwork:
    """Weights rounded to multiples of 2**-bits: the float file, the integers and the circuit are then one network."""
    layers = []
    pairs = list(zip(trained.weights[::2], trained.weights[1::2], strict=True))
    for index, (weight, bias) in enumerate(pairs):
        rows = torch.round(weight.double() * (1 << bits)).to(torch.int64).tolist()
        # The bias is rounded at scale 2**bits too, then raised, since a float file holds one scale.
        offsets = [int(b) << bits for b in torch.round(bias.double() * (1 << bits)).to(torch.int64).tolist()]
        layers.append(Layer(tuple(tuple(row) for row in rows), tuple(offsets), relu=index < len(pairs) - 1))
    return IntegerNetwork(bits, tuple(layers))


def digest(network_: IntegerNetwork) -> str:
    """A short name for logs: SHA-256 over the integers."""
    return hashlib.sha256(repr(network_).encode()).hexdigest()
