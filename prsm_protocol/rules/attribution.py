"""How much each feature moved a prediction, as integers that any language recomputes.

Knows networks of integer layers (`rules/integer_layers.py`) and nothing of tables. Standard library only.

Recipes (the standalone verifier carries its own copy of each):

- **Score** of words x at fixed-point scale 2^bits: per layer acc = b + Σ w·x, acc = max(acc, 0) where `relu`, then
  y = (acc + 2^(bits−1)) >> bits (floor). The score of `output` o is the last layer's y[o].
- **Linear** (one layer without relu), exact at scale 2^(2·bits): attribution of feature i = w[o][i] · (x_i − baseline_i);
  fx and fb are the unshifted acc[o] of x and of the baseline, so Σ attributions = fx − fb.
- **Permutation**, at scale 2^bits, summed over P permutations: walk from the baseline to x, taking over one feature at a time
  in the permutation's order; a feature's marginal is score after − score before; the attribution is the SUM of its marginals
  over the P permutations. fx and fb are the scores of x and of the baseline, so Σ attributions = P · (fx − fb).
- **Permutation j of row i**: order = [0 … n−1]; for k = n−1 … 1 swap order[k] with order[below(k+1)], numbers from the counter
  stream (`rules/statistics.py`) of (b"prsm/attribution", seed, [i, j]); i is the row's index in the table.
- **Standard error** of a permutation attribution's mean, at scale 2^bits: isqrt((P·S₂ − S²) // (P²·(P−1))), S the sum of the
  marginals and S₂ the sum of their squares; 0 for one permutation.
- **Ranking**: features by Σ over rows of |attribution|, largest first, ties by lower index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from prsm_protocol.rules.integer_layers import IntegerNetwork, Layer
from prsm_protocol.rules.statistics import CounterStream

PERMUTATIONS = 256
"""Enough that the standard error of a feature's share falls to a sixteenth of its spread between orders."""


@dataclass(frozen=True)
class Attribution:
    """One row: how each feature moved the score from `fb` (baseline) to `fx`; scales as the module's head says."""

    features: tuple[int, ...]
    standard_errors: tuple[int, ...]
    fx: int
    fb: int
    permutations: int


def permutation(seed: bytes, row: int, number: int, length: int) -> list[int]:
    """The seeded order `number` of this row's features."""
    stream = CounterStream(b"prsm/attribution", seed, row, number)
    order = list(range(length))
    for last in range(length - 1, 0, -1):
        other = stream.below(last + 1)
        order[last], order[other] = order[other], order[last]
    return order


def attribute_linear(
    network: IntegerNetwork, words: Sequence[int], baseline: Sequence[int], output: int = 0
) -> Attribution:
    """Exact for a network with `is_linear`: a linear score is the sum of what its features add."""
    weights, bias = network.layers[0].weights[output], network.layers[0].bias[output]
    fx = bias + sum(w * x for w, x in zip(weights, words, strict=True))
    fb = bias + sum(w * x for w, x in zip(weights, baseline, strict=True))
    shares = tuple(w * (x - b) for w, x, b in zip(weights, words, baseline, strict=True))
    return Attribution(shares, (0,) * len(shares), fx, fb, 1)


def attribute_permutations(
    network: IntegerNetwork,
    words: Sequence[int],
    baseline: Sequence[int],
    *,
    seed: bytes,
    row: int,
    output: int = 0,
    permutations: int = PERMUTATIONS,
) -> Attribution:
    """Seeded permutation sampling over the whole network; the first layer is updated, not recomputed, at each step."""
    first, rest, bits = network.layers[0], network.layers[1:], network.bits
    columns = [
        [w * (x - b) for w in weights]
        for weights, x, b in zip(zip(*first.weights, strict=True), words, baseline, strict=True)
    ]
    start = _accumulate(first, baseline)
    fb = _score(first, rest, bits, start, output)
    sums, squares = [0] * len(words), [0] * len(words)
    for number in range(permutations):
        accumulators, before = list(start), fb
        for feature in permutation(seed, row, number, len(words)):
            accumulators = [a + c for a, c in zip(accumulators, columns[feature], strict=True)]
            after = _score(first, rest, bits, accumulators, output)
            sums[feature] += after - before
            squares[feature] += (after - before) ** 2
            before = after
    fx = _score(first, rest, bits, _accumulate(first, words), output)
    return Attribution(tuple(sums), standard_errors(sums, squares, permutations), fx, fb, permutations)


def standard_errors(sums: Sequence[int], squares: Sequence[int], permutations: int) -> tuple[int, ...]:
    if permutations < 2:
        return (0,) * len(sums)
    whole = permutations * permutations * (permutations - 1)
    return tuple(isqrt((permutations * s2 - s * s) // whole) for s, s2 in zip(sums, squares, strict=True))


def ranking(attributions: Sequence[Sequence[int]]) -> list[int]:
    """Feature indices, the one that moved the rows most first."""
    weight = [sum(abs(row[feature]) for row in attributions) for feature in range(len(attributions[0]))]
    return sorted(range(len(weight)), key=lambda feature: (-weight[feature], feature))


def _accumulate(layer: Layer, words: Sequence[int]) -> list[int]:
    return [
        b + sum(w * x for w, x in zip(row, words, strict=True))
        for row, b in zip(layer.weights, layer.bias, strict=True)
    ]


def _score(first: Layer, rest: Sequence[Layer], bits: int, accumulators: Sequence[int], output: int) -> int:
    words = _round(first, bits, accumulators)
    for layer in rest:
        words = _round(layer, bits, _accumulate(layer, words))
    return words[output]


def _round(layer: Layer, bits: int, accumulators: Sequence[int]) -> list[int]:
    half = 1 << (bits - 1)
    if layer.relu:
        return [(max(a, 0) + half) >> bits for a in accumulators]
    return [(a + half) >> bits for a in accumulators]
