"""Words, their order in a proof, and their hashes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.rules.oracle.circuit_hash import circuit_hash
from prsm_protocol.rules.oracle.context import limbs
from prsm_protocol.rules.oracle.instances import (
    Layout,
    NumberTooWide,
    SaltInvalid,
    WordCountWrong,
    WordOutOfField,
    context_hash,
    from_word,
    input_hash,
    instances,
    output_hash,
    quantise,
    to_word,
)
from prsm_protocol.rules.poseidon import FIELD_ORDER

PUBLIC, HASHED = Layout(3, 1, False), Layout(3, 1, True)
CONTEXT = bytes(range(32))
WIDEST = (1 << 127) - 1


@given(st.integers(-WIDEST, WIDEST))
def test_a_word_turns_back_into_its_number(number: int):
    assert from_word(to_word(number)) == number


@pytest.mark.parametrize("number", [WIDEST + 1, -WIDEST - 1])
def test_to_word_refuses_the_first_number_too_wide(number: int):
    assert to_word(number - 1 if number > 0 else number + 1) < FIELD_ORDER
    with pytest.raises(NumberTooWide, match="number 4"):
        to_word(number, 4)


def test_from_word_refuses_the_fields_order():
    with pytest.raises(WordOutOfField, match="word 2"):
        from_word(FIELD_ORDER, 2)
    assert from_word(FIELD_ORDER - 1) == -1


@pytest.mark.parametrize(("text", "word"), [("0.5", 0), ("1.5", 2), ("2.5", 2), ("-1.5", -2)])
def test_quantise_rounds_half_to_even(text: str, word: int):
    assert quantise(Decimal(text), 0) == word


def test_public_instances_are_inputs_limbs_outputs():
    assert instances(PUBLIC, CONTEXT, [1, 2, 3], [9]) == [1, 2, 3, *limbs(CONTEXT), 9]


def test_hashed_instances_are_hash_words_outputs_limbs():
    assert instances(HASHED, CONTEXT, [5], [9], hash_word=4) == [4, 5, 9, *limbs(CONTEXT)]


@pytest.mark.parametrize("layout", [PUBLIC, HASHED])
def test_instances_are_as_many_as_the_layout_says(layout: Layout):
    inputs = [1] if layout.hashed_input else [1, 2, 3]
    assert len(instances(layout, CONTEXT, inputs, [9])) == layout.words


def test_instances_refuse_a_word_out_of_the_field():
    with pytest.raises(WordOutOfField, match="word 1 "):
        instances(PUBLIC, CONTEXT, [1, FIELD_ORDER, 3], [9])


def test_instances_refuse_another_number_of_words():
    with pytest.raises(WordCountWrong, match="input has 2"):
        instances(PUBLIC, CONTEXT, [1, 2], [9])
    with pytest.raises(WordCountWrong, match="output has 2"):
        instances(PUBLIC, CONTEXT, [1, 2, 3], [9, 9])


def test_public_input_hash_is_keccak_of_packed_words():
    packed = b"".join((number % FIELD_ORDER).to_bytes(32, "big") for number in (1, -2, 3))
    assert input_hash(PUBLIC, [1, -2, 3]) == keccak(packed)


def test_hashed_input_hash_is_the_circuits_word_over_row_and_salt():
    salt = [1, 2, 3, 4, 5]
    assert input_hash(HASHED, [1, -2, 3], salt) == circuit_hash([1, -2, 3, *salt]).to_bytes(32, "big")
    assert input_hash(HASHED, [1, -2, 3], [1, 2, 3, 4, 6]) != input_hash(HASHED, [1, -2, 3], salt)


@pytest.mark.parametrize("salt", [[], [1, 2, 3, 4], [1, 2, 3, 4, 1 << 31], [1, 2, 3, 4, -1]])
def test_hashed_input_hash_refuses_a_salt_that_does_not_fit(salt: list[int]):
    with pytest.raises(SaltInvalid):
        input_hash(HASHED, [1, 2, 3], salt)
    assert input_hash(HASHED, [1, 2, 3], [1, 2, 3, 4, (1 << 31) - 1])


def test_output_hash_is_keccak_of_packed_words():
    assert output_hash([7, 8]) == keccak((7).to_bytes(32, "big") + (8).to_bytes(32, "big"))


def test_context_hash_is_the_circuits_hash_of_the_limbs():
    assert context_hash(CONTEXT) == circuit_hash(limbs(CONTEXT))
