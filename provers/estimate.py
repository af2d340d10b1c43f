"""What a proof will cost here, said before anybody has locked money, time or memory for it.

`static` comes from the model's shape alone, `settings` from the prover's own count, `measured` from proofs of this very
circuit on this machine. A price for money needs `measured`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provers.errors import CircuitTooLarge, NotProvable
from prsm_protocol.rules.oracle.circuits import MAX_WORDS
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.proof_cost import Dense, ProofCost, proof_cost

MEGABYTE = 1_000_000
_SECONDS_A_MEGABYTE = (0.02, 0.07)
"""Of proving key, over the ladder of sizes on two cores."""
_RESIDENT_A_KEY = (1.9, 2.7)
_PROCESS_BYTES = 60 * MEGABYTE
"""Interpreter and proof system before any circuit."""
_SPARE_BYTES = 512 << 20
"""Address space is reserved beyond what becomes resident: thread stacks, arenas, mapped libraries."""
MIN_SECONDS = 20.0
"""A step is never killed sooner: the machine may be busy."""
MEASURED_PROOFS = 5


@dataclass(frozen=True)
class ProofEstimate:
    cost: ProofCost
    seconds: tuple[float, float]
    peak_bytes: tuple[int, int]
    basis: str


@dataclass(frozen=True)
class Machine:
    """What this prover may use."""

    memory_bytes: int
    threads: int
    max_k: int
    max_seconds: float

    @classmethod
    def here(cls, *, max_k: int, max_seconds: float) -> Machine:
        """Three quarters of the memory that is free now, all cores this process may run on."""
        return cls(available_bytes() * 3 // 4, len(os.sched_getaffinity(0)), max_k, max_seconds)


def static(layers: Sequence[Dense], layout: Layout, *, batch_rows: int = 1) -> ProofEstimate:
    return _from_cost(proof_cost(layers, layout, batch_rows=batch_rows), "static")


def from_settings(static_cost: ProofCost, rows: int, k: int) -> ProofEstimate:
    """After the prover has laid the circuit out: its own rows and size."""
    key_bytes = static_cost.key_bytes >> static_cost.k << k
    cost = ProofCost(rows, k, static_cost.words, key_bytes, static_cost.verify_gas)
    return _from_cost(cost, "settings")


def measured(cost: ProofCost, seconds: Sequence[float], peak_bytes: int) -> ProofEstimate:
    """From proofs of this circuit here: the range is half to twice what was seen, since other work comes and goes."""
    ordered = sorted(seconds)
    low, high = ordered[0], ordered[-1]
    return ProofEstimate(cost, (low / 2, high * 2), (peak_bytes, peak_bytes * 3 // 2), "measured")


def check(estimate: ProofEstimate, machine: Machine) -> None:
    """Refuse with numbers what does not fit, at the favourable end of the range: a refusal must be right."""
    if estimate.cost.words > MAX_WORDS:
        raise NotProvable(reason=f"{estimate.cost.words} instance words, a proof carries {MAX_WORDS}; hash the input")
    too_big = estimate.cost.k > machine.max_k or estimate.peak_bytes[0] > machine.memory_bytes
    if too_big or estimate.seconds[0] > machine.max_seconds:
        raise CircuitTooLarge(
            needed_bytes=estimate.peak_bytes[0],
            available_bytes=machine.memory_bytes,
            needed_seconds=round(estimate.seconds[0]),
            limit_seconds=round(machine.max_seconds),
            basis=f"{estimate.basis}, 2^{estimate.cost.k} rows of at most 2^{machine.max_k}",
        )


def address_space(estimate: ProofEstimate) -> int:
    """The limit a worker sets itself: half as much again as the prediction, and what is reserved without being used."""
    return estimate.peak_bytes[1] * 3 // 2 + _SPARE_BYTES


def available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 1 << 30


def _from_cost(cost: ProofCost, basis: str) -> ProofEstimate:
    megabytes = cost.key_bytes / MEGABYTE
    return ProofEstimate(
        cost=cost,
        seconds=(_SECONDS_A_MEGABYTE[0] * megabytes, 0.5 + _SECONDS_A_MEGABYTE[1] * megabytes),
        peak_bytes=(
            _PROCESS_BYTES + int(_RESIDENT_A_KEY[0] * cost.key_bytes),
            _PROCESS_BYTES + int(_RESIDENT_A_KEY[1] * cost.key_bytes),
        ),
        basis=basis,
    )
