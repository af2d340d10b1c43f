"""Askers compute a circuit's input hash without the prover, and get the prover's own value."""

from __future__ import annotations

import ezkl
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.rules.oracle.circuit_hash import circuit_hash
from prsm_protocol.rules.poseidon import FIELD_ORDER


def provers_own(words: list[int]) -> int:
    answer = ezkl.poseidon_hash([word.to_bytes(32, "little").hex() for word in words])
    return int.from_bytes(bytes.fromhex(answer[0]), "little")


@given(st.lists(st.integers(0, FIELD_ORDER - 1), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_circuit_hash_equals_the_provers(words: list[int]):
    assert circuit_hash(words) == provers_own(words)


def test_circuit_hash_of_thirty_words_equals_the_provers():
    words = list(range(30))
    assert circuit_hash(words) == provers_own(words)


def test_circuit_hash_takes_a_negative_number_as_its_residue():
    assert circuit_hash([-3]) == circuit_hash([FIELD_ORDER - 3]) == provers_own([FIELD_ORDER - 3])
