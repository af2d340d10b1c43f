"""A budget for one question, and the tasks paid out of it (Escrow)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.rules.market.escrow import Assignment, JobStatus, JobTerms, Result
from prsm_protocol.rules.oracle.attestation import NO_PROOF, Proof
from prsm_protocol.rules.oracle.tiers import Tier
from prsm_protocol.types import Wei


class TaskStatus(IntEnum):
    """Where a task stands; the last three are ends."""

    NONE = 0
    ASSIGNED = 1
    DELIVERED = 2
    PAID = 3
    REFUNDED = 4
    SPLIT = 5


@dataclass(frozen=True)
class Job:
    """The book of a job: free and reserved money, until when tasks may be assigned (halt-adjusted clock)."""

    free: Wei
    reserved: Wei
    open_until: int
    open_tasks: int
    status: JobStatus


@dataclass(frozen=True)
class Task:
    """The book of a task; `deliver_by` is on the halt-adjusted clock."""

    price: Wei
    deliver_by: int
    status: TaskStatus
    tier: Tier
    started_bps: int


class Escrow(ContractClient):
    NAME: ClassVar[str] = "Escrow"

    def open(self, terms: JobTerms, budget: Wei) -> Call:
        """Lock `budget` of the buyer's Vault balance."""
        return self._call("open", terms, budget)

    def top_up(self, terms: JobTerms, amount: Wei) -> Call:
        return self._call("topUp", terms, amount)

    def assign(self, terms: JobTerms, assignments: Sequence[Assignment], signatures: Sequence[bytes]) -> Call:
        """Reserve the prices of tasks that their operators' signers have signed."""
        return self._call("assign", terms, list(assignments), list(signatures))

    def deliver(
        self, terms: JobTerms, assignment: Assignment, result: Result, signature: bytes, proof: Proof = NO_PROOF
    ) -> Call:
        """Deliver a result; a proved one is paid in the same transaction."""
        return self._call("deliver", terms, assignment, result, signature, proof)

    def release(self, terms: JobTerms, assignment: Assignment, result: Result) -> Call:
        """Conclude a delivered task at the hub and pay, refund or split as it ended."""
        return self._call("release", terms, assignment, result)

    def refund(self, terms: JobTerms, assignment: Assignment) -> Call:
        """Return the price of a task that was not delivered in time."""
        return self._call("refund", terms, assignment)

    def decline(self, terms: JobTerms, assignment: Assignment, code: int, signature: bytes) -> Call:
        return self._call("decline", terms, assignment, code, signature)

    def reject(self, terms: JobTerms, assignment: Assignment, reason: bytes) -> Call:
        """Reject a trusted result within its window; the operator keeps its started share."""
        return self._call("reject", terms, assignment, reason)

    def agree(
        self,
        terms: JobTerms,
        assignment: Assignment,
        to_payee: Wei,
        valid_until: int,
        buyer_signature: bytes,
        operator_signature: bytes,
    ) -> Call:
        return self._call("agree", terms, assignment, to_payee, valid_until, buyer_signature, operator_signature)

    def close(self, terms: JobTerms) -> Call:
        """End a job without open tasks; what is free returns to the buyer's Vault balance."""
        return self._call("close", terms)

    def job(self, job_id: bytes) -> Job:
        free, reserved, open_until, open_tasks, status = self._numbers("jobOf", job_id)
        return Job(Wei(free), Wei(reserved), open_until, open_tasks, JobStatus(status))

    def task(self, task_id: bytes) -> Task:
        price, deliver_by, status, tier, started_bps = self._numbers("taskOf", task_id)
        return Task(Wei(price), deliver_by, TaskStatus(status), Tier(tier), started_bps)

    def job_id_of(self, terms: JobTerms) -> bytes:
        return self._bytes("jobIdOf", terms)

    def task_id_of(self, assignment: Assignment) -> bytes:
        return self._bytes("taskIdOf", assignment)

    def active_time(self) -> int:
        """The halt-adjusted clock, which deadlines that cost money run on."""
        return self._number("activeTime")
