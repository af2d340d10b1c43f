"""What an asker sends for a task: integers, checked against the hash that the assignment carries before anything is kept.

Whoever sends words with the right hash is the asker, or was given them by the asker; so no signature is asked for here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prsm_protocol.errors import NodeError
from prsm_protocol.rules.front import CLIP_SPREADS
from prsm_protocol.rules.oracle.circuit_hash import circuit_hash
from prsm_protocol.rules.oracle.instances import check_salt as check_salt_words
from prsm_protocol.rules.oracle.instances import to_word, words_hash
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid

MOST_ROWS = 1024


class TaskError(NodeError):
    """Anything about one task that its asker can mend."""


class InputShapeWrong(TaskError):
    text = "the input has {got} words, expected {expected}; send whole rows in the order of the listing's features"


class InputOutOfRange(TaskError):
    text = "input word {index} is {value}, the model takes {low} to {high}; scale the cell with the listing's front"


class SaltUnexpected(TaskError):
    text = "a salt was given for an input that no circuit hashes; leave it out"


class InputMismatch(TaskError):
    text = "the input hashes to {got}, the assignment says {expected}; send the words that were quoted"


@dataclass(frozen=True)
class TaskInput:
    words: tuple[int, ...]
    salt: tuple[int, ...] | None


def check_shape(words: Sequence[int], *, expected: int, bits: int) -> None:
    if len(words) != expected:
        raise InputShapeWrong(got=len(words), expected=expected)
    limit = CLIP_SPREADS << bits
    for index, word in enumerate(words):
        if not -limit <= word <= limit:
            raise InputOutOfRange(index=index, value=word, low=-limit, high=limit)


def check_salt(salt: Sequence[int] | None, *, is_hashed: bool) -> None:
    if is_hashed:
        check_salt_words(salt or ())
    elif salt is not None:
        raise SaltUnexpected()


def field_words(words: Sequence[int]) -> list[int]:
    return [to_word(word) for word in words]


def words_bytes(words: Sequence[int]) -> list[bytes]:
    """Field words as blocks hold them: 32 bytes each, big endian."""
    return [word.to_bytes(32, "big") for word in words]


def input_hash(data: TaskInput) -> bytes:
    """The `inputHash` of an assignment: the circuit's own hash over words and salt, or keccak of the words."""
    if data.salt is None:
        return words_hash(field_words(data.words))
    return circuit_hash([*field_words(data.words), *data.salt]).to_bytes(32, "big")


def check_hash(data: TaskInput, expected: bytes) -> None:
    got = input_hash(data)
    if got != expected:
        raise InputMismatch(got="0x" + got.hex(), expected="0x" + expected.hex())


def encode(data: TaskInput) -> bytes:
    """As the node keeps it: signed words, since CBOR integers hold them."""
    return dag_cbor.encode({"words": list(data.words), "salt": None if data.salt is None else list(data.salt)})


def decode(raw: bytes) -> TaskInput:
    block = dag_cbor.decode(raw)
    assert isinstance(block, dict)
    words, salt = block["words"], block["salt"]
    assert isinstance(words, list)
    return TaskInput(tuple(words), tuple(salt) if isinstance(salt, list) else None)


def input_block(data: TaskInput) -> bytes:
    """The block whose digest stands in a receipt as `input`."""
    salt = [] if data.salt is None else words_bytes(data.salt)
    return dag_cbor.encode({"v": 1, "kind": "input", "words": words_bytes(field_words(data.words)), "salt": salt})


def output_block(words: Sequence[int]) -> bytes:
    """The block whose digest is the attestation's `result`; `words` are field words."""
    return dag_cbor.encode({"v": 1, "kind": "output", "words": words_bytes(words)})


def digest_of(block: bytes) -> bytes:
    return Cid.of(block, DAG_CBOR).digest
