"""Words and salts of an input: shapes, ranges and hashes."""

from __future__ import annotations

import hashlib

import pytest

from oracles import inputs
from prsm_protocol.rules.oracle.instances import Layout, SaltInvalid, input_hash
from prsm_protocol.trace import dag_cbor

WORDS = (5, -7, 0)
SALT = (1, 2, 3, 4, (1 << 31) - 1)


@pytest.mark.parametrize("salt", [None, SALT])
def test_hash_is_that_of_the_rules(salt: tuple[int, ...] | None) -> None:
    expected = input_hash(Layout(3, 1, salt is not None), WORDS, salt or ())
    data = inputs.TaskInput(WORDS, salt)
    assert inputs.input_hash(data) == expected
    inputs.check_hash(data, expected)
    with pytest.raises(inputs.InputMismatch):
        inputs.check_hash(inputs.TaskInput((5, -7, 1), salt), expected)


@pytest.mark.parametrize(
    ("word", "ok"), [(16 << 10, True), (-(16 << 10), True), ((16 << 10) + 1, False), (-(16 << 10) - 1, False)]
)
def test_range_is_that_of_the_front(word: int, ok: bool) -> None:
    if ok:
        inputs.check_shape((word,), expected=1, bits=10)
    else:
        with pytest.raises(inputs.InputOutOfRange) as caught:
            inputs.check_shape((word,), expected=1, bits=10)
        assert caught.value.values["value"] == word


@pytest.mark.parametrize("count", [2, 4])
def test_other_number_of_words_is_refused(count: int) -> None:
    with pytest.raises(inputs.InputShapeWrong) as caught:
        inputs.check_shape((0,) * count, expected=3, bits=10)
    assert caught.value.values == {"got": count, "expected": 3}


@pytest.mark.parametrize("salt", [None, (1, 2, 3, 4), (1, 2, 3, 4, 1 << 31), (1, 2, 3, 4, -1)])
def test_hashed_input_needs_its_salt(salt: tuple[int, ...] | None) -> None:
    with pytest.raises(SaltInvalid):
        inputs.check_salt(salt, is_hashed=True)


def test_salt_without_a_hashing_circuit_is_refused() -> None:
    inputs.check_salt(None, is_hashed=False)
    with pytest.raises(inputs.SaltUnexpected):
        inputs.check_salt(SALT, is_hashed=False)


@pytest.mark.parametrize("salt", [None, SALT])
def test_kept_input_is_read_back(salt: tuple[int, ...] | None) -> None:
    data = inputs.TaskInput(WORDS, salt)
    assert inputs.decode(inputs.encode(data)) == data


def test_result_is_the_digest_of_the_output_block() -> None:
    block = inputs.output_block([1, 2])
    assert dag_cbor.decode(block) == {
        "v": 1,
        "kind": "output",
        "words": [(1).to_bytes(32, "big"), (2).to_bytes(32, "big")],
    }
    assert inputs.digest_of(block) == hashlib.sha256(block).digest()
