"""Predictions bought from operators' nodes: route, quote, assign, send, watch, check, acknowledge; a later attempt takes only
what is missing.

What a silent node was assigned stays locked until the chain ends it. Such attempts go on record at the end of the run, when it
is known whether the node delivered (and was paid) after all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

from prsm_protocol.errors import PrsmError
from prsm_protocol.orchestration import guards, nodes
from prsm_protocol.orchestration.budget import BudgetExceeded
from prsm_protocol.orchestration.claims import Source
from prsm_protocol.orchestration.listings import NodeOffer
from prsm_protocol.orchestration.nodes import (
    Delivered,
    NodeRefused,
    NodeUnreachable,
    Part,
    ProofRejected,
    QuoteOther,
    ReceiptInvalid,
)
from prsm_protocol.orchestration.payments import SignedQuote
from prsm_protocol.orchestration.question import Choice, NotDone, PlanNode
from prsm_protocol.orchestration.record import weakest
from prsm_protocol.orchestration.router import NoEligibleModel, Route, Served, TierUnavailable, route
from prsm_protocol.orchestration.tasks import predict
from prsm_protocol.orchestration.work import Attempted, Work, end, start
from prsm_protocol.trace import blocks, dag_cbor
from prsm_protocol.types import Call, Cid, Listing, Progress, Waiting, Wei, format_ftns

CHUNK = 128
"""Parts assigned in one transaction: a node takes at most 256, and a chunk's gas stays far below a block's."""
_CHAIN_LAG_SECONDS = 20
_SPARE_SECONDS = 60
"""Added to a node's own estimate when a delivery time is asked for: clocks and confirmations differ."""
_ROUNDED_SECONDS = 15
"""Delivery times are told in steps of this size. Small, since the price of what a dead node took returns only after them."""

Rows = Sequence[tuple[int, tuple[int, ...]]]


def work_paid(work: Work, state: guards.GraphState, node: PlanNode) -> Source:
    """Parts dealt over the nodes that offer the routed listing, in at most three attempts."""
    table = work.tables[node.inputs[0]]
    attempts: list[Attempted] = []
    done: dict[int, Delivered] = {}
    chosen: Listing | None = None
    prepared: predict.Prepared | None = None
    last: PrsmError | None = None
    while prepared is None or len(done) < len(prepared.rows):
        if state.attempt(node.id) is not None:
            break
        missing = len(table.rows) if prepared is None else len(prepared.rows) - len(done)
        try:
            routed = _route(work, node, len(attempts) + 1, missing, chosen)
        except (NoEligibleModel, TierUnavailable) as error:
            last = last or error
            break
        if chosen is None or prepared is None:
            chosen = work.listing(routed.listing.cid.text if routed.listing.cid is not None else "")
            prepared = predict.prepare(table, chosen)
        start(work, node, len(attempts) + 1, routed.choice)
        attempted = Attempted(len(attempts) + 1, routed)
        attempts.append(attempted)
        rows = [(row, words) for row, words in zip(prepared.rows, prepared.words, strict=True) if row not in done]
        _attempt(work, node, attempted, rows)
        done |= attempted.delivered
        # a node that fell silent may have delivered and been paid before: nothing is bought twice that can be fetched
        _take_open(work, attempts, done, f"after {len(attempts)}")
        last = attempted.error or last
    if prepared is not None and len(done) < len(prepared.rows):
        if sum(1 for other in work.plan.nodes if other.paid and other.budget > 0) == 1:
            # nothing else will be bought: wait until the chain has ended what is open, since whoever delivers in time is paid
            work.steps.once("settle", work.payments.settle)
        _take_open(work, attempts, done, "at the end")
    if not done or chosen is None or prepared is None:
        _put_on_record(work, node, attempts)
        raise last or NoEligibleModel(task="predict", reasons="no attempt is left")
    if len(done) < len(prepared.rows):
        lost = len(prepared.rows) - len(done)
        work.not_done.append(NotDone(f"{node.id}: {lost} rows", str(last or "no node delivered them")))
        tier = attempts[-1].routed.tier
        kept = Route(chosen, (), tier, Choice("route", "rule", "what-is-there", (), chosen.name), ())
        attempts.append(Attempted(len(attempts) + 1, kept))
    return _accept(work, node, attempts, chosen, prepared, done)


