"""Carries every open task forward: fold what the chain says, ask `next_step`, do that one thing, store it, ask again.

Nothing here remembers anything that the store does not hold; what is kept in memory only saves time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from oracles import quotes
from oracles.listener import Head
from oracles.next_step import DeclineCode, Do, Limits, OnChain, Step, View, Work, next_step
from oracles.offers import Catalogue, OfferUnknown
from oracles.outbox import Outbox
from oracles.prover import ProofFailed, ProverBusy, ProverRefused, ProverUnreachable
from oracles.runners.onnx import OutputDrift
from oracles.store import EventRow, Store, TaskRow
from oracles.telemetry import Log
from oracles.workbench import CircuitGone, ProofUnusable, Workbench
from prsm_protocol.chain import Chain
from prsm_protocol.errors import ChainError, ContentError, PrsmError
from prsm_protocol.rules.oracle.tiers import Tier

_FOLDED = {
    "TaskAssigned": OnChain.ASSIGNED,
    "TaskDelivered": OnChain.DELIVERED,
    "TaskPaid": OnChain.PAID,
    "TaskRefunded": OnChain.REFUNDED,
    "TaskAgreed": OnChain.SPLIT,
    "TaskDeclined": OnChain.DECLINED,
}
_SECONDS_BETWEEN_FAILURES = 2.0
_ATTEMPTS = 3
"""Of a step that fails here: one retry and one for good measure, then the task is given back while there is time."""


@dataclass(frozen=True)
class OnChainView:
    """What the canonical events of a task say."""

    state: OnChain
    block: int | None  # of the last event, and its hash
    block_hash: bytes
    was_seen: bool
    missing_since: int | None


def fold(events: list[EventRow], orphaned: list[EventRow]) -> OnChainView:
    """The state after all canonical events; an ending event settles it, TaskRefunded after a decline stays DECLINED."""
    state = OnChain.UNSEEN
    block, block_hash = None, b""
    for event in events:
        block, block_hash = event.block, event.block_hash
        found = _FOLDED.get(event.name)
        if found is not None and not (state is OnChain.DECLINED and found is OnChain.REFUNDED):
            state = found
    missing = max((event.block for event in orphaned), default=None) if not events else None
    return OnChainView(state, block, block_hash, bool(events) or bool(orphaned), missing)


class Tasks:
    """The loop over open tasks."""

    def __init__(
        self,
        store: Store,
        chain: Chain,
        catalogue: Catalogue,
        bench: Workbench,
        outbox: Outbox,
        *,
        operator: str,
        head: Callable[[], Head | None],
        confirmations: int,
        log: Log,
        threads: int = 4,
    ) -> None:
        self._store = store
        self._chain = chain
        self._catalogue = catalogue
        self._bench = bench
        self._outbox = outbox
        self._operator = operator
        self._head = head
        self._confirmations = confirmations
        self._log = log
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="task")
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._deliver_by: dict[tuple[str, bytes], int] = {}
        self._final_at: dict[tuple[str, bytes], int] = {}
        self.declined: dict[str, int] = {}

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._bench.stop()

    def idle(self) -> bool:
        with self._lock:
            return not self._busy

    def oldest_seconds(self) -> float:
        """How long the oldest open task is past its quote's end; zero while nothing waits long."""
        head = self._head()
        open_tasks = self._store.open_tasks()
        if head is None or not open_tasks:
            return 0.0
        return float(max(0, head.time - min(row.quote_until for row in open_tasks)))

    # ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self) -> None:
        """Do the next step of every open task; steps that take long run in threads, one a task."""
        head = self._head()
        if head is None:
            return
        self._adopt()
        rows = self._store.open_tasks()
        if not rows:
            return
        now = self._chain.escrow.active_time()
        for row in rows:
            with self._lock:
                if row.task in self._busy or self._not_before.get(row.task, 0.0) > time.monotonic():
                    continue
                self._busy.add(row.task)
            try:
                step = self._decide(row, head, now)
            except PrsmError:
                self._free(row.task)  # an endpoint is away; the next tick asks again
                raise
            if step.do is Do.WAIT:
                self._free(row.task)
            elif step.do in (Do.RUN, Do.PROVE, Do.SIGN):
                self._pool.submit(self._guarded, row, step)
            else:
                self._guarded(row, step)

    def step_of(self, row: TaskRow) -> tuple[OnChainView, Step | None]:
        """What the task waits for or does next: the same answer that the loop acts on."""
        head = self._head()
        view = self._on_chain(row.task)
        if row.closed or head is None:
            return view, None
        return view, self._decide(row, head, head.time)

    def _decide(self, row: TaskRow, head: Head, now: int) -> Step:
        return next_step(self._view(row, head, now), self._limits(row))

    def _guarded(self, row: TaskRow, step: Step) -> None:
        """Run one step; what fails is tried again, and given back to the buyer when it keeps failing."""
        try:
            self._do(row, step)
            self._failures.pop(row.task, None)
            self._report(row)
        except (ChainError, ContentError, OfferUnknown, ProverUnreachable, ProverBusy) as error:
            # Somebody else's service is away: that costs time, which the deadlines watch, and no attempt.
            self._not_before[row.task] = time.monotonic() + _SECONDS_BETWEEN_FAILURES
            self._log.seldom("warning", "step waits", task=row.task, step=step.do.value, error=type(error).__name__)
        except PrsmError as error:
            self._failed(row, error)
        except Exception as error:
            # Anything else is a fault of this node: the buyer gets the money back instead of silence.
            self._failed(row, error)
        finally:
            self._free(row.task)

    def _failed(self, row: TaskRow, error: Exception) -> None:
        self._log.write("error", "step failed", task=row.task, error=_public_reason(error))
        count = self._failures.get(row.task, 0) + 1
        self._failures[row.task] = count
        self._not_before[row.task] = time.monotonic() + _SECONDS_BETWEEN_FAILURES
        code = _code_of(error)
        if code is not None or count >= _ATTEMPTS:
            self._give_back(row.task, code or DeclineCode.NODE_FAULT, _public_reason(error))

    def _report(self, row: TaskRow) -> None:
        """A log line when the work went on; polls that changed nothing are silent."""
        now = self._store.task(row.task)
        if now is not None and (now.work is not row.work or now.closed):
            state = "closed" if now.closed else now.work.value
            self._log.write("info", "task", task=row.task, **{"from": row.work.value, "to": state})

    def _free(self, task: str) -> None:
        with self._lock:
            self._busy.discard(task)

    # ── what is known ────────────────────────────────────────────────────────────────────────────────────────────────

    def _adopt(self) -> None:
        """An assignment that names us and is unknown here (a restored backup) is a task too: it is declined in time."""
        for event in self._store.unknown_assignments():
            job = next(iter(self._store.events(key=str(event.fields["job_id"]), name="EscrowOpened")), None)
            quote: dict[str, object] = {"assignment": event.fields["assignment"], "seconds": 0, "signature": "0x"}
            if job is not None:
                quote["terms"] = job.fields["terms"]
            self._store.put_task(event.key, request="", asker="", quote=quote, quote_until=0)
            self._give_back(event.key, DeclineCode.NODE_FAULT, "this node has no record of quoting the task")

    def _on_chain(self, task: str) -> OnChainView:
        events = self._store.events(key=task)
        return fold(events, [] if events else self._store.events(key=task, orphaned=True))

    def _view(self, row: TaskRow, head: Head, now: int) -> View:
        seen = self._on_chain(row.task)
        assignment = quotes.assignment_of(row)
        view = View(
            work=row.work,
            chain=seen.state,
            is_proved=assignment.tier == Tier.PROVED,
            now=now,
            quote_until=row.quote_until,
            was_seen=seen.was_seen,
            missing_blocks=0 if seen.missing_since is None else max(0, head.number - seen.missing_since),
            is_final=seen.block is not None and head.number - seen.block + 1 >= self._confirmations,
        )
        task_id = bytes.fromhex(row.task[2:])
        marker = (row.task, seen.block_hash)
        if seen.state is OnChain.ASSIGNED:
            if marker not in self._deliver_by:
                self._deliver_by[marker] = self._chain.escrow.task(task_id).deliver_by
            return replace(view, deliver_by=self._deliver_by[marker] or now + assignment.deliver_within)
        if seen.state is OnChain.DELIVERED:
            if marker not in self._final_at:
                self._final_at[marker] = self._chain.hub.status_of(task_id, self._operator).final_at
            return replace(view, final_at=self._final_at[marker] or None)
        return view

    def _limits(self, row: TaskRow) -> Limits:
        if row.quote.get("tier") != "proved":
            return Limits(estimate_seconds=1)
        try:
            circuit = self._catalogue.offer(str(row.quote["listing"])).circuit(quotes.assignment_of(row).circuit_id)
        except OfferUnknown:
            circuit = None
        return Limits(
            estimate_seconds=quotes.one_seconds("proved", 2.0 if circuit is None else circuit.held.prove_seconds)
        )

    # ── the steps ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _do(self, row: TaskRow, step: Step) -> None:
        if step.do is Do.ACCEPT:
            self._accept(row)
        elif step.do is Do.RUN:
            self._bench.run(row)
        elif step.do is Do.PROVE:
            self._bench.prove(row)
        elif step.do is Do.SIGN:
            self._bench.sign(row)
        elif step.do is Do.DECLINE and step.code is not None:
            self._give_back(row.task, step.code, step.code.name)
        elif step.do is Do.ENSURE_DELIVER:
            self._outbox.ensure("deliver", row.task)
        elif step.do is Do.ENSURE_DECLINE:
            self._outbox.ensure("decline", row.task)
        elif step.do is Do.ENSURE_RELEASE:
            self._outbox.ensure("release", row.task)
        elif step.do is Do.CLOSE:
            self._store.close_task(row.task)

    def _accept(self, row: TaskRow) -> None:
        """The task id is the hash of the quoted assignment, so an assignment that differs is another task."""
        self._store.accept(row.task)

    def _give_back(self, task: str, code: DeclineCode, reason: str) -> None:
        """Decline, unless a result of this task was already bound to the key: that promise stands whatever happens."""
        if self._store.has_signature(task):
            return
        if self._store.advance(task, Work.UNABLE, code=int(code), reason=reason[:500]):
            self.declined[code.name] = self.declined.get(code.name, 0) + 1


def _code_of(error: Exception) -> DeclineCode | None:
    """Errors that no second try mends."""
    if isinstance(error, CircuitGone):
        return DeclineCode.CIRCUIT_REMOVED
    if isinstance(error, ProofUnusable | ProofFailed | ProverRefused | OutputDrift):
        return DeclineCode.NOT_PROVABLE
    return None


def _public_reason(error: Exception) -> str:
    """The error's name alone: its sentence may hold input or output words, and this is shown to anybody who asks."""
    kind = error.values.get("kind") if isinstance(error, ProverRefused) else None
    return type(error).__name__ + (f" ({kind})" if kind else "")
