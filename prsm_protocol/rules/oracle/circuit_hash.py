"""The hash that a circuit takes of a hidden input: circomlib's Poseidon of width 2, as ezkl absorbs words.

Rate one, capacity 2**64 (the mark of a fixed-length message), no padding: askers and verifiers compute it without ezkl.
"""

from __future__ import annotations

from collections.abc import Sequence

from prsm_protocol.rules.poseidon import FIELD_ORDER, permute

_CAPACITY = 1 << 64


def circuit_hash(words: Sequence[int]) -> int:
    """The hash word of these words; negative numbers stand for their residue."""
    state = [0, _CAPACITY]
    for word in words:
        state[0] = (state[0] + word) % FIELD_ORDER
        state = permute(state)
    return state[0]
