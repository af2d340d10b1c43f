"""Deposits from which cumulative vouchers, exchanged over the feeless ledger, are paid (Channels)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol

from prsm_protocol.chain.abi import HasValues
from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.types import Wei


class ChannelStatus(IntEnum):
    NONE = 0
    OPEN = 1
    CLOSED = 2


@dataclass(frozen=True)
class Channel:
    """The book of a channel; `closes_at` (halt-adjusted clock) is zero until the payer starts to close it."""

    deposit: Wei
    settled: Wei
    closes_at: int
    status: ChannelStatus


class SignedVoucher(Protocol):
    """What the contract reads of a voucher (`rules.channel.vouchers.Voucher`); the terms give the channel."""

    @property
    def sequence(self) -> int: ...

    @property
    def cumulative(self) -> int: ...

    @property
    def usage_root(self) -> bytes: ...


class Channels(ContractClient):
    NAME: ClassVar[str] = "Channels"

    def open(self, terms: HasValues, amount: Wei) -> Call:
        """Open a channel (`rules.channel.vouchers.ChannelTerms`) with a deposit of the payer's Vault balance."""
        return self._call("open", terms, amount)

    def top_up(self, terms: HasValues, amount: Wei) -> Call:
        return self._call("topUp", terms, amount)

    def settle(self, terms: HasValues, voucher: SignedVoucher, signature: bytes) -> Call:
        """Pay what the voucher adds to what was settled, as far as the deposit reaches."""
        return self._call("settle", terms, _body(voucher), signature)

    def settle_many(self, settlements: list[tuple[HasValues, SignedVoucher, bytes]]) -> Call:
        """Settle many; a bad one is passed over with its reason in an event."""
        return self._call("settleMany", [(terms, _body(voucher), proof) for terms, voucher, proof in settlements])

    def start_close(self, terms: HasValues) -> Call:
        """The payer's way out: final, and the rest comes free after the delay."""
        return self._call("startClose", terms)

    def close(self, terms: HasValues) -> Call:
        """The payee ends the channel at once. Vouchers that were not settled before are lost."""
        return self._call("close", terms)

    def withdraw(self, terms: HasValues) -> Call:
        """Return the rest to the payer once the delay is over."""
        return self._call("withdraw", terms)

    def channel(self, channel_id: bytes) -> Channel:
        found = self._one("channelOf", channel_id)
        assert isinstance(found, dict)
        return Channel(Wei(found["deposit"]), Wei(found["settled"]), found["closes_at"], ChannelStatus(found["status"]))

    def channel_id_of(self, terms: HasValues) -> bytes:
        return self._bytes("channelIdOf", terms)


def _body(voucher: SignedVoucher) -> tuple[int, int, bytes]:
    return (voucher.sequence, voucher.cumulative, voucher.usage_root)
