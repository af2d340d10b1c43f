"""Words of a circuit, and their order in a proof: the mirror of what AttestationHub builds before it asks a verifier.

Inputs and outputs are integers at the circuit's scale; no float is part of the protocol. A negative number stands as
its residue modulo the field's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from prsm_protocol.errors import UsageError
from prsm_protocol.rules.oracle.circuit_hash import circuit_hash
from prsm_protocol.rules.oracle.context import LIMBS, limbs
from prsm_protocol.rules.poseidon import FIELD_ORDER

NUMBER_BITS = 127
"""Numbers of a circuit lie within ±2**127, far from where a residue could stand for two numbers."""
SALT_WORDS = 5
SALT_BITS = 31
"""Five words below 2**31 hide a short private row behind 155 bits, in numbers that a circuit's range checks hold."""


class WordOutOfField(UsageError):
    text = "word {index} is {word}, which is not below the field's order; send each number's residue once reduced"


class NumberTooWide(UsageError):
    text = "number {index} is {value}, beyond ±2**127; scale the input down"


class SaltInvalid(UsageError):
    text = "the salt of a hashed input must be 5 words below 2**31, got {given}; draw them at random for each request"


class WordCountWrong(UsageError):
    text = "{what} has {given} words where the circuit has {expected}; send the row of this circuit"


@dataclass(frozen=True)
class Layout:
    """How many words of its own a circuit takes and gives (no context, no salt), and whether its input is hidden."""

    inputs: int
    outputs: int
    hashed_input: bool

    @property
    def words(self) -> int:
        """Instance words of a proof, the context's limbs included."""
        return (2 if self.hashed_input else self.inputs) + LIMBS + self.outputs


def to_word(number: int, index: int = 0) -> int:
    """The field word that stands for a signed number."""
    if not -(1 << NUMBER_BITS) < number < 1 << NUMBER_BITS:
        raise NumberTooWide(index=index, value=number)
    return number % FIELD_ORDER


def from_word(word: int, index: int = 0) -> int:
    """The signed number that a field word stands for."""
    if not 0 <= word < FIELD_ORDER:
        raise WordOutOfField(index=index, word=word)
    number = word if word < FIELD_ORDER // 2 else word - FIELD_ORDER
    if not -(1 << NUMBER_BITS) < number < 1 << NUMBER_BITS:
        raise NumberTooWide(index=index, value=number)
    return number


def quantise(number: Decimal, scale_bits: int) -> int:
    """The integer nearest to a decimal at a scale, half to even: a convenience at the edges, never part of a proof."""
    return int((number * (1 << scale_bits)).to_integral_value(rounding=ROUND_HALF_EVEN))


def check_salt(salt: Sequence[int]) -> tuple[int, ...]:
    if len(salt) != SALT_WORDS or any(not 0 <= word < 1 << SALT_BITS for word in salt):
        raise SaltInvalid(given=len(salt))
    return tuple(salt)


def words_hash(words: Sequence[int]) -> bytes:
    """Keccak of words as the contracts pack them, 32 bytes each."""
    # What eip712.keccak calls in the end, without the wallet's libraries around it: a proving process loads this file.
    from eth_hash.auto import keccak

    for index, word in enumerate(words):
        if not 0 <= word < FIELD_ORDER:
            raise WordOutOfField(index=index, word=word)
    return bytes(keccak(b"".join(word.to_bytes(32, "big") for word in words)))


def input_hash(layout: Layout, numbers: Sequence[int], salt: Sequence[int] = ()) -> bytes:
    """What an assignment names as its input: the hash word of a hidden row with its salt, or keccak of a public one."""
    if len(numbers) != layout.inputs:
        raise WordCountWrong(what="the input", given=len(numbers), expected=layout.inputs)
    words = [to_word(number, index) for index, number in enumerate(numbers)]
    if layout.hashed_input:
        return circuit_hash([*words, *check_salt(salt)]).to_bytes(32, "big")
    return words_hash(words)


def output_hash(words: Sequence[int]) -> bytes:
    """What an attestation names as its output: keccak of the output words, without the limbs."""
    return words_hash(words)


def context_hash(context: bytes) -> int:
    """`h` of a hashed circuit: its own hash of the context's limbs. Nothing rests on it."""
    return circuit_hash(limbs(context))


def instances(
    layout: Layout, context: bytes, inputs: Sequence[int], outputs: Sequence[int], *, hash_word: int = 0
) -> list[int]:
    """The instance words of a proof, as the hub builds them.

    Public: `inputs ‖ limbs ‖ outputs`. Hashed: `hash_word, h ‖ outputs ‖ limbs`, where `inputs` is the one word `h`.
    """
    expected = 1 if layout.hashed_input else layout.inputs
    if len(inputs) != expected:
        raise WordCountWrong(what="the input", given=len(inputs), expected=expected)
    if len(outputs) != layout.outputs:
        raise WordCountWrong(what="the output", given=len(outputs), expected=layout.outputs)
    tail = limbs(context)
    words = [hash_word, *inputs, *outputs, *tail] if layout.hashed_input else [*inputs, *tail, *outputs]
    for index, word in enumerate(words):
        if not 0 <= word < FIELD_ORDER:
            raise WordOutOfField(index=index, word=word)
    return words