def _route(work: Work, node: PlanNode, number: int, rows: int, chosen: Listing | None) -> Route:
    """Candidates and their nodes as they are now; once a listing has answered rows, no other one is mixed in."""
    offers: list[NodeOffer] = work.steps.once(f"{node.id}/{number}/offers", work.network.offers)
    seconds, listed = work.steps.once(f"{node.id}/{number}/situation", partial(_situation, work))
    return route(
        # a run that goes on after a crash must choose as it did, though time has passed and others have listed models since
        [c for c in work.candidates if _name(c.listing) in listed and (chosen is None or c.listing.cid == chosen.cid)],
        offers,
        work.question,
        # a budget that holds one more row is enough to go on: what it does not cover ends in `not_done`
        rows=1 if chosen is not None else rows,
        budget_left=work.account.free,
        seconds_left=seconds,
        health=work.health,
        prefer=node.listings,
    )


def _situation(work: Work) -> tuple[int, list[str]]:
    """Seconds left now, and the listings that are known now."""
    seconds = max(1, int((work.deadline - datetime.now(UTC)).total_seconds()))
    return seconds, [_name(candidate.listing) for candidate in work.candidates]


def _name(listing: Listing) -> str:
    return listing.cid.text if listing.cid is not None else ""


def _attempt(work: Work, node: PlanNode, attempted: Attempted, rows: Rows) -> None:
    for chunk in range(0, len(rows), CHUNK):
        served = [s for s in attempted.routed.served if not work.health.why_out(s.offer.url)]
        if not served:
            break
        name = f"{node.id}/{attempted.number}/{chunk // CHUNK}"
        _deliver(work, node, name, served, rows[chunk : chunk + CHUNK], attempted)


def _deliver(work: Work, node: PlanNode, name: str, served: Sequence[Served], rows: Rows, attempted: Attempted) -> None:
    """Quote, assign in one transaction, send inputs, watch, check, acknowledge."""
    salts = work.steps.once(f"{name}/salts", partial(nodes.draw_salts, len(rows)))
    parts = [Part(row, words, salt, task_salt) for (row, words), (salt, task_salt) in zip(rows, salts, strict=True)]
    by_url = {s.offer.url: s for s in served}
    hands, quotes = _quotes(work, node, name, by_url, parts, attempted)
    taken = _reserve(work, name, hands, quotes, attempted)
    if not taken:
        return
    try:
        work.steps.once(f"{name}/assign", lambda: work.payments.assign(taken))
    except PrsmError as error:
        # nothing is assigned by a transaction that failed, so the whole reservation is free again
        for url in quotes:
            work.account.release(f"{name} {url}")
        attempted.quoted = Wei(attempted.quoted - sum(quote.assignment.price for quote in taken))
        attempted.error = error
        return
    heard = dict.fromkeys(quotes, 0)

    def on_done(url: str, count: int) -> None:
        heard[url] = count
        work.steps.report(Progress(node.id, sum(heard.values()), len(taken), "rows", f"{url} {by_url[url].tier}"))

    calls = [
        Call(f"{name}/watch {url}", _working(work, name, by_url[url], hands[url], quotes[url], partial(on_done, url)))
        for url in quotes
    ]
    for call, outcome in work.steps.as_done(calls):
        url = call.rsplit(" ", 1)[1]
        tasks = {quote.task_id: (part, quote) for part, quote in zip(hands[url], quotes[url], strict=True)}
        if isinstance(outcome, BaseException):
            attempted.error = _note_failure(work, url, outcome)
            attempted.open += [(name, by_url[url], part, quote) for part, quote in tasks.values()]
            continue
        _take(work, name, by_url[url], tasks, cast("nodes.Outcome", outcome), attempted)


# ── before the work ──────────────────────────────────────────────────────────────────────────────────────────────────


def _quotes(
    work: Work, node: PlanNode, name: str, by_url: Mapping[str, Served], parts: Sequence[Part], attempted: Attempted
) -> tuple[dict[str, list[Part]], dict[str, tuple[SignedQuote, ...]]]:
    """Signed quotes for all parts; what one node refuses is dealt to the others at once, until nobody is left."""
    hands: dict[str, list[Part]] = {}
    quotes: dict[str, tuple[SignedQuote, ...]] = {}
    open_parts, willing, turn = list(parts), list(by_url), 0
    while open_parts and willing:
        dealt = nodes.deal(open_parts, [by_url[url] for url in willing])
        calls = [
            Call(f"{name}/quotes {turn} {url}", _quoting(work, node, by_url[url], hand)) for url, hand in dealt.items()
        ]
        answers = dict(work.steps.as_done(calls))
        open_parts = []
        for url, hand in dealt.items():  # in a fixed order, so that a resumed run deals the same
            answer = answers[f"{name}/quotes {turn} {url}"]
            if isinstance(answer, BaseException):
                attempted.error = _note_failure(work, url, answer)
                willing.remove(url)
                open_parts += hand
                continue
            hands[url] = hands.get(url, []) + hand
            quotes[url] = quotes.get(url, ()) + cast("tuple[SignedQuote, ...]", answer)
        turn += 1
    return hands, quotes


