"""Arithmetic without `eval`: an expression, or a statistic of a column, as a tree that the verifier evaluates again.

Exact fractions wherever the operation allows it, else 50 digits. Output block: {"v", "kind": "calculation", "tree": nested lists
[op, …] with decimals as text, "value": text, "column": {…} | null}.

Tree: a decimal as text, or [op, arguments…] with op one of add, sub, mul, div, pow, neg, sqrt, sum, mean, median, deviation, min,
max, count. `deviation` is that of a sample (n − 1). Value: an exact decimal where the result has one within 50 digits, else
50 significant digits, half to even.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import TypeAlias

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration import words
from prsm_protocol.orchestration.question import Table
from prsm_protocol.rules import front

LENGTH_LIMIT = 2_000
DIGIT_LIMIT = 10_000
EXPONENT_LIMIT = 10_000
DEPTH_LIMIT = 64
"""Brackets and signs in each other."""
LEVEL_LIMIT = 28
"""Levels of a tree: a block of the record holds 32."""
PRECISION = 50

Tree: TypeAlias = "str | list[Tree]"


class ExpressionInvalid(OrchestrationError):
    text = "cannot calculate: parsing stopped at character {position} of {expression!r} ({reason})"


class ExpressionTooLarge(OrchestrationError):
    text = "cannot calculate: {what} exceeds {limit}; ask for a smaller number"


class ColumnNotNumeric(OrchestrationError):
    text = "column {column!r} has no number that could be used for {statistic}; name another column"


_STATISTICS = {
    "sum": "sum total altogether add",
    "mean": "mean average",
    "median": "median middle",
    "deviation": "deviation spread",
    "min": "minimum smallest lowest least min",
    "max": "maximum largest highest biggest greatest max",
}
_BY_STEM = {words.stem(word): name for name, spoken in _STATISTICS.items() for word in spoken.split()}


def statistic_of(spoken: Sequence[str]) -> str | None:
    """The statistic a list of stems asks for, if any."""
    return next((_BY_STEM[stem] for stem in spoken if stem in _BY_STEM), None)


# ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────────────

_SPOKEN = (
    (r"\bdivided by\b", "/"),
    (r"\bmultiplied by\b", "*"),
    (r"(?<=\d)\s+times\s+(?=[\d(])", "*"),
    (r"(?<=[\d)])\s+plus\s+(?=[\d(])", "+"),
    (r"(?<=[\d)])\s+minus\s+(?=[\d(])", "-"),
    (r"(?<=[\d)])\s+over\s+(?=[\d(])", "/"),
    (r"\bto the power of\b", "^"),
    (r"\bsquare root of\b", "sqrt"),
    (r"(?:%|\bper ?cent)\s+of\b", "/100*"),
    (r"%|\bper ?cent\b", "/100"),
    (r"[×·]", "*"),
    (r"[÷:]", "/"),
    (r"−", "-"),
    (r"\*\*", "^"),
)
_CANDIDATE = re.compile(r"(?:sqrt|[\d.()+\-*/^\s])+")
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?|\.\d+)|(sqrt)|([()+\-*/^]))")


def find_expression(text: str) -> str | None:
    """The longest piece of the text that is an expression with at least one operation; None when there is none."""
    spoken = text[:LENGTH_LIMIT]
    for pattern, symbol in _SPOKEN:
        spoken = re.sub(pattern, symbol, spoken, flags=re.IGNORECASE)
    pieces = sorted((piece.strip(" .") for piece in _CANDIDATE.findall(spoken)), key=len, reverse=True)
    return next(
        (piece for piece in pieces if re.search(r"\d", piece) and re.search(r"\d\s*[+\-*/^]|sqrt", piece)), None
    )


def parse(expression: str) -> Tree:
    """The expression as a tree; usual precedence, `^` binds to the right."""
    if len(expression) > LENGTH_LIMIT:
        raise ExpressionTooLarge(what="the expression", limit=f"{LENGTH_LIMIT} characters")
    tree, position = _sum(expression, 0, 0)
    if expression[position:].strip():
        raise ExpressionInvalid(position=position, expression=expression, reason="nothing more was expected")
    if _levels(tree) > LEVEL_LIMIT:
        raise ExpressionTooLarge(what="the nesting", limit=LEVEL_LIMIT)
    return tree


def _next(expression: str, position: int) -> tuple[str, int]:
    match = _TOKEN.match(expression, position)
    return (match.group().strip(), match.end()) if match else ("", position)


def _sum(expression: str, position: int, depth: int) -> tuple[Tree, int]:
    first, position = _product(expression, position, depth)
    terms: list[Tree] = [first]
    last = ""
    while True:
        symbol, after = _next(expression, position)
        if symbol not in ("+", "-"):
            break
        term, position = _product(expression, after, depth)
        terms.append(["neg", term] if symbol == "-" else term)
        last = symbol
    if len(terms) == 2:
        return ["add" if last == "+" else "sub", terms[0], terms[1] if last == "+" else terms[1][1]], position
    return (["sum", *terms] if len(terms) > 2 else first), position


def _product(expression: str, position: int, depth: int) -> tuple[Tree, int]:
    """Factors are paired, not chained, so that a long product stays a shallow tree: a block holds 32 levels."""
    first, position = _signed(expression, position, depth)
    above: list[Tree] = [first]
    below: list[Tree] = []
    while True:
        symbol, after = _next(expression, position)
        if symbol not in ("*", "/"):
            break
        factor, position = _signed(expression, after, depth)
        (above if symbol == "*" else below).append(factor)
    top = _paired(above)
    return (["div", top, _paired(below)] if below else top), position


def _paired(factors: Sequence[Tree]) -> Tree:
    if len(factors) == 1:
        return factors[0]
    middle = len(factors) // 2
    return ["mul", _paired(factors[:middle]), _paired(factors[middle:])]


def _levels(tree: Tree) -> int:
    return 1 if isinstance(tree, str) else 1 + max(map(_levels, tree[1:]), default=0)


def _signed(expression: str, position: int, depth: int) -> tuple[Tree, int]:
    if depth > DEPTH_LIMIT:
        raise ExpressionTooLarge(what="the nesting", limit=DEPTH_LIMIT)
    symbol, after = _next(expression, position)
    if symbol in ("-", "+"):
        inner, position = _signed(expression, after, depth + 1)
        return (["neg", inner] if symbol == "-" else inner), position
    base, position = _atom(expression, position, depth)
    symbol, after = _next(expression, position)
    if symbol != "^":
        return base, position
    exponent, position = _signed(expression, after, depth + 1)
    return ["pow", base, exponent], position


def _atom(expression: str, position: int, depth: int) -> tuple[Tree, int]:
    symbol, after = _next(expression, position)
    if symbol == "(":
        inner, position = _sum(expression, after, depth + 1)
        symbol, after = _next(expression, position)
        if symbol != ")":
            raise ExpressionInvalid(position=position, expression=expression, reason="a bracket is not closed")
        return inner, after
    if symbol == "sqrt":
        inner, position = _atom(expression, after, depth + 1)
        return ["sqrt", inner], position
    if symbol and (symbol[0].isdigit() or symbol[0] == "."):
        return ("0" + symbol if symbol[0] == "." else symbol), after
    raise ExpressionInvalid(position=position, expression=expression, reason="a number or a bracket was expected")


# ── evaluation ───────────────────────────────────────────────────────────────────────────────────────────────────────


def evaluate(tree: Tree) -> Fraction:
    """The tree's value: exact, except below `sqrt`, `deviation` and powers that are not whole (50 digits)."""
    if isinstance(tree, str):
        return Fraction(tree)
    operation, arguments = tree[0], [evaluate(argument) for argument in tree[1:]]
    if operation == "div" and arguments[1] == 0:
        raise ExpressionInvalid(position=0, expression="…/0", reason="a division by zero")
    if operation == "pow":
        result = _power(arguments[0], arguments[1])
    elif operation == "sqrt":
        result = _root(arguments[0])
    elif isinstance(operation, str) and operation in _OPERATIONS:
        result = _OPERATIONS[operation](arguments)
    else:
        raise ExpressionInvalid(position=0, expression=str(operation), reason="the operation is unknown")
    if max(result.numerator.bit_length(), result.denominator.bit_length()) > DIGIT_LIMIT * 10 // 3:
        raise ExpressionTooLarge(what="the result", limit=f"{DIGIT_LIMIT} digits")
    return result


