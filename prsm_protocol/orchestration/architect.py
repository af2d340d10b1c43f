"""From a question to a plan: which tasks, in which order, on which listing. Deterministic planners, one a kind.

The plan passes the guards like any other; a refused split is recorded and the task is tried whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration import guards
from prsm_protocol.orchestration.question import Plan, PlanNode, Question
from prsm_protocol.types import Listing, Wei


class PlanInvalid(OrchestrationError):
    text = "the plan breaks rule {rule}: {detail}; the question is tried whole"


ROOT = "question"


def _cid(listing: Listing) -> str:
    return listing.cid.text if listing.cid is not None else ""


@dataclass(frozen=True)
class Brief:
    """What the planners of the kinds plan with."""

    question: Question
    cases: str
    known: str
    routed: Listing | None
    pair: tuple[Listing, Listing] | None
    cap: Wei
    local: bool


def plan(
    question: Question,
    kinds: tuple[str, ...],
    *,
    cases: str = "",
    known: str = "",
    routed: Listing | None = None,
    pair: tuple[Listing, Listing] | None = None,
    cap: Wei = Wei(0),
    local: bool = False,
) -> Plan:
    """The nodes of the plan, parents first. One kind alone is its own root: a split into one child is none."""
    inputs = tuple(item.name for item in question.data)
    root = PlanNode(ROOT, "question", question.text, inputs, rank=guards.RANK, budget=cap)
    brief = Brief(question, cases, known, routed, pair, cap, local)
    parts = [_PLANNERS[kind](brief) for kind in kinds]
    if len(parts) == 1:
        head, *below = parts[0]
        return Plan((replace(head, parent="", rank=guards.RANK, budget=cap), *below))
    nodes = [root]
    for part in parts:
        nodes += [replace(part[0], parent=ROOT), *part[1:]]
    return Plan(tuple(nodes))


def _predict(brief: Brief) -> list[PlanNode]:
    assert brief.routed is not None
    goal = f"predict {brief.routed.target} of {brief.cases}"
    return [
        PlanNode(
            "predict",
            "predict",
            goal,
            (brief.cases,),
            (_cid(brief.routed),),
            rank=2,
            budget=brief.cap,
            paid=not brief.local,
        )
    ]


def _explain(brief: Brief) -> list[PlanNode]:
    """predict → attribute rows → rank features. The prediction is the brief.question's own: memo runs it once."""
    assert brief.routed is not None
    predict = replace(_predict(brief)[0], budget=Wei(0))
    head = PlanNode(
        "explain",
        "explain",
        f"explain {brief.routed.target} of {brief.cases}",
        (brief.cases,),
        (_cid(brief.routed),),
        rank=2,
    )
    return [
        replace(head, after=("predict",)),
        replace(predict, id="explain.predict", parent="explain", rank=1),
        PlanNode(
            "explain.attribute",
            "explain",
            f"attribute {brief.routed.target} of {brief.cases} to features",
            (brief.cases,),
            (_cid(brief.routed),),
            after=("explain.predict",),
            parent="explain",
            rank=1,
        ),
    ]


def _compare(brief: Brief) -> list[PlanNode]:
    """predict with each (own, on public weights) → statistics; where brief.cases are predicted too, the second model's view of them."""
    assert brief.pair is not None
    first, second = brief.pair
    head = PlanNode(
        "compare",
        "compare",
        f"compare two models on {brief.known}",
        (brief.known,),
        (_cid(first), _cid(second)),
        rank=2,
    )
    below = [
        PlanNode(
            "compare.first", "predict", f"predict {first.target} of {brief.known}", (brief.known,), (_cid(first),)
        ),
        PlanNode(
            "compare.second", "predict", f"predict {second.target} of {brief.known}", (brief.known,), (_cid(second),)
        ),
    ]
    if brief.routed is not None and brief.cases != brief.known:
        below.append(
            PlanNode(
                "compare.cases", "predict", f"predict {second.target} of {brief.cases}", (brief.cases,), (_cid(second),)
            )
        )
    below.append(
        PlanNode(
            "compare.statistics",
            "compare",
            f"test the difference on {brief.known}",
            (brief.known,),
            (_cid(first), _cid(second)),
            after=("compare.first", "compare.second"),
        )
    )
    return [head, *(replace(node, parent="compare", rank=1) for node in below)]


def _retrieve(brief: Brief) -> list[PlanNode]:
    inputs = tuple(item.name for item in brief.question.documents)
    return [PlanNode("retrieve", "retrieve", f"find passages that answer: {brief.question.text}", inputs, rank=2)]


def _calculate(brief: Brief) -> list[PlanNode]:
    inputs = tuple(table.name for table in brief.question.tables)
    return [PlanNode("calculate", "calculate", f"calculate what is asked: {brief.question.text}", inputs, rank=2)]


def _write(brief: Brief) -> list[PlanNode]:
    inputs = tuple(item.name for item in brief.question.documents)
    return [PlanNode("write", "write", f"draft a text: {brief.question.text}", inputs, rank=2)]


_PLANNERS: dict[str, Callable[[Brief], list[PlanNode]]] = {
    "predict": _predict,
    "explain": _explain,
    "compare": _compare,
    "retrieve": _retrieve,
    "calculate": _calculate,
    "write": _write,
}


def task_of(node: PlanNode) -> guards.Task:
    """What the guards see of a node. Listings count as inputs: the same table through two models is two tasks."""
    return guards.Task(
        node.id, node.kind, node.goal, (*node.inputs, *node.listings), node.kind, node.rank, node.budget, node.after
    )


def splits(plan: Plan) -> list[guards.Split]:
    """The plan as splits, parents first. Order between siblings only: deeper order follows from their parents'."""
    found: list[guards.Split] = []
    for parent in plan.nodes:
        children = tuple(task_of(node) for node in plan.nodes if node.parent == parent.id)
        if children:
            found.append(guards.Split(parent.id, children))
    return found


def check(plan: Plan) -> list[tuple[guards.Split, guards.Refusal | None]]:
    """Every split with the guards' word on it."""
    root = next(node for node in plan.nodes if not node.parent)
    state = guards.GraphState.of(task_of(root))
    found = []
    for split in splits(plan):
        refusal = guards.admit(state, split)
        if refusal is None:
            state.apply(split)
        found.append((split, refusal))
    return found
