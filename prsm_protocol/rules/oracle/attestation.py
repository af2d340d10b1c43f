"""A signed result and its proof: the structs of AttestationHub.

A wrong struct is a signature that no contract accepts, so these forms are the first thing both sides must agree on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prsm_protocol.rules.eip712 import Struct, digest
from prsm_protocol.types import Wei

DOMAIN = "PRSM AttestationHub"


@dataclass(frozen=True)
class Attestation(Struct):
    """A result as its operator's signer signs it.

    `input_hash` is keccak of the input words, or the circuit's own hash word where the circuit hashes its input;
    `output_hash` is keccak of the output words without the limbs; `result` is the SHA-256 digest of the delivered file;
    `execution` is a Merkle root of environment and layers, or zero.
    """

    TYPE: ClassVar[str] = (
        "Attestation(bytes32 taskId,bytes32 request,bytes32 modelId,bytes32 circuitId,bytes32 inputHash,"
        "bytes32 outputHash,bytes32 result,bytes32 execution,uint8 tier,uint8 verdictClass,address operator,"
        "uint96 atRisk,uint32 window,uint40 signedAt)"
    )

    task_id: bytes
    request: bytes
    model_id: bytes
    circuit_id: bytes
    input_hash: bytes
    output_hash: bytes
    result: bytes
    execution: bytes
    tier: int
    verdict_class: int
    operator: str
    at_risk: Wei
    window: int
    signed_at: int

    def digest(self, chain_id: int, hub: str) -> bytes:
        """What the operator's signer signs for this hub on this chain."""
        return digest(DOMAIN, chain_id, hub, self.struct_hash())


@dataclass(frozen=True)
class Proof(Struct):
    """A proof with the words that the hub does not know by itself; without a circuit all three are empty.

    A public circuit's `inputs` are its input words, a hashed one's the single word `h`. `outputs` never hold the limbs.
    """

    TYPE: ClassVar[str] = "Proof(bytes data,uint256[] inputs,uint256[] outputs)"

    data: bytes = b""
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()


NO_PROOF = Proof()
