"""Results in three labelled tiers: proved now, staked for a window, or trusted (AttestationHub)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.rules.oracle.attestation import Attestation
from prsm_protocol.rules.oracle.tiers import Tier
from prsm_protocol.types import Wei


class ResultStatus(IntEnum):
    """Where a result stands; the last four are ends."""

    NONE = 0
    PENDING = 1
    CHALLENGED = 2
    FINAL = 3
    FAULTED = 4
    VOID = 5
    SETTLED = 6


@dataclass(frozen=True)
class ResultState:
    """A result's status, its tier, and when its window ends on the halt-adjusted clock."""

    status: ResultStatus
    tier: Tier
    final_at: int


@dataclass(frozen=True)
class HubLimits:
    """Shortest and longest window in seconds, and the least that a staked result puts at risk."""

    window_min: int
    window_max: int
    at_risk_floor: Wei


class Hub(ContractClient):
    NAME: ClassVar[str] = "AttestationHub"

    def conclude(self, attestation: Attestation) -> Call:
        """Bring a result to its end once time allows."""
        return self._call("conclude", attestation)

    def challenge(self, attestation: Attestation, evidence: bytes) -> Call:
        return self._call("challenge", attestation, evidence)

    def prove_equivocation(self, a: Attestation, signature_a: bytes, b: Attestation, signature_b: bytes) -> Call:
        """Show two signed answers of one operator to one task."""
        return self._call("proveEquivocation", a, signature_a, b, signature_b)

    def status_of(self, task_id: bytes, operator: str) -> ResultState:
        status, tier, final_at = self._numbers("statusOf", task_id, operator)
        return ResultState(ResultStatus(status), Tier(tier), final_at)

    def context_of(self, request: bytes, circuit_id: bytes, operator: str) -> bytes:
        return self._bytes("contextOf", request, circuit_id, operator)

    def limbs_of(self, context: bytes) -> tuple[int, ...]:
        found = self._one("limbsOf", context)
        assert isinstance(found, tuple)
        return found

    def limits(self) -> HubLimits:
        window_min, window_max, floor = self._numbers("limits")
        return HubLimits(window_min, window_max, Wei(floor))
