"""The derived constants are circomlib's: known hashes come out."""

from __future__ import annotations

import pytest

from prsm_protocol.rules.poseidon import FIELD_ORDER, PoseidonWidthUnknown, parameters, permute, poseidon

CIRCOMLIB_ONE_TWO = 7853200120776062878684798364095072458815029376092732009249414926327459813530
"""poseidon([1, 2]) as circomlibjs publishes it."""


def test_poseidon_gives_circomlibs_value():
    assert poseidon([1, 2]) == CIRCOMLIB_ONE_TWO


@pytest.mark.parametrize(("width", "rounds"), [(2, 64), (3, 65), (9, 71)])
def test_parameters_have_a_constant_for_every_word_of_every_round(width: int, rounds: int):
    chosen = parameters(width)
    assert len(chosen.constants) == width * rounds
    assert all(0 <= constant < FIELD_ORDER for constant in chosen.constants)
    assert len({number for row in chosen.matrix for number in row}) == width * width


def test_permute_depends_on_every_word():
    assert len({tuple(permute(state)) for state in ([0, 0], [1, 0], [0, 1])}) == 3


def test_parameters_refuses_a_width_that_is_not_used():
    with pytest.raises(PoseidonWidthUnknown, match="width 10"):
        parameters(10)
