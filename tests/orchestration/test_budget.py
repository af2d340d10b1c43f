import pytest
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.orchestration.budget import Account, BudgetExceeded, ChargeAboveQuote
from prsm_protocol.types import Wei


@pytest.mark.parametrize(("quote", "fits"), [(99, True), (100, True), (101, False)])
def test_reserve_holds_at_most_what_is_free(quote, fits):
    account = Account(Wei(100))
    if fits:
        account.reserve("a", Wei(quote))
        assert account.free == 100 - quote
    else:
        with pytest.raises(BudgetExceeded):
            account.reserve("a", Wei(quote))


def test_charge_above_the_quote_is_refused_and_changes_nothing():
    account = Account(Wei(100))
    account.reserve("a", Wei(10))
    with pytest.raises(ChargeAboveQuote):
        account.charge("a", Wei(11))
    assert (account.spent, account.reserved) == (0, {"a": 10})


moves = st.lists(
    st.tuples(st.sampled_from(["reserve", "charge", "release"]), st.sampled_from("abc"), st.integers(0, 60))
)


@given(st.integers(0, 200), moves)
def test_locked_is_always_reserved_plus_spent_plus_free(locked, steps):
    account = Account(Wei(locked))
    for move, key, amount in steps:
        try:
            if move == "reserve":
                account.reserve(key, Wei(amount))
            elif move == "charge" and key in account.reserved:
                account.charge(key, Wei(amount))
            elif move == "release":
                account.release(key)
        except (BudgetExceeded, ChargeAboveQuote):
            pass
        assert account.locked == account.spent + sum(account.reserved.values()) + account.free
        assert account.free >= 0
