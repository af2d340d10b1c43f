"""What the signer's key signs: assignments, results and declines; for one task one answer, for ever.

The pair (task, struct hash) is committed before the key is used. Two different answers to one task would cost the stake, so
the second is refused here whatever the reason, a restart or a second run included.
"""

from __future__ import annotations

from oracles.store import Store
from prsm_protocol.chain.signer import PrivateKeySigner
from prsm_protocol.rules.eip712 import Struct, digest
from prsm_protocol.rules.market.escrow import DOMAIN as ESCROW_DOMAIN
from prsm_protocol.rules.market.escrow import Assignment, Decline
from prsm_protocol.rules.oracle.attestation import DOMAIN as HUB_DOMAIN
from prsm_protocol.rules.oracle.attestation import Attestation


class Attester:
    """Signs for one operator on one chain."""

    def __init__(self, store: Store, signer: PrivateKeySigner, *, chain_id: int, escrow: str, hub: str) -> None:
        self._store = store
        self._signer = signer
        self._chain_id = chain_id
        self._escrow = escrow
        self._hub = hub

    def assignment(self, assignment: Assignment) -> bytes:
        """A quote: binding while it is valid, and it says nothing about any result."""
        return self._signer.sign_digest(digest(ESCROW_DOMAIN, self._chain_id, self._escrow, assignment.struct_hash()))

    def result(self, attestation: Attestation) -> bytes:
        return self._once(attestation.task_id, attestation, HUB_DOMAIN, self._hub)

    def decline(self, task_id: bytes, code: int) -> bytes:
        return self._once(task_id, Decline(task_id=task_id, code=code), ESCROW_DOMAIN, self._escrow)

    def _once(self, task_id: bytes, struct: Struct, domain: str, contract: str) -> bytes:
        task = "0x" + task_id.hex()
        hashed = struct.struct_hash()
        before = self._store.reserve_signature(task, hashed)
        if before is not None:
            return before
        signature = self._signer.sign_digest(digest(domain, self._chain_id, contract, hashed))
        self._store.put_signature(task, signature)
        return signature