def _quoting(work: Work, node: PlanNode, served: Served, hand: Sequence[Part]) -> Callable[[], object]:
    seconds = served.offer.p95_seconds * len(hand) * 3 + _SPARE_SECONDS
    return partial(
        nodes.ask_quotes,
        work.network.node(served.offer.url),
        served,
        hand,
        work.payments.job_terms,
        work.payments.job_id,
        work.specs[node.id].digest,
        -(-seconds // _ROUNDED_SECONDS) * _ROUNDED_SECONDS,
    )


def _reserve(
    work: Work,
    name: str,
    hands: dict[str, list[Part]],
    quotes: dict[str, tuple[SignedQuote, ...]],
    attempted: Attempted,
) -> list[SignedQuote]:
    """Hold the price of what the budget covers, node by node in the order of dealing; the rest is left out."""
    taken: list[SignedQuote] = []
    for url in list(hands):
        fitting, price = 0, 0
        for quote in quotes[url]:
            if price + quote.assignment.price > work.account.free:
                break
            fitting, price = fitting + 1, price + quote.assignment.price
        if fitting < len(quotes[url]):
            needed = sum(quote.assignment.price for quote in quotes[url])
            attempted.error = BudgetExceeded(left=format_ftns(work.account.free), needed=format_ftns(needed))
            hands[url], quotes[url] = hands[url][:fitting], quotes[url][:fitting]
        if not fitting:
            del hands[url], quotes[url]
            continue
        work.account.reserve(f"{name} {url}", Wei(price))
        attempted.quoted = Wei(attempted.quoted + price)
        taken += quotes[url]
    return taken


def _working(
    work: Work,
    name: str,
    served: Served,
    hand: Sequence[Part],
    quotes: Sequence[SignedQuote],
    on_done: Callable[[int], None],
) -> Callable[[], object]:
    def go() -> object:
        client = work.network.node(served.offer.url)
        nodes.send_inputs(client, served, hand, quotes, work.payments.job_terms)
        # Past the question's deadline too: what is delivered in time is paid, so it is taken.
        deadline = datetime.now(UTC) + timedelta(seconds=max(quote.assignment.deliver_within for quote in quotes))
        return nodes.watch(client, served.offer.url, quotes, work.steps, name=name, deadline=deadline, on_done=on_done)

    return go


# ── after the work ───────────────────────────────────────────────────────────────────────────────────────────────────


def _take(
    work: Work,
    name: str,
    served: Served,
    tasks: Mapping[bytes, tuple[Part, SignedQuote]],
    outcome: nodes.Outcome,
    attempted: Attempted,
) -> None:
    """Check each result; whoever lies is left, what holds is acknowledged."""
    url = served.offer.url
    for task_id in outcome.done:
        part, quote = tasks[task_id]
        try:
            delivered = _checked(work, name, served, part, quote)
        except (NodeUnreachable, NodeRefused) as error:
            attempted.error = error
            attempted.open.append((name, served, part, quote))
            continue
        except (ReceiptInvalid, ProofRejected) as error:
            work.health.quarantine(url, error.name)
            attempted.error = error
            continue
        attempted.delivered[part.row] = delivered
        _keep(work, name, delivered)
    for task_id, code in outcome.declined:
        attempted.error = NodeRefused(url=url, code=code, detail=f"task 0x{task_id.hex()[:16]}…")
    attempted.open += [(name, served, *tasks[task_id]) for task_id in outcome.open]
    if outcome.open:
        work.health.dead(url)
        silent = f"{len(outcome.open)} tasks stay open until their delivery time ends"
        attempted.error = NodeUnreachable(url=url, reason=silent)
    elif outcome.declined:
        work.health.failed(url)
    else:
        work.health.served(url)
    # what was not delivered stays locked in escrow until time returns it, so it is not free here either
    got = [attempted.delivered[part.row] for part, _ in tasks.values() if part.row in attempted.delivered]
    key, charged = f"{name} {url}", Wei(sum(one.receipt.charged for one in got))
    held = work.account.reserved[key]
    work.account.charge(key, charged)
    if held > charged:
        work.account.reserve(f"{key} open", Wei(held - charged))


def _take_open(
    work: Work,
    attempts: Sequence[Attempted],
    done: dict[int, Delivered],
    moment: str,
) -> None:
    """Missing rows whose tasks the chain paid all the same: their results are fetched and used."""
    for attempted in attempts:
        for entry in list(attempted.open):
            name, served, part, quote = entry
            task = quote.task_id
            if part.row in done:
                continue
            if work.steps.once(f"{name}/{moment} {task.hex()}", partial(work.network.task_status, task)) != "paid":
                continue
            try:
                delivered = _checked(work, f"{name}/{moment}", served, part, quote)
            except PrsmError as error:
                attempted.error = error
                continue
            attempted.open.remove(entry)
            attempted.delivered[part.row] = done[part.row] = delivered
            _keep(work, f"{name}/{moment}", delivered)
            key = f"{name} {served.offer.url} open"
            held = work.account.reserved.get(key, Wei(0))
            work.account.reserved[key] = Wei(max(0, held - delivered.receipt.charged))
            work.account.spent = Wei(work.account.spent + delivered.receipt.charged)


def _checked(work: Work, name: str, served: Served, part: Part, quote: SignedQuote) -> Delivered:
    task = quote.task_id.hex()
    client = work.network.node(served.offer.url)
    document = work.steps.once(f"{name}/result {task}", partial(client.result, quote.task_id))
    status = _settled_status(work, f"{name}/status {task}", quote.task_id, served.tier)
    outputs = work.weights(work.listing(served.offer.listing)).outputs
    return nodes.check_result(document, part, quote, served, status=status, outputs=outputs)


def _keep(work: Work, name: str, delivered: Delivered) -> None:
    """Put a checked result on record and acknowledge it."""
    task = delivered.receipt.task.hex()
    work.deliveries.append(delivered)
    work.recorder.put(delivered.receipt)
    work.recorder.seal(nodes.input_block(delivered.input_words, delivered.input_salt))
    work.recorder.seal(nodes.output_block(delivered.proof_outputs))
    work.steps.once(f"{name}/acknowledge {task}", lambda: work.payments.acknowledge(delivered.receipt))
    work.recorder.record(f"{name}/acknowledged {task}", "payment_acknowledged", delivered.receipt_cid)


def _settled_status(work: Work, step: str, task_id: bytes, tier: str) -> str:
    """The escrow's word on a task. Our endpoint may lag behind the node's by some blocks, so it is given a little time."""
    wanted = ("paid",) if tier == "proved" else ("paid", "delivered")
    until = datetime.now(UTC) + timedelta(seconds=_CHAIN_LAG_SECONDS)

    def ask() -> str | None:
        status = work.network.task_status(task_id)
        return status if status in wanted or datetime.now(UTC) >= until else None

    waiting = Waiting("the chain's word on a delivered task", until + timedelta(seconds=5), "the result is not used")
    return work.steps.once(step, lambda: work.steps.wait(waiting, ask))


def _note_failure(work: Work, url: str, error: BaseException) -> PrsmError:
    if not isinstance(error, PrsmError):
        raise error
    if isinstance(error, NodeUnreachable):
        work.health.dead(url)
    if isinstance(error, QuoteOther):
        work.health.quarantine(url, error.name)
    return error


# ── on record ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _accept(
    work: Work,
    node: PlanNode,
    attempts: list[Attempted],
    listing: Listing,
    prepared: predict.Prepared,
    done: Mapping[int, Delivered],
) -> Source:
    """The output of all attempts together, recorded with the last one."""
    outputs = {row: done[row].words for row in prepared.rows if row in done}
    bits = _output_bits(work, listing, done)
    labels = {row: predict.label(listing, words, bits) for row, words in outputs.items()}
    tier = weakest([one.receipt.tier for one in done.values()])
    assert listing.cid is not None
    block = predict.block(
        listing.cid,
        work.table_digest(node.inputs[0]),
        prepared,
        outputs,
        labels,
        close=predict.too_close(listing, work.weights(listing), prepared, outputs, bits),
        tier=tier,
        method="circuit" if tier == "proved" else "integer_layers",
        receipts=[done[row].receipt_cid for row in prepared.rows if row in done],
    )
    last = attempts[-1]
    last.outcome, last.output = "accepted", work.recorder.seal(block)
    last.verdicts = (
        blocks.Verdict("rows", len(outputs) == len(prepared.rows), f"{len(outputs)}/{len(prepared.rows)}"),
        blocks.Verdict("labels", all(label in listing.classes for label in labels.values()) or not listing.classes),
        blocks.Verdict("proof", tier == "proved", "paid by the escrow" if tier == "proved" else tier),
    )
    if prepared.clipped:
        shown = ", ".join(str(row + 1) for row in prepared.clipped[:12])
        work.notes.append(f"Rows {shown} of {node.inputs[0]} hold a value beyond 16 spreads; it was clipped.")
    attempt = _put_on_record(work, node, attempts)
    return Source(node.id, node.kind, attempt, block, tier, node.inputs[0], (listing,))


