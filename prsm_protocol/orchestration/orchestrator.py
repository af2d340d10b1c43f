"""The two calls of a run: `estimate`, free and before anything is locked, and `answer`, after the budget is accepted."""

from __future__ import annotations

from datetime import UTC, datetime

from prsm_protocol.errors import UsageError
from prsm_protocol.orchestration import architect, compiler, nodes, payments
from prsm_protocol.orchestration import question as values
from prsm_protocol.orchestration.budget import Account, BudgetTooLow
from prsm_protocol.orchestration.clarify import DocumentMissing, Reading, pair, read_tables
from prsm_protocol.orchestration.executor import execute
from prsm_protocol.orchestration.health import Health
from prsm_protocol.orchestration.listings import Network, NodeOffer, OfferedCircuit, label_column
from prsm_protocol.orchestration.nodes import Delivered
from prsm_protocol.orchestration.paid import settle_open
from prsm_protocol.orchestration.payments import Payments
from prsm_protocol.orchestration.question import Answer, Choice, Estimate, Question
from prsm_protocol.orchestration.recognise import ChatModel, decide_kinds
from prsm_protocol.orchestration.record import (
    TABLE_TYPE,
    answer_payload,
    decision,
    graph_blocks,
    question_payload,
    table_payload,
)
from prsm_protocol.orchestration.router import Route, route
from prsm_protocol.orchestration.tasks.retrieve import Embedder
from prsm_protocol.orchestration.work import Work, specs_of
from prsm_protocol.rules.market import escrow
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.seal import Ref
from prsm_protocol.types import Cid, Listing, Steps, Wei, format_ftns


class DeadlineTooShort(UsageError):
    exit_code = 1
    text = "a deadline of {deadline} s is under the {needed} s that this takes; give --deadline {needed} or more, or fewer rows"


STORED = (
    values.Table,
    values.DataInput,
    values.Question,
    values.Citation,
    values.Claim,
    values.Conflict,
    values.NotDone,
    values.ResultTable,
    values.Answer,
    values.Choice,
    values.PlanNode,
    values.Plan,
    values.Estimate,
    NodeOffer,
    OfferedCircuit,
    payments.SignedQuote,
    nodes.Outcome,
    escrow.Assignment,
    escrow.JobTerms,
)
"""Records that a durable run stores between its steps; register them with the run's serializer."""


def estimate(question: Question, network: Network, chat: ChatModel | None = None) -> Estimate:
    """What it will cost and how it will be done; nothing is locked, nobody is asked to work."""
    listings = network.listings()
    kinds, kind_choice = decide_kinds(question, listings, chat)
    choices = [kind_choice]
    if "retrieve" in kinds and not question.documents:
        raise DocumentMissing()
    reading: Reading | None = None
    routed: Route | None = None
    first: Listing | None = None
    two: tuple[Listing, Listing] | None = None
    low = likely = high = Wei(0)
    seconds, tier = 1, "own"
    if {"predict", "explain", "compare"} & set(kinds):
        reading = read_tables(question, listings, network.block, network.halted)
        choices += reading.choices
    if reading is not None and "predict" in kinds:
        rows = len(reading.cases.rows)
        if question.local:
            first = _best(reading)
        else:
            routed = _routed(question, reading, network, rows)
            first, tier = routed.listing, routed.tier
            choices.append(routed.choice)
            low, likely, high, seconds = _price(routed, rows)
            if question.deadline.total_seconds() < seconds:
                raise DeadlineTooShort(deadline=int(question.deadline.total_seconds()), needed=seconds)
            if question.budget < low:
                raise BudgetTooLow(budget=format_ftns(question.budget), needed=format_ftns(low))
            high = min(high, question.budget)
    if reading is not None and "compare" in kinds:
        two = pair(question, reading, first, network.block)
        seconds += 1
    plan = architect.plan(
        question,
        kinds,
        cases=reading.cases.name if reading else "",
        known=reading.known.name if reading else "",
        routed=first,
        pair=two,
        cap=high,
        local=question.local,
    )
    choices.append(Choice("plan", "rule", "planner", tuple((n.id, 0, n.kind) for n in plan.nodes), plan.nodes[0].id))
    notes = _notes(question, reading, routed, two)
    return Estimate(plan, low, likely, high, tier, seconds, (), tuple(choices), notes)


