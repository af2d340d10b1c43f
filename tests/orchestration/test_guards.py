from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prsm_protocol.orchestration import guards
from prsm_protocol.orchestration.guards import GraphState, Split, Task, admit, measure
from prsm_protocol.types import Wei

ROOT = Task("root", "question", "Which are malignant, and why?", ("cases.csv",), "answer", guards.RANK, Wei(100))
PREDICT = Task("predict", "predict", "predict diagnosis", ("cases.csv",), "prediction", 2, Wei(100))
EXPLAIN = Task("explain", "explain", "explain diagnosis", ("cases.csv",), "explanation", 2, Wei(0), ("predict",))


def refused(*children, parent="root", state=None):
    refusal = admit(state or GraphState.of(ROOT), Split(parent, tuple(children)))
    return refusal.rule if refusal else None


def test_a_sound_split_is_admitted():
    assert refused(PREDICT, EXPLAIN) is None


@pytest.mark.parametrize(("rank", "rule"), [(-1, "rank"), (0, None), (guards.RANK - 1, None), (guards.RANK, "rank")])
def test_rank_falls(rank, rule):
    assert refused(replace(PREDICT, rank=rank), EXPLAIN) == rule


@pytest.mark.parametrize(("count", "rule"), [(1, "progress"), (2, None), (8, None), (9, "caps")])
def test_number_of_children(count, rule):
    children = [replace(PREDICT, id=f"p{i}", goal=f"part {i}", budget=Wei(0)) for i in range(count)]
    assert refused(*children) == rule


@pytest.mark.parametrize(("budget", "rule"), [(99, None), (100, None), (101, "budget"), (-1, "budget")])
def test_children_spend_no_more_than_their_parent_has(budget, rule):
    assert refused(replace(PREDICT, budget=Wei(budget)), EXPLAIN) == rule


def test_a_circle_between_siblings_is_refused():
    assert refused(replace(PREDICT, after=("explain",)), EXPLAIN) == "acyclic"


def test_waiting_for_a_stranger_is_refused():
    assert refused(PREDICT, replace(EXPLAIN, after=("elsewhere",))) == "connected"


def test_a_child_equal_to_an_ancestor_is_refused_whatever_its_punctuation():
    same = Task("again", "question", "which are MALIGNANT  and why", ("cases.csv",), "answer", 1, Wei(0))
    assert refused(PREDICT, same) == "progress"


def test_a_child_that_keeps_the_whole_goal_and_all_inputs_is_refused():
    whole = replace(PREDICT, goal=ROOT.goal, inputs=("cases.csv", "known.csv"))
    assert refused(whole, EXPLAIN) == "progress"


def test_a_node_is_attempted_three_times_and_never_after_a_split():
    state = GraphState.of(ROOT)
    state.apply(Split("root", (PREDICT, EXPLAIN)))
    assert [state.attempt("predict") is None for _ in range(4)] == [True, True, True, False]
    assert state.attempt("root").rule == "attempts"


names = st.sampled_from([f"n{i}" for i in range(24)] + ["root"])
hostile_task = st.builds(
    Task,
    id=names,
    kind=st.sampled_from(["question", "predict", "write"]),
    goal=st.sampled_from(["a", "A!", "b", ROOT.goal, "c", "d", "e"]),
    inputs=st.lists(st.sampled_from(["cases.csv", "x", "y"]), max_size=3).map(tuple),
    schema=st.sampled_from(["answer", "prediction"]),
    rank=st.integers(-1, 9),
    budget=st.integers(-1, 120).map(Wei),
    after=st.lists(names, max_size=2).map(tuple),
)
hostile_moves = st.lists(
    st.one_of(
        st.builds(Split, parent=names, children=st.lists(hostile_task, max_size=10).map(tuple)),
        names,  # attempt this node
    ),
    max_size=25,
)


@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hostile_moves)
def test_no_architect_runs_forever(moves):
    state = GraphState.of(ROOT)
    before = measure(state)
    for move in moves:
        if isinstance(move, Split):
            if admit(state, move) is not None:
                continue
            state.apply(move)
            assert measure(state)[0] < before[0]
        elif move in state.nodes and state.attempt(move) is None:
            assert measure(state)[1] == before[1] - 1
        assert measure(state) <= before
        before = measure(state)
        assert min(before) >= 0
        for name, task in state.nodes.items():
            chain = state.ancestors(name)
            assert chain[-1].id == "root"
            assert all(low.rank < high.rank for low, high in pairwise(chain))
            assert len({above.identity for above in chain}) == len(chain)
            assert task.rank >= 0
        for parent, children in state.children.items():
            assert sum(state.nodes[c].budget for c in children) <= state.nodes[parent].budget
        assert all(count <= guards.ATTEMPTS_PER_NODE for count in state.attempts.values())


@pytest.mark.parametrize("eager", [False, True])
def test_an_architect_that_always_splits_as_much_as_it_may_ends_at_the_caps(eager):
    state = GraphState.of(replace(ROOT, rank=8))
    number, open_nodes = 0, ["root"]
    while open_nodes:
        parent = open_nodes.pop()
        children = []
        for _ in range(8 if eager else 2):
            number += 1
            rank = state.nodes[parent].rank - 1
            children.append(Task(f"n{number}", "write", f"goal {number}", (), "text", rank, Wei(0)))
        split = Split(parent, tuple(children))
        if admit(state, split) is None:
            state.apply(split)
            open_nodes += [child.id for child in children]
    assert len(state.nodes) <= guards.NODES
    assert measure(state)[0] >= 0
