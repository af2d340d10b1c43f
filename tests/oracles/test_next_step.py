"""Every pair of what was done here and what the chain says has one next step.

The table below is the specification, written out; a pair that is missing fails the test.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from oracles.next_step import ENDED, DeclineCode, Do, Limits, OnChain, View, Work, next_step

NOW = 1_000_000
DELIVER_BY = NOW + 100
LIMITS = Limits(estimate_seconds=10, margin_seconds=5)

TABLE: dict[OnChain, dict[Work, Do]] = {
    OnChain.UNSEEN: dict.fromkeys(Work, Do.WAIT),
    OnChain.ASSIGNED: {
        Work.QUOTED: Do.ACCEPT,
        Work.ASSIGNED: Do.WAIT,
        Work.INPUT: Do.RUN,
        Work.OUTPUT: Do.PROVE,
        Work.PROOF: Do.SIGN,
        Work.SIGNED: Do.ENSURE_DELIVER,
        Work.UNABLE: Do.ENSURE_DECLINE,
    },
    OnChain.DELIVERED: dict.fromkeys(Work, Do.ENSURE_RELEASE),
    **{state: dict.fromkeys(Work, Do.CLOSE) for state in ENDED},
}


def view(work: Work, chain: OnChain, **changes: object) -> View:
    seen = View(
        work=work,
        chain=chain,
        is_proved=True,
        now=NOW,
        quote_until=NOW + 60,
        deliver_by=DELIVER_BY,
        final_at=NOW,
        was_seen=chain is not OnChain.UNSEEN,
        is_final=True,
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("chain", OnChain)
@pytest.mark.parametrize("work", Work)
def test_every_pair_has_the_step_of_the_table(work: Work, chain: OnChain) -> None:
    assert next_step(view(work, chain), LIMITS).do is TABLE[chain][work]


@pytest.mark.parametrize("chain", OnChain)
@pytest.mark.parametrize("work", Work)
@pytest.mark.parametrize("now", [NOW - 1000, NOW, DELIVER_BY, DELIVER_BY + 1, NOW + 10_000])
def test_every_wait_names_a_deadline_and_what_follows(work: Work, chain: OnChain, now: int) -> None:
    step = next_step(view(work, chain, now=now, is_final=False), LIMITS)
    assert (step.do is Do.WAIT) == (step.waiting is not None)
    if step.waiting is not None:
        assert step.waiting.for_what
        assert step.waiting.then


@pytest.mark.parametrize(("now", "do"), [(NOW + 59, Do.WAIT), (NOW + 60, Do.WAIT), (NOW + 61, Do.CLOSE)])
def test_quote_is_forgotten_one_second_after_it_lapsed(now: int, do: Do) -> None:
    assert next_step(view(Work.QUOTED, OnChain.UNSEEN, now=now), LIMITS).do is do


@pytest.mark.parametrize(
    ("left", "do", "code"),
    [(16, Do.WAIT, None), (15, Do.DECLINE, DeclineCode.INPUT_MISSING), (14, Do.DECLINE, DeclineCode.INPUT_MISSING)],
)
def test_missing_input_is_declined_when_no_time_is_left_to_work(left: int, do: Do, code: DeclineCode | None) -> None:
    step = next_step(view(Work.ASSIGNED, OnChain.ASSIGNED, now=DELIVER_BY - left), LIMITS)
    assert (step.do, step.code) == (do, code)


@pytest.mark.parametrize("work", [Work.INPUT, Work.OUTPUT])
@pytest.mark.parametrize(("left", "code"), [(11, None), (10, None), (9, DeclineCode.TOO_LATE)])
def test_work_that_cannot_be_done_in_time_is_declined(work: Work, left: int, code: DeclineCode | None) -> None:
    assert next_step(view(work, OnChain.ASSIGNED, now=DELIVER_BY - left), LIMITS).code is code


@pytest.mark.parametrize("work", Work)
def test_nothing_is_sent_after_the_deadline_of_the_delivery(work: Work) -> None:
    assert next_step(view(work, OnChain.ASSIGNED, now=DELIVER_BY + 1), LIMITS).do is Do.WAIT


def test_trusted_output_is_signed_without_a_proof() -> None:
    assert next_step(view(Work.OUTPUT, OnChain.ASSIGNED, is_proved=False), LIMITS).do is Do.SIGN


@pytest.mark.parametrize(("now", "do"), [(NOW - 1, Do.WAIT), (NOW, Do.ENSURE_RELEASE), (NOW + 1, Do.ENSURE_RELEASE)])
def test_release_follows_the_end_of_the_window(now: int, do: Do) -> None:
    assert next_step(view(Work.SIGNED, OnChain.DELIVERED, now=now, final_at=NOW), LIMITS).do is do


@pytest.mark.parametrize(("missing", "do"), [(127, Do.WAIT), (128, Do.CLOSE), (129, Do.CLOSE)])
def test_assignment_gone_in_a_reorganisation_is_waited_for(missing: int, do: Do) -> None:
    gone = view(Work.SIGNED, OnChain.UNSEEN, was_seen=True, missing_blocks=missing, now=NOW + 10_000)
    assert next_step(gone, LIMITS).do is do


@pytest.mark.parametrize("chain", sorted(ENDED))
def test_ended_task_is_closed_only_when_its_block_is_final(chain: OnChain) -> None:
    assert next_step(view(Work.SIGNED, chain, is_final=False), LIMITS).do is Do.WAIT