def _best(reading: Reading) -> Listing:
    """Without paying: the listing of the best measured quality that reads the table."""
    fitting = [candidate for candidate in reading.candidates if not candidate.fits]
    return max(fitting, key=lambda c: (c.quality_ppm, len(c.listing.circuits), c.listing.name)).listing


def _routed(question: Question, reading: Reading, network: Network, rows: int) -> Route:
    # priced for one row: what a whole table needs is compared with the budget afterwards, by name
    return route(
        reading.candidates,
        network.offers(),
        question,
        rows=rows,
        budget_left=Wei(1 << 95),
        seconds_left=max(1, int(question.deadline.total_seconds())),
        health=Health(),
    )


def _price(routed: Route, rows: int) -> tuple[Wei, Wei, Wei, int]:
    """Cheapest, dealt over all nodes, and with every part done twice: what a dead node took stays locked until its time ends."""
    prices = [served.offer.price(1) for served in routed.served]
    low = Wei(min(prices) * rows)
    likely = Wei(sum(prices[index % len(prices)] for index in range(rows)))
    high = Wei(max(prices) * rows * (2 if len(prices) > 1 else 1))
    share = -(-rows // len(prices))
    seconds = max(served.offer.p50_seconds for served in routed.served) * share + 5
    return low, likely, high, seconds


def _notes(
    question: Question, reading: Reading | None, routed: Route | None, two: tuple[Listing, Listing] | None
) -> tuple[str, ...]:
    notes: list[str] = []
    for table in question.tables:
        if table.delimiter != ",":
            notes.append(f"{table.name}: cells are separated by {table.delimiter!r}.")
    if reading is not None:
        notes += reading.unused
    if routed is not None and not question.public_data:
        notes.append("The operator who computes a row sees that row; the chain sees only its salted hash.")
    if question.local:
        notes.append("payment: none (--local); every step is your own and is recomputed by prsm verify.")
    if two is not None and reading is not None and reading.known_label is None:
        notes.append(f"{reading.known.name} has no labels: only the agreement of the two models can be said.")
    return tuple(notes)


# ── answering ────────────────────────────────────────────────────────────────────────────────────────────────────────


def answer(
    question: Question,
    estimated: Estimate,
    steps: Steps,
    pay: Payments,
    recorder: Recorder,
    network: Network,
    chat: ChatModel | None = None,
    delivered: list[Delivered] | None = None,
    embedder: Embedder | None = None,
) -> Answer:
    """Work the accepted estimate off and compile what came out. Locks the budget first where the plan costs something.

    `delivered` takes the checked results of paid work as they come, for whoever keeps the evidence.
    """
    work = _prepare(question, estimated, steps, pay, recorder, network, chat)
    work.embedder = embedder
    if delivered is not None:
        work.deliveries = delivered
    _open(work, estimated)
    execute(work)
    settle_open(work)
    return _close(work, estimated)


def _prepare(
    question: Question,
    estimated: Estimate,
    steps: Steps,
    pay: Payments,
    recorder: Recorder,
    network: Network,
    chat: ChatModel | None,
) -> Work:
    started = datetime.fromisoformat(steps.once("started", lambda: datetime.now(UTC).isoformat()))
    reading: Reading | None = None
    if any(node.kind in ("predict", "explain", "compare") for node in estimated.plan.nodes):
        reading = read_tables(question, network.listings(), network.block, network.halted)
    tables = {table.name: table for table in question.tables}
    labels = {}
    refs: dict[str, tuple[Ref, str]] = {}
    best = reading.listings[0] if reading is not None else None
    for item in question.data:
        if item.table is None:
            payload: dict[str, object] = {
                "v": 1,
                "kind": "document",
                "name": item.name,
                "media_type": item.media_type,
                "sha256": item.digest,
                "pages": list(item.pages),
            }
            refs[item.name] = (recorder.seal(payload), item.media_type)
            continue
        labels[item.name] = label_column(best, item.table) if best is not None else None
        refs[item.name] = (recorder.seal(table_payload(item.table, best, labels[item.name])), TABLE_TYPE)
    return Work(
        question=question,
        plan=estimated.plan,
        steps=steps,
        payments=pay,
        recorder=recorder,
        network=network,
        account=Account(estimated.high),
        deadline=started + question.deadline,
        tables=tables,
        refs=refs,
        candidates=reading.candidates if reading is not None else (),
        label_columns=labels,
        chat=chat,
    )


def _open(work: Work, estimated: Estimate) -> None:
    """What is on record before anybody works: the question, who decided what, the locked budget, the graph."""
    recorder = work.recorder
    recorder.record("run/started", "run_started", recorder.seal(question_payload(work.question)))
    for number, choice in enumerate(estimated.decisions):
        recorder.record(f"decision/{number}", "decision_made", recorder.put(decision(choice)))
    if estimated.high:
        work.steps.once("lock", lambda: work.payments.lock(estimated))
        budget = {"v": 1, "kind": "budget", "high": estimated.high.to_bytes(32, "big"), "job": work.payments.job_id}
        recorder.record("budget/locked", "budget_locked", recorder.seal(budget))
    planned = recorder.put(decision(next(choice for choice in estimated.decisions if choice.matter == "plan")))
    for name, spec in specs_of(work).items():
        work.specs[name] = recorder.put(spec)
    _record_graph(work, planned)


def _record_graph(work: Work, planned: Cid) -> None:
    for split, refusal in architect.check(work.plan):
        if refusal is not None:
            detail = _refusal(split.parent, refusal.rule, refusal.detail)
            work.recorder.record(f"split/{split.parent}/refused", "split_refused", work.recorder.seal(detail))
            raise architect.PlanInvalid(rule=refusal.rule, detail=refusal.detail)
    deadline = int(work.deadline.timestamp() * 1_000_000)
    for parent, graph in graph_blocks(work.plan, work.specs, deadline, planned):
        work.recorder.record(f"split/{parent}", "graph_split", work.recorder.put(graph))


def _refusal(parent: str, rule: str, detail: str) -> dict[str, object]:
    return {"v": 1, "kind": "refusal", "parent": parent, "rule": rule, "detail": detail}


def _close(work: Work, estimated: Estimate) -> Answer:
    """Compile, record conflicts and the answer; its seal's payload is what a head refers to."""
    quality = {candidate.listing.name: candidate.quality_ppm for candidate in work.candidates}
    notes = [*estimated.notes, *dict.fromkeys(work.notes)]
    found = compiler.compile_answer(
        work.question, work.sources, work.not_done, notes, work.account.spent, lambda name: quality.get(name, 0)
    )
    for number, conflict in enumerate(found.conflicts):
        options = tuple((side, quality.get(side, 0), "measured") for side in conflict.sides)
        choice = Choice("conflict", "rule", "measured-quality", options, conflict.sides[0])
        work.recorder.record(f"conflict/{number}", "conflict_found", work.recorder.put(decision(choice)))
    sealed = work.recorder.seal(answer_payload(work.question, found))
    work.recorder.record("answer/compiled", "answer_compiled", sealed)
    return found


def answer_ref(recorder: Recorder, question: Question, found: Answer) -> Ref:
    """The reference of a compiled answer: the same payload seals to the same reference within a run."""
    return recorder.seal(answer_payload(question, found))


def question_ref(recorder: Recorder, question: Question) -> Ref:
    return recorder.seal(question_payload(question))


__all__ = [
    "STORED",
    "answer",
    "answer_ref",
    "estimate",
    "question_ref",
]
