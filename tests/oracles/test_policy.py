"""Each reason for not quoting, and its edge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oracles.policy import Query, Reason, Situation, judge, with_margin

QUERY = Query(tier="proved", parts=2, rows=2, rows_fit=True, deliver_within=62, price=1_000)
GOOD = Situation(
    is_draining=False,
    is_registered=True,
    tiers=("proved", "trusted"),
    circuit_is_held=True,
    circuit_is_enabled=True,
    model_is_halted=False,
    estimate_seconds=60,
    confirm_seconds=2,
    gas_cost=0,
    job_free=1_000,
    open_tasks=0,
    most_open_tasks=10,
    most_parts=4,
    gas_is_low=False,
)


def reason(query: Query = QUERY, **changes: object) -> str | None:
    refusal = judge(query, replace(GOOD, **changes))  # type: ignore[arg-type]
    return None if refusal is None else str(refusal.values["reason"])


def test_good_query_is_quoted() -> None:
    assert reason() is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"is_draining": True}, Reason.DRAINING),
        ({"is_registered": False}, Reason.NOT_REGISTERED),
        ({"tiers": ("trusted",)}, Reason.TIER_NOT_OFFERED),
        ({"circuit_is_held": False}, Reason.CIRCUIT_NOT_OFFERED),
        ({"circuit_is_enabled": False}, Reason.CIRCUIT_NOT_ENABLED),
        ({"model_is_halted": True}, Reason.MODEL_HALTED),
        ({"most_parts": 1}, Reason.TOO_MANY_PARTS),
        ({"estimate_seconds": 61}, Reason.DEADLINE_TOO_SHORT),
        ({"gas_cost": 417}, Reason.PRICE_BELOW_COST),
        ({"job_free": 999}, Reason.JOB_NOT_FUNDED),
        ({"open_tasks": 9}, Reason.CAPACITY_FULL),
        ({"gas_is_low": True}, Reason.GAS_LOW),
    ],
)
def test_each_reason_is_named(changes: dict[str, object], expected: Reason) -> None:
    assert reason(**changes) == expected.value


@pytest.mark.parametrize(
    "changes", [{"estimate_seconds": 60}, {"gas_cost": 416}, {"job_free": 1_000}, {"open_tasks": 8}, {"most_parts": 2}]
)
def test_last_value_that_is_enough_is_quoted(changes: dict[str, object]) -> None:
    assert reason(**changes) is None


def test_rows_that_the_circuit_does_not_take_are_refused() -> None:
    assert reason(replace(QUERY, rows_fit=False)) == Reason.ROWS_WRONG.value


@pytest.mark.parametrize(("amount", "bps", "expected"), [(100, 0, 100), (100, 1, 101), (100, 10_000, 200), (0, 500, 0)])
def test_margin_is_rounded_up(amount: int, bps: int, expected: int) -> None:
    assert with_margin(amount, bps) == expected
