"""The token: an ERC-20 with permit, authorisations and burning; nobody can mint (FTNS)."""

from __future__ import annotations

from typing import ClassVar

from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.types import Wei


class Ftns(ContractClient):
    NAME: ClassVar[str] = "FTNS"

    def approve(self, spender: str, amount: Wei) -> Call:
        return self._call("approve", spender, amount)

    def transfer(self, to: str, amount: Wei) -> Call:
        return self._call("transfer", to, amount)

    def burn(self, amount: Wei) -> Call:
        return self._call("burn", amount)

    def balance_of(self, account: str) -> Wei:
        return Wei(self._number("balanceOf", account))

    def allowance(self, owner: str, spender: str) -> Wei:
        return Wei(self._number("allowance", owner, spender))

    def total_supply(self) -> Wei:
        return Wei(self._number("totalSupply"))
