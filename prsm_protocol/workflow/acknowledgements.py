"""Work that the escrow pays is acknowledged by a voucher that adds nothing, so that the proof of use exists without a
second payment.

The channel to each operator is opened at its first work with a small deposit and kept for the next question; `prsm funds` shows
it, `prsm channel close` ends it.
"""

from __future__ import annotations

import threading

from prsm_protocol.ledger.voucher_message import SignedVoucher
from prsm_protocol.rules.channel.usage import Unit, UsageLine
from prsm_protocol.types import FTNS, Receipt, Wei
from prsm_protocol.workflow.channels import HomeChannels, OpenChannel

DEPOSIT = Wei(FTNS // 100)
"""0.01 FTNS: a channel cannot be empty, and nothing is ever paid out of this one."""


class Acknowledgements:
    """Acknowledges receipts, one channel an operator; safe for several threads."""

    def __init__(self, channels: HomeChannels) -> None:
        self._channels = channels
        self._lock = threading.Lock()
        self._open: dict[str, OpenChannel] = {}
        self.given: list[tuple[OpenChannel, SignedVoucher]] = []

    def acknowledge(self, receipt: Receipt) -> None:
        """Sign, store and post the voucher; the same task is acknowledged once."""
        with self._lock:
            channel = self._open.get(receipt.operator)
            if channel is None:
                channel = self._channels.open(f"acknowledge:{receipt.operator}", receipt.operator, (), DEPOSIT)
                self._open[receipt.operator] = channel
            line = UsageLine(receipt.listing.digest, Unit.ROWS, receipt.usage.rows, Wei(0))
            signed = self._channels.sign(channel, f"task:{receipt.task.hex()}", [line])
            if all(known.voucher != signed.voucher for _, known in self.given):
                self.given.append((channel, signed))
