"""Works the plan off: each node when what it needs is there, at most once a task.

Paid nodes go first, since others wait on them and they wait on other machines. A node that cannot be done leaves a line in
`not_done`; what does not need it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from prsm_protocol.errors import PrsmError
from prsm_protocol.orchestration import architect, guards
from prsm_protocol.orchestration.own import work_own
from prsm_protocol.orchestration.paid import work_paid
from prsm_protocol.orchestration.question import NotDone, PlanNode
from prsm_protocol.orchestration.work import Work, record_reuse
from prsm_protocol.types import Progress


def execute(work: Work) -> None:
    """Every leaf of the plan once, as soon as what it waits for is there."""
    parents = {node.parent for node in work.plan.nodes}
    leaves = [node for node in work.plan.nodes if node.id not in parents]
    state = guards.GraphState.of(architect.task_of(next(node for node in work.plan.nodes if not node.parent)))
    for split, refusal in architect.check(work.plan):
        if refusal is None:
            state.apply(split)
    waiting = sorted(leaves, key=lambda node: (not (node.paid and node.budget > 0), leaves.index(node)))
    while waiting:
        node = next((node for node in waiting if not _awaited(work, node, waiting)), None)
        if node is None:
            break
        waiting.remove(node)
        _work_off(work, state, node)
        work.steps.report(Progress("plan", len(leaves) - len(waiting), len(leaves), "tasks", node.id))
    for node in waiting:
        work.not_done.append(NotDone(node.id, "what it waits for never ended"))


def _awaited(work: Work, node: PlanNode, waiting: Sequence[PlanNode]) -> bool:
    """Does this leaf, or a parent of it, wait for something that has not ended?"""
    by_id = {other.id: other for other in work.plan.nodes}
    above: PlanNode | None = node
    while above is not None:
        for name in above.after:
            if any(other.id == name or other.id.startswith(name + ".") for other in waiting):
                return True
        above = by_id.get(above.parent)
    return False


def _work_off(work: Work, state: guards.GraphState, node: PlanNode) -> None:
    broken = [name for name in node.after if name in work.failed]
    if broken:
        work.failed.add(node.id)
        work.not_done.append(NotDone(node.id, f"{broken[0]} was not done"))
        return
    spec = work.specs[node.id]
    reused = work.memo.get(spec)
    if reused is not None:
        record_reuse(work, node, spec, reused)
        return
    try:
        source = work_paid(work, state, node) if node.paid else work_own(work, state, node)
    except PrsmError as error:
        work.failed.add(node.id)
        work.not_done.append(NotDone(node.id, str(error)))
        return
    work.sources[node.id] = source
    work.memo[spec] = source
