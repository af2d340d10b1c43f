"""Is one model as good as another? Both on the same labelled rows, exact test and interval; without labels only agreement."""

from __future__ import annotations

from collections.abc import Sequence

from prsm_protocol.orchestration.listings import class_named, match
from prsm_protocol.orchestration.question import Table
from prsm_protocol.rules import rows as row_rules
from prsm_protocol.rules import statistics
from prsm_protocol.rules.front import number
from prsm_protocol.types import Cid, Listing

NO_LABELS = "no labels"


def block(
    listings: tuple[Cid, Cid],
    table: bytes,
    rows: Sequence[int],
    truth: Sequence[str],
    labels: tuple[list[str], list[str]],
) -> dict[str, object]:
    """The output block. `truth` is empty where the table has no labels."""
    base: dict[str, object] = {
        "v": 1,
        "kind": "comparison",
        "listings": list(listings),
        "table": table,
        "rows": list(rows),
        "truth": list(truth),
        "labels": [list(labels[0]), list(labels[1])],
    }
    if not truth:
        return base | {
            "right": [0, 0],
            "only_a": 0,
            "only_b": 0,
            "mcnemar_p_ppm": statistics.MILLION,
            "difference_ppm": 0,
            "low_ppm": 0,
            "high_ppm": 0,
            "draws": 0,
            "verdict": NO_LABELS,
            "agreement_ppm": statistics.agreement(labels[0], labels[1]),
        }
    found = statistics.compare(truth, labels[0], labels[1], table)
    return base | {
        "right": list(found.right),
        "only_a": found.only_first,
        "only_b": found.only_second,
        "mcnemar_p_ppm": found.mcnemar_p_ppm,
        "difference_ppm": found.difference_ppm,
        "low_ppm": found.low_ppm,
        "high_ppm": found.high_ppm,
        "draws": found.draws,
        "verdict": found.verdict,
        "agreement_ppm": found.agreement_ppm,
    }


def truth_of(listing: Listing, table: Table, column: int | None, rows: Sequence[int]) -> list[str]:
    """The true classes of these rows in the listing's spelling; empty when the table has none."""
    if column is None:
        return []
    return [class_named(listing, table.rows[row][column]) for row in rows]


def rows_of_training(listing: Listing, table: Table) -> int:
    """How many rows belong to the part that models learn from, by the split that everybody recomputes."""
    found = match(listing, table)
    if not found.complete:
        return 0
    count = 0
    for row in table.rows:
        cells = [row[column] for column in found.columns]
        if all(number(cell) is not None for cell in cells):
            count += row_rules.part_of(row_rules.row_bytes(cells)) is row_rules.Part.TRAIN
    return count
