"""A run's money on the chain: lock, assign, acknowledge, settle, take back. Implements `orchestration.payments.Payments`.

Every transaction has a key made of the run and what it does, so a step that runs again after a crash sends nothing new. Money
only ever goes to operators for delivered work, or back to the asker's Vault balance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from prsm_protocol.chain.escrow import TaskStatus
from prsm_protocol.errors import PrsmError, WorkflowError
from prsm_protocol.orchestration.payments import SignedQuote
from prsm_protocol.orchestration.question import Estimate
from prsm_protocol.rules.market.escrow import Assignment, JobStatus, JobTerms
from prsm_protocol.types import Receipt, RunId, Steps, Waiting, Wei
from prsm_protocol.workflow.acknowledgements import Acknowledgements
from prsm_protocol.workflow.home import Home

OPEN_SECONDS = 3_600
"""How long tasks may be assigned out of a job; after it anybody may close it for the asker."""
FINISH_SECONDS = 900
_ENDS = (TaskStatus.PAID, TaskStatus.REFUNDED, TaskStatus.SPLIT)


class FundsTooLow(WorkflowError):
    text = "{address} holds {have} FTNS in wallet and Vault, {needed} are to be locked; deposit more or lower --budget"


@dataclass(frozen=True)
class Assigned:
    """A task of this run as it stands in the escrow."""

    assignment: Assignment
    task_id: bytes
    url: str


class EscrowPayments:
    """The money of one run."""

    def __init__(
        self, home: Home, run: RunId, question: bytes, steps: Steps, acknowledgements: Acknowledgements
    ) -> None:
        self._home = home
        self._run = run
        self._steps = steps
        self._chain = home.chain
        self._acknowledgements = acknowledgements
        self.job_terms = JobTerms(home.address, home.address, question, OPEN_SECONDS, int(run, 16))
        self.job_id = self._chain.escrow.job_id_of(self.job_terms)

    # ── the port ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def lock(self, estimate: Estimate) -> None:
        """Lock the estimate's cap; whoever has too little hears it before anything is sent."""
        if not estimate.high:
            return
        if self._chain.escrow.job(self.job_id).status is not JobStatus.NONE:
            return
        have = self._chain.vault.free_of(self._home.address) + self._chain.ftns.balance_of(self._home.address)
        if have < estimate.high:
            from prsm_protocol.types import format_ftns

            raise FundsTooLow(address=self._home.address, have=format_ftns(have), needed=format_ftns(estimate.high))
        with self._home.money:
            self._home.fund_vault(f"{self._run}:fund", estimate.high)
            self._home.sender.transact(self._key("open"), self._chain.escrow.open(self.job_terms, estimate.high))

    def assign(self, quotes: Sequence[SignedQuote]) -> None:
        """One transaction for all; the key is made of the tasks, so the same quotes are assigned once."""
        name = sha256(b"".join(quote.task_id for quote in quotes)).hexdigest()[:16]
        call = self._chain.escrow.assign(self.job_terms, [q.assignment for q in quotes], [q.signature for q in quotes])
        self._home.sender.transact(self._key(f"assign:{name}"), call)

    def acknowledge(self, receipt: Receipt) -> None:
        self._acknowledgements.acknowledge(receipt)

    def settle(self) -> None:
        """Wait for every task's end, taking back what is late, and close the job; the rest is free again."""
        self.refund()

    def refund(self) -> None:
        """End every open task as time allows, then close. Safe to call at any point, any number of times."""
        if self._chain.escrow.job(self.job_id).status is not JobStatus.OPEN:
            return
        deadline = datetime.now(UTC) + timedelta(seconds=FINISH_SECONDS)
        waiting = Waiting("open tasks to be delivered or late", deadline, "`prsm claim` takes the refund later")
        self._steps.wait(waiting, self._try_close, timedelta(milliseconds=300))

    # ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _key(self, what: str) -> str:
        return f"{self._run}:{what}"

    def _try_close(self) -> bool | None:
        escrow = self._chain.escrow
        job = escrow.job(self.job_id)
        if job.status is not JobStatus.OPEN:
            return True
        if job.open_tasks:
            active = escrow.active_time()
            for assignment, task_id in self.assignments():
                task = escrow.task(task_id)
                if task.status is TaskStatus.ASSIGNED and active > task.deliver_by:
                    self._attempt(f"refund:{task_id.hex()}", lambda a=assignment: escrow.refund(self.job_terms, a))  # type: ignore[misc]
            return None
        self._attempt("close", lambda: escrow.close(self.job_terms))
        return True if escrow.job(self.job_id).status is JobStatus.CLOSED else None

    def _attempt(self, what: str, call: Callable[[], object]) -> None:
        """Send; a refusal because somebody else was faster is seen at the next look at the chain."""
        from prsm_protocol.chain import Call

        made = call()
        assert isinstance(made, Call)
        try:
            self._home.sender.transact(self._key(what), made)
        except PrsmError as error:
            if not error.name.startswith("Escrow"):
                raise

    def assignments(self) -> list[tuple[Assignment, bytes]]:
        """Every task that the chain says was assigned out of this job, with its full terms."""
        events = self._chain.escrow.events(self._chain.deployment.start_block, "latest", {"TaskAssigned"})
        found = []
        for event in events:
            if event.fields["job_id"] == self.job_id:
                task_id = event.fields["task_id"]
                assert isinstance(task_id, bytes)
                assignment = event.fields["assignment"]
                assert isinstance(assignment, Assignment)
                found.append((assignment, task_id))
        return found

    def transaction(self, what: str) -> bytes:
        """Hash of the mined transaction of one of this run's keys."""
        return self._home.sender.confirm(self._key(what)).hash

    def money(self) -> tuple[Wei, Wei, Wei]:
        """(locked, spent, refunded) as the chain has it; nothing was locked where the job is unknown."""
        events = self._chain.escrow.events(
            self._chain.deployment.start_block, "latest", {"EscrowOpened", "EscrowToppedUp", "EscrowClosed"}
        )
        locked = refunded = 0
        for event in events:
            if event.fields["job_id"] != self.job_id:
                continue
            amount = event.fields.get("budget", event.fields.get("amount", event.fields.get("refunded")))
            assert isinstance(amount, int)
            if event.name == "EscrowClosed":
                refunded += amount
            else:
                locked += amount
        return Wei(locked), self.spent(), Wei(refunded)

    def spent(self) -> Wei:
        """What was paid out of the job, read from the chain."""
        paid = 0
        for assignment, task_id in self.assignments():
            if self._chain.escrow.task(task_id).status is TaskStatus.PAID:
                paid += assignment.price
        return Wei(paid)
