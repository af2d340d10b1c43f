"""What to do next with a task, from what was done here and what the chain says now.

Pure: no clock, no store, no network. Restarting a node, replaying a reorganisation and running normally all ask this one
function, so deleting every byte of memory changes no step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum

from prsm_protocol.types import Waiting


class Work(StrEnum):
    """What this node has done; only ever moves forward, and UNABLE ends it."""

    QUOTED = "quoted"
    ASSIGNED = "assigned"
    INPUT = "input"
    OUTPUT = "output"
    PROOF = "proof"
    SIGNED = "signed"
    UNABLE = "unable"


ORDER = tuple(Work)


class OnChain(StrEnum):
    """What the chain says, folded from events of canonical blocks; may go back in a reorganisation."""

    UNSEEN = "unseen"
    ASSIGNED = "assigned"
    DELIVERED = "delivered"
    PAID = "paid"
    REFUNDED = "refunded"
    SPLIT = "split"
    DECLINED = "declined"


ENDED = frozenset({OnChain.PAID, OnChain.REFUNDED, OnChain.SPLIT, OnChain.DECLINED})


class DeclineCode(IntEnum):
    """Why a node gives a task back; a closed list, since the code stands on the chain."""

    INPUT_MISSING = 1
    INPUT_MISMATCH = 2
    NOT_PROVABLE = 3
    TOO_LATE = 4
    CIRCUIT_REMOVED = 5
    MODEL_HALTED = 6
    NODE_FAULT = 7


class Do(StrEnum):
    WAIT = "wait"
    ACCEPT = "accept"  # compare the assignment with the quote
    RUN = "run"
    PROVE = "prove"
    SIGN = "sign"
    DECLINE = "decline"  # mark the work UNABLE with a code
    ENSURE_DELIVER = "ensure deliver"
    ENSURE_DECLINE = "ensure decline"
    ENSURE_RELEASE = "ensure release"
    CLOSE = "close"


@dataclass(frozen=True)
class View:
    """Everything the decision rests on. Times are seconds on the chain's halt-adjusted clock."""

    work: Work
    chain: OnChain
    is_proved: bool
    now: int
    quote_until: int
    deliver_by: int | None = None
    final_at: int | None = None
    was_seen: bool = False
    missing_blocks: int = 0  # how long an assignment that was seen has been gone
    is_final: bool = False  # the ending event is as deep as the operator asks for


@dataclass(frozen=True)
class Limits:
    """`estimate_seconds` is the high estimate of the work left from a stored input; `margin_seconds` is for the delivery."""

    estimate_seconds: int
    margin_seconds: int = 5
    missing_blocks: int = 128


@dataclass(frozen=True)
class Step:
    do: Do
    waiting: Waiting | None = None
    code: DeclineCode | None = None


def next_step(view: View, limits: Limits) -> Step:
    """The one thing to do now."""
    if view.chain is OnChain.UNSEEN:
        return _unseen(view, limits)
    if view.chain is OnChain.ASSIGNED:
        return _assigned(view, limits)
    if view.chain is OnChain.DELIVERED:
        return _delivered(view)
    if view.is_final:
        return Step(Do.CLOSE)
    return _wait("the payment's block to become final", view.now, "the task is closed")


def _unseen(view: View, limits: Limits) -> Step:
    if view.was_seen:
        if view.missing_blocks >= limits.missing_blocks:
            return Step(Do.CLOSE)
        return _wait("the assignment to come back after a reorganisation", view.now, "the task is closed")
    if view.now > view.quote_until:
        return Step(Do.CLOSE)
    return _wait("the buyer to assign the task", view.quote_until, "the quote lapses and its capacity is free")


def _assigned(view: View, limits: Limits) -> Step:
    deliver_by = view.deliver_by or 0
    if view.now > deliver_by:
        return _wait(
            "the buyer to take the refund", deliver_by, "the price is back in the job; nothing is lost but the work"
        )
    if view.work is Work.SIGNED:
        return Step(Do.ENSURE_DELIVER)
    if view.work is Work.UNABLE:
        return Step(Do.ENSURE_DECLINE)
    if view.work is Work.QUOTED:
        return Step(Do.ACCEPT)
    left = deliver_by - view.now
    if view.work is Work.ASSIGNED:
        latest = deliver_by - limits.margin_seconds - limits.estimate_seconds
        if view.now >= latest:
            return Step(Do.DECLINE, code=DeclineCode.INPUT_MISSING)
        return _wait("the input", latest, "the task is declined as INPUT_MISSING and the price goes back")
    if view.work in (Work.INPUT, Work.OUTPUT):
        if left < limits.estimate_seconds:
            return Step(Do.DECLINE, code=DeclineCode.TOO_LATE)
        if view.work is Work.INPUT:
            return Step(Do.RUN)
        return Step(Do.PROVE if view.is_proved else Do.SIGN)
    return Step(Do.SIGN)


def _delivered(view: View) -> Step:
    if view.final_at is None:
        return _wait("the end of the result's window to be read", view.now, "it is read at the next block")
    if view.now < view.final_at:
        return _wait("the end of the result's window", view.final_at, "the payment is released")
    return Step(Do.ENSURE_RELEASE)


def _wait(for_what: str, until: int, then: str) -> Step:
    return Step(Do.WAIT, Waiting(for_what, datetime.fromtimestamp(until, UTC), then))
