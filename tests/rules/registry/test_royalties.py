"""The division of a price against Royalties, and its sums."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prsm_protocol.chain import Chain
from prsm_protocol.chain.client import Call
from prsm_protocol.rules.registry.lineage import BPS, Kind, Registration, Share
from prsm_protocol.rules.registry.royalties import (
    IndexOutOfRange,
    StackTooHigh,
    TooManyRecords,
    burnt_share,
    claimable,
    share_of,
    split,
)
from prsm_protocol.testing import Accounts, Advance, Send

FEE_BPS, STACK_MAX_BPS = 200, 3_000
prices = st.integers(0, 2**90)
stacks = st.lists(st.integers(0, 750), max_size=4)


@given(prices, stacks)
def test_split_is_exact_to_the_wei(price: int, stack: list[int]) -> None:
    parts = split(price, stack, fee_bps=FEE_BPS, stack_max_bps=STACK_MAX_BPS)
    assert parts.fee + parts.royalty + parts.payee == price
    assert parts.payee >= 0


@given(st.integers(0, 2**90), st.lists(st.integers(0, 600), max_size=8))
def test_claims_never_exceed_what_was_accrued_and_leave_dust_at_most(accrued: int, shares: list[int]) -> None:
    ancestors = [Share(bytes([index]) * 32, bps) for index, bps in enumerate(shares)]
    claims = [claimable(accrued, ancestors, index, 0) for index in range(len(ancestors) + 1)]
    assert sum(share_of(ancestors, index) for index in range(len(ancestors) + 1)) == BPS
    assert 0 <= accrued - sum(claims) <= len(ancestors)


def test_split_is_refused_one_above_each_limit() -> None:
    with pytest.raises(TooManyRecords) as many:
        split(100, [0] * 5, fee_bps=FEE_BPS, stack_max_bps=STACK_MAX_BPS)
    assert many.value.values == {"count": 5, "max": 4}
    with pytest.raises(StackTooHigh) as high:
        split(100, [3_000, 1], fee_bps=FEE_BPS, stack_max_bps=STACK_MAX_BPS)
    assert high.value.values == {"total": 3_001, "max": 3_000}
    assert split(100, [3_000], fee_bps=FEE_BPS, stack_max_bps=STACK_MAX_BPS).royalty == 30


def test_share_is_refused_behind_the_record_itself() -> None:
    with pytest.raises(IndexOutOfRange):
        share_of([Share(bytes(32), 10)], 2)


@pytest.mark.parametrize(("fee", "records", "each"), [(10, 3, 3), (10, 0, 0), (2, 3, 0)])
def test_burnt_share_rounds_down(fee: int, records: int, each: int) -> None:
    assert burnt_share(fee, records) == each


# ── parity with the contract ─────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(price=prices, picks=st.lists(st.integers(0, 3), max_size=4))
def test_split_is_what_royalties_books(
    chain: Chain, records: list[tuple[bytes, int]], price: int, picks: list[int]
) -> None:
    chosen = [records[pick] for pick in picks]
    item = chain.royalties.abi.function("accrue", 2)
    call = Call(chain.royalties.address, item.encode([[record for record, _ in chosen], price]))
    booked = item.decode(chain.read(call, sender=chain.escrow.address))
    expected = split(price, [bps for _, bps in chosen], fee_bps=chain.royalties.fee_bps(), stack_max_bps=STACK_MAX_BPS)
    assert booked == (expected.fee, expected.royalty)


@pytest.fixture
def records(chain: Chain, accounts: Accounts, send: Send, advance: Advance) -> list[tuple[bytes, int]]:
    """Four records with royalties from nothing to the most that four can ask."""
    made = [
        Registration(Kind.MODEL, bytes([index]) * 32, accounts.owner.address, bps, 0)
        for index, bps in enumerate((0, 1, 333, 750))
    ]
    for registration in made:
        send(accounts.owner, chain.provenance.commit(registration, bytes(32), accounts.owner.address))
    advance(5)
    for registration in made:
        send(accounts.owner, chain.provenance.register(registration, [], bytes(32)))
    return [(registration.record, registration.royalty_bps) for registration in made]
