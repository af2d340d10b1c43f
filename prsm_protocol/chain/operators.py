"""Operators of models: who they are, which key signs for them, and the stake behind what they sign (OracleRegistry)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.rules.eip712 import checksum
from prsm_protocol.types import Wei

NOBODY = checksum(bytes(20))


@dataclass(frozen=True)
class Cover:
    """An operator's stake, how much of it stands behind results, and what is leaving when (halt-adjusted clock)."""

    stake: Wei
    locked: Wei
    leaving: Wei
    leaving_at: int

    @property
    def free(self) -> Wei:
        return Wei(self.stake - self.locked)


class Operators(ContractClient):
    NAME: ClassVar[str] = "OracleRegistry"

    def register(self, signer: str, profile: bytes, stake: Wei) -> Call:
        """Make the caller an operator; its stake comes from its Vault balance and may be zero."""
        return self._call("register", signer, profile, stake)

    def add_stake(self, amount: Wei) -> Call:
        return self._call("addStake", amount)

    def set_signer(self, signer: str) -> Call:
        return self._call("setSigner", signer)

    def set_profile(self, profile: bytes) -> Call:
        return self._call("setProfile", profile)

    def request_exit(self, amount: Wei) -> Call:
        return self._call("requestExit", amount)

    def complete_exit(self, operator: str) -> Call:
        return self._call("completeExit", operator)

    def cover_of(self, operator: str) -> Cover:
        stake, locked, leaving, at = self._numbers("coverOf", operator)
        return Cover(Wei(stake), Wei(locked), Wei(leaving), at)

    def signer_of(self, operator: str) -> str | None:
        """The key that signs for the operator now; none if it is unknown or barred."""
        found = self._address("signerOf", operator)
        return None if found == NOBODY else found

    def operator_of(self, signer: str) -> str | None:
        """The operator that `signer` signs or ever signed for."""
        found = self._address("operatorOf", signer)
        return None if found == NOBODY else found

    def is_registered(self, operator: str) -> bool:
        return self.is_barred(operator) or self.signer_of(operator) is not None

    def is_barred(self, operator: str) -> bool:
        return self._is("isBarred", operator)

    def profile_of(self, operator: str) -> bytes:
        return self._bytes("profileOf", operator)

    def total_stake(self) -> Wei:
        return Wei(self._number("totalStake"))