def _median(values: Sequence[Fraction]) -> Fraction:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _deviation(values: Sequence[Fraction]) -> Fraction:
    if len(values) < 2:
        raise ExpressionInvalid(position=0, expression="deviation", reason="two numbers are the least")
    mean = sum(values, Fraction(0)) / len(values)
    return _root(sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - 1))


_OPERATIONS: dict[str, Callable[[list[Fraction]], Fraction]] = {
    "add": lambda a: a[0] + a[1],
    "sub": lambda a: a[0] - a[1],
    "mul": lambda a: a[0] * a[1],
    "div": lambda a: a[0] / a[1],
    "neg": lambda a: -a[0],
    "sum": lambda a: sum(a, Fraction(0)),
    "mean": lambda a: sum(a, Fraction(0)) / len(a),
    "median": _median,
    "deviation": _deviation,
    "min": min,
    "max": max,
    "count": lambda a: Fraction(len(a)),
}


def _decimal(value: Fraction, digits: int = PRECISION) -> Decimal:
    context = Context(prec=digits, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)
    return context.divide(Decimal(value.numerator), Decimal(value.denominator))


def _root(value: Fraction) -> Fraction:
    if value < 0:
        raise ExpressionInvalid(position=0, expression=f"sqrt({value})", reason="a root of a negative number")
    # ten digits more than are shown, so that the last one shown is right
    context = Context(prec=PRECISION + 10, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)
    return Fraction(context.sqrt(_decimal(value, PRECISION + 10)))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if abs(exponent) > EXPONENT_LIMIT:
        raise ExpressionTooLarge(what="the exponent", limit=EXPONENT_LIMIT)
    if exponent.denominator == 2:
        return _power(_root(base), Fraction(exponent.numerator))
    if exponent.denominator != 1:
        raise ExpressionInvalid(position=0, expression=f"^{exponent}", reason="powers are whole or halves")
    if base == 0 and exponent < 0:
        raise ExpressionInvalid(position=0, expression="0^-1", reason="a division by zero")
    size = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent)
    if size > DIGIT_LIMIT * 10 // 3:
        raise ExpressionTooLarge(what="the result", limit=f"{DIGIT_LIMIT} digits")
    return base ** int(exponent)


