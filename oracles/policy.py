"""Whether to take a task: pure checks in a fixed order, the first that fails is the answer.

Refusing costs nobody anything, so everything that could later force a decline is asked here, before capacity is bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prsm_protocol.errors import NodeError

DELIVER_GAS = {"proved": 650_000, "trusted": 250_000}
"""Gas of one paid delivery: the goal of the contracts for a proof, and a signature alone with its release."""

GAS_SAFETY_PERCENT = 120


class Reason(StrEnum):
    """The closed list of reasons for not quoting."""

    DRAINING = "draining"
    NOT_REGISTERED = "not registered"
    TIER_NOT_OFFERED = "tier not offered"
    CIRCUIT_NOT_OFFERED = "circuit not offered"
    CIRCUIT_NOT_ENABLED = "circuit not enabled"
    MODEL_HALTED = "model halted"
    TOO_MANY_PARTS = "too many parts"
    ROWS_WRONG = "rows wrong"
    DEADLINE_TOO_SHORT = "deadline too short"
    PRICE_BELOW_COST = "price below cost"
    JOB_NOT_FUNDED = "job not funded"
    CAPACITY_FULL = "capacity full"
    GAS_LOW = "gas low"


class Declined(NodeError):
    text = "not quoted: {reason} ({why}); ask another node or change the request"


@dataclass(frozen=True)
class Query:
    """What is asked for, in numbers."""

    tier: str
    parts: int
    rows: int  # of all parts together
    rows_fit: bool  # every part has the rows that its circuit or model takes
    deliver_within: int
    price: int  # of all parts together, wei


@dataclass(frozen=True)
class Situation:
    """What the node knows when it is asked."""

    is_draining: bool
    is_registered: bool
    tiers: tuple[str, ...]
    circuit_is_held: bool
    circuit_is_enabled: bool
    model_is_halted: bool
    estimate_seconds: int  # high estimate for this request behind everything that is open
    confirm_seconds: int
    gas_cost: int  # wei of FTNS for one delivery of this tier; 0 where gas is not priced
    job_free: int  # wei of the job's budget not yet bound
    open_tasks: int
    most_open_tasks: int
    most_parts: int
    gas_is_low: bool


def judge(query: Query, situation: Situation) -> Declined | None:
    """None, or why not."""
    needed = situation.estimate_seconds + situation.confirm_seconds
    cost = -(-situation.gas_cost * query.parts * GAS_SAFETY_PERCENT // 100)
    checks: tuple[tuple[bool, Reason, str], ...] = (
        (situation.is_draining, Reason.DRAINING, "this node takes no new tasks"),
        (not situation.is_registered, Reason.NOT_REGISTERED, "the signer is not the operator's current one"),
        (
            query.tier not in situation.tiers,
            Reason.TIER_NOT_OFFERED,
            f"{query.tier!r}, offered {', '.join(situation.tiers)}",
        ),
        (
            query.tier == "proved" and not situation.circuit_is_held,
            Reason.CIRCUIT_NOT_OFFERED,
            "the prover does not hold it",
        ),
        (
            query.tier == "proved" and not situation.circuit_is_enabled,
            Reason.CIRCUIT_NOT_ENABLED,
            "its notice has not ended",
        ),
        (situation.model_is_halted, Reason.MODEL_HALTED, "the record is halted"),
        (
            not 1 <= query.parts <= situation.most_parts,
            Reason.TOO_MANY_PARTS,
            f"{query.parts}, at most {situation.most_parts}",
        ),
        (not query.rows_fit, Reason.ROWS_WRONG, "a proved part has its circuit's rows, a trusted one 1 to 1,024"),
        (query.deliver_within < needed, Reason.DEADLINE_TOO_SHORT, f"{query.deliver_within} s, needed {needed} s"),
        (query.price < cost, Reason.PRICE_BELOW_COST, f"{query.price} wei, deliveries cost {cost} wei"),
        (
            situation.job_free < query.price,
            Reason.JOB_NOT_FUNDED,
            f"{situation.job_free} wei free, price {query.price} wei",
        ),
        (
            situation.open_tasks + query.parts > situation.most_open_tasks,
            Reason.CAPACITY_FULL,
            f"{situation.open_tasks} of {situation.most_open_tasks} open",
        ),
        (situation.gas_is_low, Reason.GAS_LOW, "the sender cannot pay for deliveries"),
    )
    for failed, reason, detail in checks:
        if failed:
            return Declined(reason=reason.value, why=detail)
    return None


def with_margin(amount: int, margin_bps: int) -> int:
    """The listing's price and the operator's margin on it, rounded up: never below what the owner asks."""
    return -(-amount * (10_000 + margin_bps) // 10_000)
