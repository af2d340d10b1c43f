"""What the use of records earned, and who may take it (Royalties)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.rules.registry.lineage import Share
from prsm_protocol.types import Wei


class Royalties(ContractClient):
    NAME: ClassVar[str] = "Royalties"

    def claim(self, record: bytes, ancestors: Sequence[Share], index: int) -> Call:
        """Pay the present owner of ancestor `index` what it is due; an index behind the last is the record itself."""
        return self._call("claim", record, list(ancestors), index)

    def claim_many(self, claims: Sequence[tuple[bytes, Sequence[Share], int]]) -> Call:
        """Several at once; those with nothing due are passed over."""
        return self._call("claimMany", [(record, list(ancestors), index) for record, ancestors, index in claims])

    def claimable(self, record: bytes, ancestors: Sequence[Share], index: int) -> Wei:
        return Wei(self._number("claimable", record, list(ancestors), index))

    def accrued_for(self, record: bytes) -> Wei:
        """What the record earned so far, its ancestors' parts included."""
        return Wei(self._number("accruedFor", record))

    def burnt_for(self, record: bytes) -> Wei:
        return Wei(self._number("burntFor", record))

    def uses_of(self, record: bytes) -> int:
        """A raw count that anybody can raise by buying from oneself; nothing is paid by it."""
        return self._number("usesOf", record)

    def require_payable(self, records: Sequence[bytes]) -> None:
        """Raise by name if a payment for these records could not be booked."""
        self.read("requirePayable", list(records))

    def fee_bps(self) -> int:
        return self._number("feeBps")