def shown(value: Fraction) -> str:
    """The value as text: exact if it ends within 50 decimals, else 50 significant digits."""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    if denominator == 1:
        scale = next((n for n in range(PRECISION + 1) if (value * 10**n).denominator == 1), None)
        if scale is not None:
            digits = str(abs(value.numerator * 10**scale // value.denominator)).rjust(scale + 1, "0")
            text = digits if scale == 0 else f"{digits[:-scale]}.{digits[-scale:]}"
            return "-" + text if value < 0 else text
    text = format(_decimal(value), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# ── the task ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def column_asked(text: str, tables: Sequence[Table]) -> tuple[str, Table, int] | None:
    """(statistic, table, column) that the question names, the longest column name first; None when it names none."""
    for clause in [*words.clauses(text), text]:
        for table in tables:
            rest, found = words.without(words.stems(clause), table.columns)
            statistic = statistic_of(rest)
            if statistic is not None and found:
                return statistic, table, table.columns.index(found[0])
    return None


def from_text(text: str) -> dict[str, object]:
    """Output block of an expression found in the question."""
    expression = find_expression(text)
    if expression is None:
        raise ExpressionInvalid(position=0, expression=text[:80], reason="no expression such as 3/7 + 2/5 stands there")
    tree = parse(expression)
    return {"v": 1, "kind": "calculation", "tree": tree, "value": shown(evaluate(tree)), "column": None}


def from_column(statistic: str, table: bytes, name: str, column: str, cells: Sequence[str]) -> dict[str, object]:
    """Output block of a statistic of a column; cells that hold no number are left out and counted."""
    used = [(row, value) for row, value in enumerate(map(front.number, cells)) if value is not None]
    if not used:
        raise ColumnNotNumeric(column=column, statistic=statistic)
    tree: Tree = [statistic, *(format(value, "f") for _, value in used)]
    return {
        "v": 1,
        "kind": "calculation",
        "tree": tree,
        "value": shown(evaluate(tree)),
        "column": {
            "table": table,
            "name": name,
            "column": column,
            "statistic": statistic,
            "rows": [row for row, _ in used],
            "left_out": len(cells) - len(used),
        },
    }
