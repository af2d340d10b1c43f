"""Classes or numbers for the rows of a table.

Cells become integer words by the listing's open front; a row with a cell that holds no number is skipped and counted. Words
that come back become labels here, so the same rule names the class whoever computed the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration.listings import match, refuse_missing
from prsm_protocol.orchestration.question import Table
from prsm_protocol.rules import front
from prsm_protocol.rules.integer_layers import IntegerNetwork, run
from prsm_protocol.types import Cid, Listing


class NoRowUsable(OrchestrationError):
    text = "table {table} has no row that the model {listing} can read: {why}; fill the cells or leave those columns' rows out"


@dataclass(frozen=True)
class Prepared:
    """Rows as words. `rows` are indices into the table, `clipped` those with a cell beyond the model's range."""

    rows: tuple[int, ...]
    words: tuple[tuple[int, ...], ...]
    skipped: tuple[tuple[int, str], ...]
    clipped: tuple[int, ...]


def prepare(table: Table, listing: Listing) -> Prepared:
    """The table's rows in the listing's words; refuses a table without the listing's columns."""
    found = match(listing, table)
    if not found.complete:
        raise refuse_missing(listing, table, found)
    rows: list[int] = []
    words: list[tuple[int, ...]] = []
    skipped: list[tuple[int, str]] = []
    clipped: list[int] = []
    for index, row in enumerate(table.rows):
        cells = [row[column] for column in found.columns]
        empty = [
            feature.name for feature, cell in zip(listing.features, cells, strict=True) if front.number(cell) is None
        ]
        if empty:
            skipped.append(
                (index, f"no number in {empty[0]!r}" + (f" and {len(empty) - 1} more" if len(empty) > 1 else ""))
            )
            continue
        pairs = [front.word(cell, feature, listing.bits) for cell, feature in zip(cells, listing.features, strict=True)]
        rows.append(index)
        words.append(tuple(word for word, _ in pairs))
        if any(was_clipped for _, was_clipped in pairs):
            clipped.append(index)
    if not rows:
        raise NoRowUsable(table=table.name, listing=listing.name, why=skipped[0][1])
    return Prepared(tuple(rows), tuple(words), tuple(skipped), tuple(clipped))


def label(listing: Listing, words: Sequence[int], scale_bits: int) -> str:
    """The class an output names (sign for two classes, first largest for more), or a regressor's number."""
    if len(listing.classes) == 2:
        return listing.classes[1] if words[0] > 0 else listing.classes[0]
    if listing.classes:
        return listing.classes[max(range(len(words)), key=lambda output: (words[output], -output))]
    value = Fraction(words[0], 1 << scale_bits) * Fraction(listing.target_spread) + Fraction(listing.target_mean)
    return f"{float(value):.6g}"


def margin(words: Sequence[int]) -> int:
    """Distance of the output from its next best class, in words."""
    if len(words) == 1:
        return abs(words[0])
    best, second = sorted(words, reverse=True)[:2]
    return best - second


def own(network: IntegerNetwork, prepared: Prepared) -> list[list[int]]:
    """Every row through the integer layers, here."""
    return [run(network, words) for words in prepared.words]


def too_close(
    listing: Listing,
    network: IntegerNetwork,
    prepared: Prepared,
    delivered: Mapping[int, Sequence[int]],
    scale_bits: int,
) -> list[int]:
    """Rows whose margin is within the quantisation error, measured as the largest distance between delivered words and the
    integer layers on these rows; a regressor has no margin."""
    if not listing.classes:
        return []
    exact = {
        row: run(network, words) for row, words in zip(prepared.rows, prepared.words, strict=True) if row in delivered
    }
    shift = scale_bits - network.bits
    scaled = {row: [_scale(word, shift) for word in words] for row, words in exact.items()}
    error = max(
        (abs(a - b) for row, words in delivered.items() for a, b in zip(words, scaled[row], strict=True)), default=0
    )
    return [
        row
        for row, words in delivered.items()
        if (error and margin(words) <= error)
        or label(listing, words, scale_bits) != label(listing, exact[row], network.bits)
    ]


def _scale(word: int, shift: int) -> int:
    return word << shift if shift >= 0 else word >> -shift


def block(
    listing: Cid,
    table: bytes,
    prepared: Prepared,
    outputs: Mapping[int, Sequence[int]],
    labels: Mapping[int, str],
    *,
    close: Sequence[int],
    tier: str,
    method: str,
    receipts: Sequence[Cid],
) -> dict[str, object]:
    """The output block; rows without an output are left out of `rows`, so `rows` says what was answered."""
    rows = [row for row in prepared.rows if row in outputs]
    return {
        "v": 1,
        "kind": "prediction",
        "listing": listing,
        "table": table,
        "rows": rows,
        "words": [list(outputs[row]) for row in rows],
        "labels": [labels[row] for row in rows],
        "too_close": [row for row in rows if row in set(close)],
        "skipped": [{"row": row, "why": why} for row, why in prepared.skipped],
        "tier": tier,
        "method": method,
        "receipts": list(receipts),
    }
