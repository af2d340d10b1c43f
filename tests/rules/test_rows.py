"""Words and splits are exact and the same for equal rows however they are written."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.rules import front, integer_layers
from prsm_protocol.rules.rows import Part, part_of, row_bytes
from prsm_protocol.types import Feature

FEATURE = Feature("radius", "14.1", "3.5")


@pytest.mark.parametrize(
    ("cell", "word"), [("14.1", 0), ("17.6", 128), ("10.6", -128), ("14.113671875", 0), ("14.141015625", 2)]
)
def test_word_rounds_half_to_even_at_seven_bits(cell: str, word: int) -> None:
    # 14.113671875 is exactly half a step above the mean; 14.141015625 is one and a half
    assert front.word(cell, FEATURE, 7) == (word, False)


def test_word_is_clipped_at_sixteen_spreads_and_says_so() -> None:
    edge = Fraction("14.1") + 16 * Fraction("3.5")
    assert front.word(str(float(edge)), FEATURE, 7) == (16 << 7, False)
    assert front.word("1000", FEATURE, 7) == (16 << 7, True)
    assert front.word("-1000", FEATURE, 7) == (-(16 << 7), True)


@pytest.mark.parametrize("cell", ["", "nan", "inf", "n/a", "1e99999", "0x1"])
def test_word_refuses_what_is_not_a_number(cell: str) -> None:
    with pytest.raises(front.CellInvalid):
        front.word(cell, FEATURE, 7)


def test_equal_rows_have_equal_bytes() -> None:
    assert row_bytes(["1.50", "-0", "2e3", " 7 "]) == row_bytes(["1.5", "0.0", "2000", "7.000"]) == b"1.5,0,2000,7"


def test_split_gives_seven_one_two_tenths() -> None:
    parts = [part_of(str(i).encode()) for i in range(5000)]
    assert 0.67 < parts.count(Part.TRAIN) / 5000 < 0.73
    assert 0.08 < parts.count(Part.VALIDATION) / 5000 < 0.12
    assert 0.17 < parts.count(Part.HELD_OUT) / 5000 < 0.23


NETWORK = integer_layers.IntegerNetwork(
    7,
    (
        integer_layers.Layer(((128, -128), (64, 0)), (0, 128 * 128), relu=True),
        integer_layers.Layer(((128, 128),), (-64,), relu=False),
    ),
)


@given(st.lists(st.integers(-(2**11), 2**11), min_size=2, max_size=2))
def test_run_equals_rational_arithmetic_within_the_rounding_of_each_layer(words: list[int]) -> None:
    one = Fraction(1 << 7)
    x = [Fraction(word) / one for word in words]
    hidden = [max(x[0] - x[1], Fraction(0)), max(x[0] / 2 + 1, Fraction(0))]
    exact = hidden[0] + hidden[1] - Fraction(64, 128 * 128)
    (got,) = integer_layers.run(NETWORK, words)
    assert abs(Fraction(got) / one - exact) <= Fraction(3, 2) / one


def test_weights_block_round_trips_and_refuses_broken_shapes() -> None:
    block = integer_layers.to_block(NETWORK)
    assert integer_layers.from_block(block) == NETWORK
    layers = block["layers"]
    assert isinstance(layers, list)
    for broken in (
        {**block, "kind": "other"},
        {**block, "bits": 0},
        {**block, "layers": []},
        {**block, "layers": [{"w": [[1, 2], [3]], "b": [1, 2], "relu": True}]},
        {**block, "layers": [layers[0], {"w": [[1]], "b": [1], "relu": False}]},
        {**block, "layers": [{"w": [[1.5, 2]], "b": [1], "relu": True}]},
    ):
        with pytest.raises(integer_layers.WeightsInvalid):
            integer_layers.from_block(broken)
