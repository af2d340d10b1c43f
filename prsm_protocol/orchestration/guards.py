"""Guards against endless recursion: pure checks that no planner, however hostile, gets past.

Every admitted split lowers a pair of whole numbers (nodes left, attempts left), so a run takes at most `NODES` nodes and
`ATTEMPTS` attempts whatever the planner says. A refused split costs nothing: the task is tried whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prsm_protocol.types import Wei

RANK = 3
"""Rank of the root: three levels below a question are enough for every planner we ship, and each level multiplies by eight."""
CHILDREN = 8
NODES = 64
ATTEMPTS = 128
ATTEMPTS_PER_NODE = 3


@dataclass(frozen=True)
class Task:
    """What the guards see of a node."""

    id: str
    kind: str
    goal: str
    inputs: tuple[str, ...]
    schema: str
    rank: int
    budget: Wei
    after: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, str, tuple[str, ...], str]:
        """Same kind, inputs, schema and goal after folding case, space and punctuation: the same task."""
        return (
            self.kind,
            " ".join(re.findall(r"[^\W_]+", self.goal.casefold())),
            tuple(sorted(self.inputs)),
            self.schema,
        )


@dataclass(frozen=True)
class Split:
    parent: str
    children: tuple[Task, ...]


@dataclass(frozen=True)
class Refusal:
    """The rule that a split breaks, with the numbers that show it."""

    rule: str
    detail: str


@dataclass
class GraphState:
    """The run's graph so far: the fold of its admitted splits."""

    nodes: dict[str, Task]
    parents: dict[str, str] = field(default_factory=dict)
    children: dict[str, tuple[str, ...]] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Task) -> GraphState:
        return cls({root.id: root})

    def ancestors(self, node: str) -> list[Task]:
        """The node and everything above it."""
        chain = [self.nodes[node]]
        while (above := self.parents.get(chain[-1].id)) is not None:
            chain.append(self.nodes[above])
        return chain

    def apply(self, split: Split) -> None:
        """Add an admitted split."""
        for child in split.children:
            self.nodes[child.id] = child
            self.parents[child.id] = split.parent
        self.children[split.parent] = tuple(child.id for child in split.children)

    def attempt(self, node: str) -> Refusal | None:
        """Count an attempt, or say which cap forbids it."""
        if sum(self.attempts.values()) >= ATTEMPTS:
            return Refusal("attempts", f"{ATTEMPTS} attempts were made in this run")
        if self.attempts.get(node, 0) >= ATTEMPTS_PER_NODE:
            return Refusal("attempts", f"{ATTEMPTS_PER_NODE} attempts were made for {node}")
        if node in self.children:
            return Refusal("attempts", f"{node} was split; its children are attempted")
        self.attempts[node] = self.attempts.get(node, 0) + 1
        return None


def measure(state: GraphState) -> tuple[int, int]:
    """(nodes left, attempts left): each admitted split lowers the first, each attempt the second; neither ever rises."""
    return NODES - len(state.nodes), ATTEMPTS - sum(state.attempts.values())


def admit(state: GraphState, split: Split) -> Refusal | None:
    """Why the split is refused, or None."""
    parent = state.nodes.get(split.parent)
    if parent is None:
        return Refusal("connected", f"parent {split.parent} is not in the graph")
    if parent.id in state.children:
        return Refusal("connected", f"{parent.id} is split already")
    for check in (_caps, _ranks, _budgets, _order, _progress):
        refusal = check(state, parent, split.children)
        if refusal is not None:
            return refusal
    return None


def _caps(state: GraphState, parent: Task, children: Sequence[Task]) -> Refusal | None:
    if len(children) < 2:
        return Refusal("progress", f"a split into {len(children)} is none")
    if len(children) > CHILDREN:
        return Refusal("caps", f"{len(children)} children, the limit is {CHILDREN}")
    if len(state.nodes) + len(children) > NODES:
        return Refusal("caps", f"{len(state.nodes) + len(children)} nodes, the limit is {NODES}")
    names = [child.id for child in children]
    if len(set(names)) != len(names) or any(name in state.nodes for name in names):
        return Refusal("connected", "a node's name is taken")
    return None


def _ranks(state: GraphState, parent: Task, children: Sequence[Task]) -> Refusal | None:
    if parent.rank <= 0:
        return Refusal("rank", f"{parent.id} has rank 0 and is not split")
    for child in children:
        if not 0 <= child.rank < parent.rank:
            return Refusal("rank", f"{child.id} has rank {child.rank}, its parent {parent.rank}")
    return None


def _budgets(state: GraphState, parent: Task, children: Sequence[Task]) -> Refusal | None:
    if any(child.budget < 0 for child in children):
        return Refusal("budget", "a budget is negative")
    total = sum(child.budget for child in children)
    if total > parent.budget:
        return Refusal("budget", f"children want {total} wei, the parent has {parent.budget}")
    return None


def _order(state: GraphState, parent: Task, children: Sequence[Task]) -> Refusal | None:
    """Data flows between siblings without a circle, so every child is reached and every leaf feeds the compiler."""
    waits = {child.id: set(child.after) for child in children}
    for name, after in waits.items():
        unknown = after - set(waits)
        if unknown:
            return Refusal("connected", f"{name} waits for {min(unknown)}, which is no sibling")
    if _has_circle(waits):
        return Refusal("acyclic", "children wait for each other in a circle")
    return None


def _has_circle(waits: Mapping[str, set[str]]) -> bool:
    left = {name: set(after) for name, after in waits.items()}
    while left:
        free = [name for name, after in left.items() if not after & set(left)]
        if not free:
            return True
        for name in free:
            del left[name]
    return False


def _progress(state: GraphState, parent: Task, children: Sequence[Task]) -> Refusal | None:
    above = {task.identity: task.id for task in state.ancestors(parent.id)}
    whole = parent.identity[1]
    for child in children:
        if child.identity in above:
            return Refusal("progress", f"{child.id} equals its ancestor {above[child.identity]}")
        if child.identity[1] == whole and set(child.inputs) >= set(parent.inputs):
            return Refusal("progress", f"{child.id} keeps its parent's whole goal and all its inputs")
    return None
