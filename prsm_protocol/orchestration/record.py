"""From orchestration's own values to the blocks of the trace: one place, so the verifier finds one form.

Questions, tables, goals and outputs are private payloads and sealed; listings and weights are public and linked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prsm_protocol.errors import UsageError
from prsm_protocol.orchestration.listings import class_named
from prsm_protocol.orchestration.question import Answer, Choice, Citation, Claim, Plan, PlanNode, Question, Table
from prsm_protocol.trace import blocks, dag_cbor
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.seal import Ref
from prsm_protocol.types import Cid, Listing, wei_bytes

TABLE_LIMIT = 1 << 20
"""A block's limit: a table travels in the trace as one block."""

TABLE_TYPE = "application/vnd.prsm.table+cbor"
LISTING_TYPE = "application/vnd.prsm.listing+cbor"


class TableTooLarge(UsageError):
    text = "table {table} takes {bytes} bytes in the record, the limit is {limit}; give fewer rows or columns"


def table_payload(table: Table, listing: Listing | None, label: int | None) -> dict[str, object]:
    """The table as it stood in the file; labels in the listing's spelling of its classes."""
    labels = None
    if label is not None and listing is not None:
        labels = [class_named(listing, row[label]) for row in table.rows]
    payload: dict[str, object] = {
        "v": 1,
        "kind": "table",
        "name": table.name,
        "columns": list(table.columns),
        "rows": [list(row) for row in table.rows],
        "labels": labels,
        "label_column": None if label is None else table.columns[label],
    }
    size = len(dag_cbor.encode(payload))
    if size > TABLE_LIMIT:
        raise TableTooLarge(table=table.name, bytes=size, limit=TABLE_LIMIT)
    return payload


def question_payload(question: Question) -> dict[str, object]:
    """What `RunHead.question` refers to; the run seals the same payload and gets the same reference."""
    return {
        "v": 1,
        "kind": "question",
        "text": question.text,
        "data": [{"name": item.name, "media_type": item.media_type, "sha256": item.digest} for item in question.data],
        "budget": wei_bytes(question.budget),
        "least_tier": question.least_tier,
        "public_data": question.public_data,
        "payment": "none" if question.local else "escrow",
    }


def decision(choice: Choice) -> blocks.Decision:
    return blocks.Decision(
        choice.matter,
        blocks.DecidedBy(choice.how, choice.name, choice.version),
        tuple(blocks.Option(name, score, why) for name, score, why in choice.options[:64]),
        choice.chosen,
        choice.confidence_ppm,
    )


def task_spec(
    node: PlanNode, recorder: Recorder, inputs: Mapping[str, tuple[Ref, str]], least_tier: str
) -> blocks.TaskSpec:
    """Equal specs run once. A listing counts as input only where the task names the model itself (own work)."""
    named = [] if node.paid else [blocks.Input("listing", Cid.parse(cid), LISTING_TYPE) for cid in node.listings]
    return blocks.TaskSpec(
        task=node.kind,
        goal=recorder.seal({"v": 1, "kind": "goal", "text": node.goal}),
        inputs=tuple(blocks.Input(name, *inputs[name]) for name in node.inputs) + tuple(named),
        output_schema=None,
        acceptance=_ACCEPTANCE.get(node.kind, ()),
        least_tier=least_tier,
    )


_ACCEPTANCE: dict[str, tuple[blocks.Check, ...]] = {
    "predict": (
        blocks.Check("rows", "/rows", {}, True),
        blocks.Check("labels", "/labels", {}, True),
    ),
    "explain": (blocks.Check("sum", "/attributions", {}),),
    "compare": (blocks.Check("recompute", ""),),
    "calculate": (blocks.Check("recompute", ""),),
    "retrieve": (blocks.Check("quote", "/quotes", {}),),
    "write": (blocks.Check("numbers", "/sentences", {}),),
}


def graph_blocks(
    plan: Plan, specs: Mapping[str, Cid], deadline_us: int, planned: Cid | None
) -> list[tuple[str, blocks.TaskGraph]]:
    """One block a split, the parent with its children. A plan of one node is a graph of that node alone."""
    by_id = {node.id: node for node in plan.nodes}

    def graph_node(node: PlanNode) -> blocks.GraphNode:
        return blocks.GraphNode(specs[node.id], node.parent or None, node.rank, node.budget, deadline_us)

    root = next(node for node in plan.nodes if not node.parent)
    parents = [node for node in plan.nodes if any(child.parent == node.id for child in plan.nodes)] or [root]
    found = []
    for parent in parents:
        children = [node for node in plan.nodes if node.parent == parent.id]
        edges = [
            blocks.Edge(before, child.id, "data", by_id[before].kind) for child in children for before in child.after
        ]
        members = {node.id: graph_node(node) for node in (parent, *children)}
        found.append((parent.id, blocks.TaskGraph(parent.id, members, tuple(edges), planned)))
    return found


def answer_payload(question: Question, answer: Answer) -> dict[str, object]:
    return {
        "v": 1,
        "kind": "answer",
        "question": question.text,
        "text": answer.text,
        "state": answer.state,
        "claims": [_claim(claim) for claim in answer.claims],
        "conflicts": [
            {
                "subject": c.subject,
                "attribute": c.attribute,
                "sides": list(c.sides),
                "values": list(c.values),
                "note": c.note,
            }
            for c in answer.conflicts
        ],
        "not_done": [{"what": n.what, "why": n.why, "cost": wei_bytes(n.cost)} for n in answer.not_done],
        "tier": answer.tier,
        "spent": wei_bytes(answer.spent),
        "tables": [
            {"name": t.name, "columns": list(t.columns), "rows": [list(row) for row in t.rows]} for t in answer.tables
        ],
        "notes": list(answer.notes),
    }


def _claim(claim: Claim) -> dict[str, object]:
    return {
        "id": claim.id,
        "text": claim.text,
        "value": claim.value,
        "support": claim.support,
        "tier": claim.tier,
        "citations": [_citation(citation) for citation in claim.citations],
    }


def _citation(citation: Citation) -> dict[str, object]:
    if citation.attempt is not None:
        return {"attempt": citation.attempt, "path": citation.path}
    return {
        "document": citation.document,
        "page": citation.page,
        "start": citation.start,
        "end": citation.end,
        "quote_sha256": citation.quote_sha256,
    }


def weakest(tiers: Sequence[str]) -> str:
    """The weakest tier named; `own` counts least only where nothing else was used."""
    paid = [tier for tier in tiers if tier != "own"]
    order = ("proved", "staked", "trusted")
    return max(paid, key=order.index) if paid else "own"