def _put_on_record(work: Work, node: PlanNode, attempts: Sequence[Attempted]) -> Cid:
    """End the attempts in their order; from the first one that has open tasks on, only when those have ended.

    Returns the id of the last attempt, which an answer may cite already: it has no open tasks when it was accepted, or it is
    settled before anything is compiled.
    """
    first = next((index for index, one in enumerate(attempts) if one.open), len(attempts))
    cid = Cid.of(b"")
    for attempted in attempts[:first]:
        cid = end(work, _attempt_block(work, node, attempted))
    if first < len(attempts):
        work.unsettled.append((node, tuple(attempts[first:])))
        cid = work.recorder.put(_attempt_block(work, node, attempts[-1]))
    return cid


def settle_open(work: Work) -> None:
    """What silent nodes were assigned: wait until the chain has ended it, take what came late, and end the attempts."""
    if not work.unsettled:
        return
    work.steps.once("settle", work.payments.settle)
    for node, attempts in work.unsettled:
        for attempted in attempts:
            for name, served, part, quote in attempted.open:
                _take_late(work, name, served, part, quote, attempted)
            end(work, _attempt_block(work, node, attempted))


def _take_late(work: Work, name: str, served: Served, part: Part, quote: SignedQuote, attempted: Attempted) -> None:
    task = quote.task_id
    if work.steps.once(f"{name}/ended {task.hex()}", partial(work.network.task_status, task)) != "paid":
        return
    try:
        delivered = _checked(work, f"{name}/late", served, part, quote)
    except PrsmError as error:
        price = format_ftns(quote.assignment.price)
        work.notes.append(f"{price} FTNS were paid for row {part.row + 1}, whose result never reached us: {error}")
        return
    attempted.late.append(delivered)
    _keep(work, f"{name}/late", delivered)
    work.account.spent = Wei(work.account.spent + delivered.receipt.charged)
    price = format_ftns(delivered.receipt.charged)
    work.notes.append(f"Row {part.row + 1} came from {served.offer.url} too, late: it was paid {price} FTNS.")


