"""Everybody's balance, moved by modules (Vault)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.types import Wei


@dataclass(frozen=True)
class Exit:
    """Money on its way out, and when it can be taken."""

    amount: Wei
    ready_at: int


class Vault(ContractClient):
    NAME: ClassVar[str] = "Vault"

    def deposit(self, to: str, amount: Wei) -> Call:
        """Pull FTNS that the caller has approved and credit `to`."""
        return self._call("deposit", to, amount)

    def withdraw(self, amount: Wei, to: str) -> Call:
        return self._call("withdraw", amount, to)

    def queue_exit(self, amount: Wei) -> Call:
        return self._call("queueExit", amount)

    def complete_exit(self, account: str) -> Call:
        return self._call("completeExit", account)

    def accept_module(self, module: str, accepted: bool) -> Call:
        return self._call("acceptModule", module, accepted)

    def burn_pile(self) -> Call:
        """Burn the fees that have piled up."""
        return self._call("burnPile")

    def free_of(self, account: str) -> Wei:
        return Wei(self._number("freeOf", account))

    def held_by(self, module: str) -> Wei:
        return Wei(self._number("heldBy", module))

    def exit_of(self, account: str) -> Exit:
        amount, ready_at = self._numbers("exitOf", account)
        return Exit(Wei(amount), ready_at)

    def is_module(self, account: str) -> bool:
        return self._is("isModule", account)
