"""Steps on the asker's machine that nobody is paid for: functions of public weights and the user's files, recomputed by anybody."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from prsm_protocol.errors import ModelError, PrsmError
from prsm_protocol.orchestration import architect, guards
from prsm_protocol.orchestration.claims import Source
from prsm_protocol.orchestration.question import Choice, PlanNode
from prsm_protocol.orchestration.tasks import calculate, compare, explain, predict, retrieve, write
from prsm_protocol.orchestration.work import Work, end, record_failure, start
from prsm_protocol.trace import blocks
from prsm_protocol.types import Cid, Listing


def work_own(work: Work, state: guards.GraphState, node: PlanNode) -> Source:
    """A step on this machine that nobody is paid for; the verifier recomputes it."""
    refusal = state.attempt(node.id)
    if refusal is not None:
        raise architect.PlanInvalid(rule=refusal.rule, detail=refusal.detail)
    start(work, node, 1, Choice("route", "rule", "own", (("own", 0, "nobody is paid for it"),), "own"))
    begun = time.monotonic_ns()
    try:
        output, listings, checks = _OWN[node.kind](work, node)
    except PrsmError as error:
        record_failure(work, node, 1, "own", error)
        raise
    spent_us = work.steps.once(f"{node.id}/run_us", lambda: (time.monotonic_ns() - begun) // 1000)
    ref = work.recorder.seal(output)
    model = None
    if len(listings) == 1:
        model = blocks.ModelUse(listings[0].name, listings[0].cid, listings[0].weights)
    rows = output.get("rows")
    attempt = end(
        work,
        blocks.Attempt(
            work.specs[node.id],
            node.id,
            1,
            node.kind,
            work.recorder.signer.did,
            "accepted",
            "own",
            model=model,
            output=ref,
            usage=blocks.Used(rows=len(rows) if isinstance(rows, list) else 0, run_us=spent_us),
            verdicts=tuple(blocks.Verdict(name, passed) for name, passed in checks),
        ),
    )
    table = node.inputs[0] if node.inputs and node.inputs[0] in work.tables else ""
    return Source(node.id, node.kind, attempt, output, "own", table, tuple(listings))


Own = tuple[dict[str, object], list[Listing], list[tuple[str, bool]]]


def _own_predict(work: Work, node: PlanNode) -> Own:
    listing = work.listing(node.listings[0])
    network = work.weights(listing)
    prepared = predict.prepare(work.tables[node.inputs[0]], listing)
    outputs = dict(zip(prepared.rows, predict.own(network, prepared), strict=True))
    labels = {row: predict.label(listing, words, network.bits) for row, words in outputs.items()}
    assert listing.cid is not None
    block = predict.block(
        listing.cid,
        work.table_digest(node.inputs[0]),
        prepared,
        outputs,
        labels,
        close=[],
        tier="own",
        method="integer_layers",
        receipts=[],
    )
    return block, [listing], [("rows", len(outputs) == len(prepared.rows)), ("labels", True)]


def _own_explain(work: Work, node: PlanNode) -> Own:
    source = next(work.sources[name] for name in node.after if name in work.sources)
    listing = work.listing(cast("Cid", source.output["listing"]).text)
    prepared = predict.prepare(work.tables[node.inputs[0]], listing)
    assert listing.cid is not None
    block = explain.block(
        listing, listing.cid, work.table_digest(node.inputs[0]), work.weights(listing), prepared, source.ints("rows")
    )
    explained, predicted = len(cast("list[int]", block["rows"])), len(source.ints("rows"))
    if explained < predicted:
        work.notes.append(f"{explained} of {predicted} rows were explained; more would take too long to verify.")
    return block, [listing], [("sum", explain.check_sum(block))]


def _own_compare(work: Work, node: PlanNode) -> Own:
    first, second = (work.sources[name] for name in node.after)
    listings = [work.listing(cid) for cid in node.listings]
    table = work.tables[node.inputs[0]]
    shared = [row for row in first.ints("rows") if row in set(second.ints("rows"))]
    labels = tuple(
        [label for row, label in zip(source.ints("rows"), source.texts("labels"), strict=True) if row in set(shared)]
        for source in (first, second)
    )
    column = work.label_columns.get(table.name)
    labelled = [row for row in shared if column is None or table.rows[row][column]]
    if column is not None:
        keep = set(labelled)
        labels = tuple([label for row, label in zip(shared, side, strict=True) if row in keep] for side in labels)
        shared = labelled
    truth = compare.truth_of(listings[0], table, column, shared)
    cids = cast("tuple[Cid, Cid]", tuple(listing.cid for listing in listings))
    block = compare.block(
        cids, work.table_digest(table.name), shared, truth, cast("tuple[list[str], list[str]]", labels)
    )
    for listing in listings:
        seen = compare.rows_of_training(listing, table) if listing.trained_on else 0
        if seen:
            work.notes.append(
                f"{seen} rows of {table.name} belong to the part that {listing.name} may have learnt from."
            )
    return block, listings, [("recompute", True)]


def _own_calculate(work: Work, node: PlanNode) -> Own:
    tables = [work.tables[name] for name in node.inputs if name in work.tables]
    if tables:
        found = calculate.column_asked(work.question.text, tables)
        if found is not None:
            statistic, table, column = found
            cells = [row[column] for row in table.rows]
            digest = work.table_digest(table.name)
            return (
                calculate.from_column(statistic, digest, table.name, table.columns[column], cells),
                [],
                [("recompute", True)],
            )
    return calculate.from_text(work.question.text), [], [("recompute", True)]


def _own_retrieve(work: Work, node: PlanNode) -> Own:
    documents = [item for item in work.question.documents if item.name in node.inputs]
    try:
        block = retrieve.block(work.question.text, documents, work.embedder)
    except ModelError as error:
        work.notes.append(f"The documents were searched by words alone: {error}.")
        return retrieve.block(work.question.text, documents), [], [("quote", True)]
    if work.embedder is not None and retrieve.too_long(retrieve.spans(documents)):
        work.notes.append(
            f"Only {retrieve.MEANING_WORDS:,} words were compared by meaning too; the rest by words alone."
        )
    return block, [], [("quote", True)]


def _own_write(work: Work, node: PlanNode) -> Own:
    block = write.block(work.question.text, work.chat)
    return block, [], [("numbers", True)]


_OWN: dict[str, Callable[[Work, PlanNode], Own]] = {
    "predict": _own_predict,
    "explain": _own_explain,
    "compare": _own_compare,
    "calculate": _own_calculate,
    "retrieve": _own_retrieve,
    "write": _own_write,
}