def _attempt_block(work: Work, node: PlanNode, attempted: Attempted) -> blocks.Attempt:
    got = [*attempted.delivered.values(), *attempted.late]
    error = None
    if attempted.outcome == "failed" and attempted.error is not None:
        detail = work.recorder.seal({"v": 1, "kind": "error", "text": str(attempted.error)})
        error = blocks.AttemptError(attempted.error.name, detail)
    listing = attempted.routed.listing
    return blocks.Attempt(
        work.specs[node.id],
        node.id,
        attempted.number,
        node.kind,
        work.recorder.signer.did,
        attempted.outcome,
        attempted.routed.tier,
        model=blocks.ModelUse(listing.name, listing.cid, listing.weights),
        output=attempted.output,
        error=error,
        usage=blocks.Used(
            rows=sum(one.receipt.usage.rows for one in got), run_us=sum(one.receipt.usage.run_us for one in got)
        ),
        quoted=attempted.quoted,
        charged=Wei(sum(one.receipt.charged for one in got)),
        receipts=tuple(one.receipt_cid for one in got),
        verdicts=attempted.verdicts,
    )


def _output_bits(work: Work, listing: Listing, done: Mapping[int, Delivered]) -> int:
    """Scale of the delivered words: the manifest's for a circuit, else the listing's."""
    for delivered in done.values():
        if delivered.manifest:
            value = dag_cbor.decode(work.network.block(Cid.parse(delivered.manifest)))
            bits = value.get("output_bits") if isinstance(value, dict) else None
            if isinstance(bits, int):
                return bits
    return listing.bits
