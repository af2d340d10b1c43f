"""The count from a model's shape is near what the prover laid out (recorded with ezkl 23.0.5)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.proof_cost import Dense, proof_cost, rows_to_k

LAID_OUT = {
    (4, 1): (342, 824),
    (30, 1): (784, 1_890),
    (10, 5): (876, 1_334),
    (100, 1): (1_974, 4_760),
    (30, 8, 1): (1_698, 2_176),
    (30, 16, 1): (2_642, 3_120),
    (30, 16, 8, 3): (3_670, 4_148),
    (4, 16, 1): (1_810, 2_262),
    (64, 32, 10): (7_332, 7_844),
    (784, 32, 10): (41_892, 43_124),
}


def layers(sizes: tuple[int, ...]) -> list[Dense]:
    return [Dense(inputs, units) for inputs, units in pairwise(sizes)]


@pytest.mark.parametrize("sizes", LAID_OUT, ids=str)
@pytest.mark.parametrize("hashed", [False, True], ids=["public", "hashed"])
def test_rows_are_within_five_per_cent(sizes: tuple[int, ...], hashed: bool):
    found = proof_cost(layers(sizes), Layout(sizes[0], sizes[-1], hashed)).rows
    assert abs(found - LAID_OUT[sizes][hashed]) <= 0.05 * LAID_OUT[sizes][hashed]


def test_the_measured_network_has_the_measured_size_and_gas():
    public = proof_cost(layers((30, 16, 1)), Layout(30, 1, False))
    hashed = proof_cost(layers((30, 16, 1)), Layout(30, 1, True))
    assert (public.k, public.words, hashed.k, hashed.words) == (12, 42, 12, 14)
    assert abs(public.key_bytes - 11_803_299) < 100_000
    assert abs(hashed.key_bytes - 33_301_523) < 100_000
    assert abs(public.verify_gas - 446_617) < 5_000
    assert abs(hashed.verify_gas - 550_780) < 5_000


@pytest.mark.parametrize(("rows", "k"), [(4_087, 12), (4_088, 12), (4_089, 13), (1, 6)])
def test_rows_to_k_leaves_room_for_blinding(rows: int, k: int):
    assert rows_to_k(rows) == k
