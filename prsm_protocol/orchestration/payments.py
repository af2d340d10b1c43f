"""The port behind which the run keeps its money. `workflow/run.py` implements it with effects; `NoPayments` serves `--local`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration.question import Estimate
from prsm_protocol.rules.market.escrow import Assignment, JobTerms
from prsm_protocol.types import Receipt


@dataclass(frozen=True)
class SignedQuote:
    """A node's signed word: it will do this task for this price if assigned in time."""

    assignment: Assignment
    signature: bytes
    task_id: bytes
    seconds: int
    url: str


class Payments(Protocol):
    """Called from inside steps: each call may be repeated after a crash with the same arguments and must then do nothing new."""

    @property
    def job_terms(self) -> JobTerms:
        """Terms of the job whose budget is locked; what nodes quote against."""
        ...

    @property
    def job_id(self) -> bytes: ...

    def lock(self, estimate: Estimate) -> None:
        """Lock `estimate.high` in escrow; returns when the lock is confirmed."""
        ...

    def assign(self, quotes: Sequence[SignedQuote]) -> None:
        """Assign all in one transaction; returns when it is confirmed."""
        ...

    def acknowledge(self, receipt: Receipt) -> None:
        """Acknowledge accepted work by a voucher that adds nothing (escrow pays)."""
        ...

    def settle(self) -> None:
        """Close the job where no task is open; the rest returns."""
        ...

    def refund(self) -> None:
        """Take back what time alone releases: tasks that were never delivered."""
        ...


class NothingToPayWith(OrchestrationError):
    text = "a run with --local pays nobody, yet {what} was asked for; leave --local out to pay for it"


class NoPayments:
    """Everything on the own machine: nothing is locked, nobody is paid, and the trace says so."""

    @property
    def job_terms(self) -> JobTerms:
        raise NothingToPayWith(what="a job's terms")

    @property
    def job_id(self) -> bytes:
        return bytes(32)

    def lock(self, estimate: Estimate) -> None:
        if estimate.high:
            raise NothingToPayWith(what="a lock")

    def assign(self, quotes: Sequence[SignedQuote]) -> None:
        raise NothingToPayWith(what="an assignment")

    def acknowledge(self, receipt: Receipt) -> None:
        raise NothingToPayWith(what="an acknowledgement")

    def settle(self) -> None:
        return None

    def refund(self) -> None:
        return None
