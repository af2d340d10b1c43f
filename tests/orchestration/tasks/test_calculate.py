from fractions import Fraction
from statistics import mean, median, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.orchestration.question import Table
from prsm_protocol.orchestration.tasks import calculate
from prsm_protocol.orchestration.tasks.calculate import ExpressionInvalid, ExpressionTooLarge
from prsm_protocol.trace import verify


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("What is 3/7 + 2/5?", "0.82857142857142857142857142857142857142857142857143"),
        ("2^64 - 1", "18446744073709551615"),
        ("Work out (12.5 + 3) * 4.", "62"),
        ("How much is 19 times 23?", "437"),
        ("15% of 2400", "360"),
        ("-2^2", "-4"),
        ("2^-2", "0.25"),
        ("2^3^2", "512"),
        ("10 - 4 - 3", "3"),
        ("square root of 2", "1.4142135623730950488016887242096980785696718753769"),
        ("4^(1/2)", "2"),
        ("0.1 + 0.2", "0.3"),
    ],
)
def test_expressions_in_a_question_are_found_and_exact(text, value):
    assert calculate.from_text(text)["value"] == value


@pytest.mark.parametrize(
    ("expression", "error", "message"),
    [
        ("1 + ", ExpressionInvalid, "stopped at character 3"),
        ("(1 + 2", ExpressionInvalid, "bracket is not closed"),
        ("1 2", ExpressionInvalid, "nothing more was expected"),
        ("1/0", ExpressionInvalid, "division by zero"),
        ("0^-1", ExpressionInvalid, "division by zero"),
        ("2^10001", ExpressionTooLarge, "exponent"),
        ("9^9^9", ExpressionTooLarge, "exponent"),
        ("(10^9999)*(10^9999)", ExpressionTooLarge, "10000 digits"),
        ("(" * 80 + "1" + ")" * 80, ExpressionTooLarge, "nesting"),
        ("1+" * 1000 + "1", ExpressionTooLarge, "2000 characters"),
    ],
)
def test_what_cannot_be_calculated_is_named(expression, error, message):
    with pytest.raises(error, match=message):
        calculate.evaluate(calculate.parse(expression))


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/"])
def test_long_chains_are_shallow_and_right(symbol):
    expression = symbol.join(["3", *["2"] * 300])
    tree = calculate.parse(expression)
    assert calculate._levels(tree) <= calculate.LEVEL_LIMIT
    expected = {"+": 603, "-": -597, "*": 3 * 2**300, "/": Fraction(3, 2**300)}[symbol]
    assert calculate.evaluate(tree) == expected == verify.evaluate(tree)


numbers = st.integers(-1000, 1000)


@given(
    st.recursive(
        numbers.map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        max_leaves=12,
    )
)
def test_whole_number_expressions_equal_pythons(expression):
    expected = eval(expression, {"__builtins__": {}})  # noqa: S307 (generated here from digits and operators)
    assert calculate.evaluate(calculate.parse(expression)) == expected


@given(st.lists(st.decimals(-1000, 1000, places=3), min_size=2, max_size=30))
def test_statistics_equal_pythons_and_the_verifiers(values):
    cells = [str(value) for value in values]
    exact = [Fraction(value) for value in values]
    for name, function in (("mean", mean), ("median", median), ("sum", sum), ("min", min), ("max", max)):
        block = calculate.from_column(name, b"", "t.csv", "c", cells)
        assert calculate.evaluate(block["tree"]) == function(exact)
        assert block["value"] == verify.shown(verify.evaluate(block["tree"]))
    spread = calculate.evaluate(calculate.from_column("deviation", b"", "t.csv", "c", cells)["tree"])
    assert float(spread) == pytest.approx(float(stdev(values)))


def test_cells_without_a_number_are_left_out_and_counted():
    block = calculate.from_column("mean", b"", "t.csv", "c", ["1", "", "x", "NaN", "3"])
    assert (block["value"], block["column"]["rows"], block["column"]["left_out"]) == ("2", [0, 4], 3)
    with pytest.raises(calculate.ColumnNotNumeric, match="'c'"):
        calculate.from_column("mean", b"", "t.csv", "c", ["", "x"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the mean of mean radius?", ("mean", 1)),
        ("the largest radius", ("max", 0)),
        ("Why?", None),
        ("mean radius", None),
    ],
)
def test_the_longest_column_name_is_taken_before_the_statistic(text, expected):
    table = Table("t.csv", ("radius", "mean radius"), (("1", "2"),))
    found = calculate.column_asked(text, [table])
    assert (None if found is None else (found[0], found[2])) == expected
