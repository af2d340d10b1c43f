"""Which features moved the predictions: exact for a linear model, seeded permutation sampling for a network.

Runs on the listing's public integer weights, so anybody recomputes it. It says what the model used, not what causes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration.tasks.predict import Prepared
from prsm_protocol.rules import attribution
from prsm_protocol.rules.integer_layers import IntegerNetwork, run
from prsm_protocol.types import Cid, Listing

ROWS = 50
"""Rows explained at most: a ranking settles long before, and each row costs 256 walks through the network."""
EFFORT = 500_000_000
"""Multiplications spent at most: about half a minute here and as much for whoever verifies."""


class ExplanationTooLarge(OrchestrationError):
    text = "explaining one row of {listing} takes {needed} multiplications, the limit is {limit}; ask about a smaller model"


def baseline(listing: Listing) -> list[int]:
    """The average row: the front scales every feature's mean to the word 0."""
    return [0] * len(listing.features)


def explained_output(network: IntegerNetwork, words: Sequence[int]) -> int:
    """The output that named the row's class."""
    outputs = run(network, words)
    return max(range(len(outputs)), key=lambda output: (outputs[output], -output))


def rows_affordable(listing: Listing, network: IntegerNetwork) -> int:
    """How many rows are explained: all up to `ROWS` for small models, fewer for large ones."""
    if network.is_linear:
        return ROWS
    first, *rest = network.layers
    step = len(first.bias) + sum(len(layer.bias) * len(layer.weights[0]) for layer in rest)
    row = step * network.inputs * attribution.PERMUTATIONS
    if row > EFFORT:
        raise ExplanationTooLarge(listing=listing.name, needed=row, limit=EFFORT)
    return min(ROWS, EFFORT // row)


def block(
    listing: Listing, cid: Cid, table: bytes, network: IntegerNetwork, prepared: Prepared, rows: Sequence[int]
) -> dict[str, object]:
    """The output block for these rows (at most `ROWS`, the first ones)."""
    by_row = dict(zip(prepared.rows, prepared.words, strict=True))
    used = [row for row in rows if row in by_row][: rows_affordable(listing, network)]
    base, seed = baseline(listing), table
    found = []
    outputs = []
    for row in used:
        output = explained_output(network, by_row[row])
        outputs.append(output)
        if network.is_linear:
            found.append(attribution.attribute_linear(network, by_row[row], base, output))
        else:
            found.append(
                attribution.attribute_permutations(network, by_row[row], base, seed=seed, row=row, output=output)
            )
    attributions = [list(one.features) for one in found]
    result: dict[str, object] = {
        "v": 1,
        "kind": "explanation",
        "listing": cid,
        "table": table,
        "rows": used,
        "features": [feature.name for feature in listing.features],
        "baseline": base,
        "attributions": attributions,
        "standard_errors": [list(one.standard_errors) for one in found],
        "permutations": found[0].permutations,
        "method": "linear" if network.is_linear else "permutation",
        "seed": seed,
        "fx": [one.fx for one in found],
        "fb": found[0].fb,
        "ranking": attribution.ranking(attributions),
    }
    if network.outputs > 1:
        # several outputs: each row is explained for the class it was given, and each output has a baseline of its own
        result["outputs"] = outputs
        result["fb"] = [one.fb for one in found]
    return result


def check_sum(block: dict[str, object]) -> bool:
    """Σ attributions = permutations · (f(x) − f(baseline)), exactly."""
    attributions, fx, fb, permutations = block["attributions"], block["fx"], block["fb"], block["permutations"]
    assert isinstance(attributions, list)
    assert isinstance(fx, list)
    assert isinstance(permutations, int)
    bases = fb if isinstance(fb, list) else [fb] * len(fx)
    return all(sum(row) == permutations * (x - b) for row, x, b in zip(attributions, fx, bases, strict=True))
