"""The words that bind a proof to one chain, hub, request, circuit and operator (mirror of ContextWords.sol).

Nothing in a context comes from a block, so a proof survives a reorganisation; change any of the five and the proof is
worthless.

Ethereum's hash is imported where it is used: its libraries take half a second to load, and a process that makes a proof
needs `limbs` alone.
"""

from __future__ import annotations

CONTEXT_TYPE = "Context(uint256 chainId,address hub,bytes32 request,bytes32 circuitId,address operator)"
LIMBS = 11
"""11 limbs of 24 bits hold 264 bits, the fewest that hold 256."""
LIMB_BITS = 24
"""A circuit holds limbs as fixed-point numbers, exactly."""


def request(job_id: bytes, salt: int) -> bytes:
    """What a task asks for: keccak of its job and its assignment's salt."""
    from prsm_protocol.rules.eip712 import keccak, word

    return keccak(word("bytes32", job_id, "jobId") + word("uint256", salt, "salt"))


def context(chain_id: int, hub: str, request: bytes, circuit_id: bytes, operator: str) -> bytes:
    """The 32 bytes that a proof must carry to count for this delivery and no other."""
    from prsm_protocol.rules.eip712 import struct_hash

    return struct_hash(CONTEXT_TYPE, (chain_id, hub, request, circuit_id, operator))


def limbs(context: bytes) -> list[int]:
    """The context as eleven circuit words, least significant first."""
    number = int.from_bytes(context, "big")
    return [(number >> (LIMB_BITS * at)) & ((1 << LIMB_BITS) - 1) for at in range(LIMBS)]
