"""The open front: from table cells to the integer words that models and circuits take.

Pure and exact: a cell is a decimal, scaling is rational arithmetic, rounding is half to even. Anyone who holds the row gets
the same words in any language, so a proof over words is a proof over the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from prsm_protocol.errors import UsageError
from prsm_protocol.types import Feature

CLIP_SPREADS = 16
"""Words are clipped to ± 16 spreads: a circuit is calibrated to a range, and a cell beyond it is reported, not trusted."""


class CellInvalid(UsageError):
    text = "row {row}, column {column!r}: {value!r} is not a number; fill the cell or leave the row out"


def number(cell: str) -> Decimal | None:
    """The cell as a finite decimal, or None."""
    try:
        value = Decimal(cell.strip())
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < 60 else None


def round_half_even(value: Fraction) -> int:
    """Nearest integer, ties to the even one (IEEE 754 roundTiesToEven)."""
    return round(value)


def word(cell: str, feature: Feature, bits: int) -> tuple[int, bool]:
    """(word, was it clipped) of one cell."""
    value = number(cell)
    if value is None:
        raise CellInvalid(row="?", column=feature.name, value=cell)
    scaled = (Fraction(value) - Fraction(feature.mean)) / Fraction(feature.spread) * (1 << bits)
    limit = CLIP_SPREADS << bits
    rounded = round_half_even(scaled)
    clipped = max(-limit, min(limit, rounded))
    return clipped, clipped != rounded


def words(cells: Sequence[str], features: Sequence[Feature], bits: int) -> list[int]:
    """The words of one row; cells stand in the order of `features`."""
    return [word(cell, feature, bits)[0] for cell, feature in zip(cells, features, strict=True)]
