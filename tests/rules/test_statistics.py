import hashlib
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.rules import statistics

DIGEST = hashlib.sha256(b"a table").digest()


def test_stream_follows_the_byte_recipe():
    stream = statistics.CounterStream(b"prsm/bootstrap", DIGEST, 7)
    blocks = b"".join(
        hashlib.sha256(b"prsm/bootstrap\0" + DIGEST + (7).to_bytes(8, "big") + k.to_bytes(8, "big")).digest()
        for k in range(2)
    )
    assert [stream.word() for _ in range(16)] == [int.from_bytes(blocks[i : i + 4], "big") for i in range(0, 64, 4)]


@given(st.integers(1, 2**20), st.binary(max_size=40))
def test_below_stays_below(bound, key):
    stream = statistics.CounterStream(b"test", key)
    assert all(0 <= stream.below(bound) < bound for _ in range(9))


@pytest.mark.parametrize(
    ("part", "whole", "expected"), [(1, 3, 333333), (2, 3, 666667), (-1, 3, -333333), (0, 5, 0), (1, 2_000_000, 1)]
)
def test_per_million_rounds_half_up(part, whole, expected):
    assert statistics.per_million(part, whole) == expected


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_equals_the_sum_of_both_tails(a, b):
    n = a + b
    both = sum(Fraction(comb(n, k), 2**n) for k in range(n + 1) if min(k, n - k) <= min(a, b))
    assert statistics.mcnemar_exact(a, b) == statistics.per_million(both.numerator, both.denominator)


def test_mcnemar_known_values():
    assert statistics.mcnemar_exact(0, 0) == 1_000_000
    assert statistics.mcnemar_exact(0, 5) == 62_500
    assert statistics.mcnemar_exact(0, 6) == 31_250


def test_compare_shows_no_difference_between_equals():
    truth = ["m", "b"] * 20
    result = statistics.compare(truth, truth, truth, DIGEST)
    assert result.verdict == "no difference shown"
    assert (result.right, result.difference_ppm, result.low_ppm, result.high_ppm) == ((40, 40), 0, 0, 0)
    assert result.agreement_ppm == 1_000_000


@pytest.mark.parametrize("swap", [False, True])
def test_compare_names_the_better_one_when_the_interval_excludes_zero(swap):
    truth = ["m"] * 60
    good, bad = truth, ["m"] * 40 + ["b"] * 20
    result = statistics.compare(truth, *((bad, good) if swap else (good, bad)), DIGEST)
    assert result.verdict == ("second" if swap else "first")
    assert abs(result.difference_ppm) == 333_333
    assert result.mcnemar_p_ppm == 2  # 2 / 2**20
    assert (result.only_first, result.only_second) == ((0, 20) if swap else (20, 0))


def test_bootstrap_interval_is_fixed_by_the_table():
    differences = [1, 0, 0, -1, 1, 0, 1, 0, 0, 0]
    again = statistics.bootstrap_interval(differences, DIGEST)
    assert again == statistics.bootstrap_interval(differences, DIGEST)
    low, high = again
    assert low < 200_000 < high
    assert statistics.bootstrap_interval(differences, DIGEST, draws=40) != again


def test_one_error_in_a_hundred_rows_is_no_verdict():
    truth = ["m"] * 100
    assert statistics.compare(truth, truth, ["b", *truth[1:]], DIGEST).verdict == "no difference shown"
