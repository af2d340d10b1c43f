"""Cumulative vouchers: what they are, when a payee may accept one, and what settling one pays.

Mirror of `Channels`. A voucher says that `cumulative` wei are owed in all since the channel was opened. Money
follows `cumulative` alone; `sequence` orders vouchers of equal amount and `usage_root` commits to what was used.
There is no expiry: a voucher that can lapse is one that can be accepted too late. Errors carry the names of the
contract's, where it has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from prsm_protocol.errors import LedgerError
from prsm_protocol.rules import eip712
from prsm_protocol.rules.eip712 import Struct, keccak, word
from prsm_protocol.types import FTNS, Wei

DOMAIN = "PRSM Channels"
BPS = 10_000
MAX_RECORDS = 4
SETTLER_PART = 20  # whoever settles for the payee gets at most this part of what is due, so landing crumbs earns crumbs
LEAST_WINDOW = Wei(FTNS // 20)
WINDOW_PART = 100
NO_WEI = Wei(0)


class VoucherSignatureInvalid(LedgerError):
    text = "voucher is signed by {recovered}, the channel's signer is {signer}; ask the payer for one by that key"


class ChannelUnknown(LedgerError):
    text = "channel 0x{id} is not open at confirmation depth; open it, or wait for its transaction"


class ChannelClosing(LedgerError):
    text = "channel is closing (closes_at {closes_at}): nothing more is accepted; settle what is there before that"


class ChannelTooManyRecords(LedgerError):
    text = "channel names {count} records, at most {limit} may be paid by one channel"


class VoucherOutOfOrder(LedgerError):
    text = "voucher has sequence {got}, expected {expected}; send the missing ones first"


class VoucherFalling(LedgerError):
    text = "voucher's cumulative amount {got} is below the last one, {last}; a voucher never takes back"


class VoucherOverDeposit(LedgerError):
    text = "voucher's cumulative amount {cumulative} is over the deposit {deposit}; top the channel up first"


class UsageRootMismatch(LedgerError):
    text = "voucher's usage root is {got}, our own count gives {expected}; compare the usage lines"


# ── structs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ChannelTerms(Struct):
    """What payer and payee agreed on. The channel's id is their hash, so they cannot change."""

    TYPE: ClassVar[str] = (
        "ChannelTerms(address payer,address payee,address signer,bytes32[] records,uint96 settlerFee,uint32 closeDelay,"
        "uint256 salt)"
    )

    payer: str
    payee: str
    signer: str
    records: tuple[bytes, ...]
    settler_fee: Wei
    close_delay: int
    salt: int


@dataclass(frozen=True)
class Voucher(Struct):
    """A promise that `cumulative` wei are owed in all. Vouchers of one channel count from sequence 1."""

    TYPE: ClassVar[str] = "Voucher(bytes32 channelId,uint64 sequence,uint96 cumulative,bytes32 usageRoot)"

    channel_id: bytes
    sequence: int
    cumulative: Wei
    usage_root: bytes

    def digest(self, chain_id: int, channels: str) -> bytes:
        """What the channel's signer signs."""
        return eip712.digest(DOMAIN, chain_id, channels, self.struct_hash())

    def on_chain(self) -> tuple[int, int, bytes]:
        """The contract's struct: the channel follows from the terms handed in beside it."""
        return (self.sequence, self.cumulative, self.usage_root)


def channel_id(chain_id: int, channels: str, terms: ChannelTerms) -> bytes:
    """keccak256(abi.encode(chainId, channels, terms)): one channel on one contract of one chain."""
    heads = 7  # fields of the terms; `records` stands as an offset to its length and items behind them
    body = (
        word("address", terms.payer, "payer")
        + word("address", terms.payee, "payee")
        + word("address", terms.signer, "signer")
        + word("uint256", 32 * heads)
        + word("uint96", terms.settler_fee, "settler_fee")
        + word("uint32", terms.close_delay, "close_delay")
        + word("uint256", terms.salt, "salt")
        + word("uint256", len(terms.records))
        + b"".join(word("bytes32", each, "records") for each in terms.records)
    )
    return keccak(word("uint256", chain_id) + word("address", channels) + word("uint256", 96) + body)


def recovered_signer(voucher: Voucher, signature: bytes, chain_id: int, channels: str) -> str:
    return eip712.recover(voucher.digest(chain_id, channels), signature)


# ── accepting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ChannelState:
    """A channel as its payee knows it: the chain's part at confirmation depth, and the last voucher accepted."""

    chain_id: int
    channels: str
    terms: ChannelTerms
    deposit: Wei
    settled: Wei = NO_WEI
    closes_at: int = 0
    is_open: bool = True
    last: Voucher | None = None

    @property
    def id(self) -> bytes:
        return channel_id(self.chain_id, self.channels, self.terms)

    @property
    def next_sequence(self) -> int:
        return 1 if self.last is None else self.last.sequence + 1

    @property
    def owed(self) -> Wei:
        return Wei(0) if self.last is None else self.last.cumulative


def accept(state: ChannelState, voucher: Voucher, signature: bytes, own_root: bytes) -> ChannelState:
    """The state after a voucher, or the reason why it must not be accepted. The last one again changes nothing."""
    if voucher.channel_id != state.id:
        raise ChannelUnknown(id=voucher.channel_id.hex())
    recovered = recovered_signer(voucher, signature, state.chain_id, state.channels)
    if recovered != state.terms.signer:
        raise VoucherSignatureInvalid(signer=state.terms.signer, recovered=recovered)
    if not state.is_open:
        raise ChannelUnknown(id=state.id.hex())
    if voucher == state.last:
        return state
    if state.closes_at:
        raise ChannelClosing(closes_at=state.closes_at)
    if voucher.sequence != state.next_sequence:
        raise VoucherOutOfOrder(expected=state.next_sequence, got=voucher.sequence)
    if voucher.cumulative < state.owed:
        raise VoucherFalling(last=state.owed, got=voucher.cumulative)
    if voucher.cumulative > state.deposit:
        raise VoucherOverDeposit(cumulative=voucher.cumulative, deposit=state.deposit)
    if voucher.usage_root != own_root:
        raise UsageRootMismatch(expected=own_root.hex(), got=voucher.usage_root.hex())
    return replace(state, last=voucher)


def credit_window(deposit: int) -> Wei:
    """What a payee works ahead of vouchers at most: nobody gives more credit than this."""
    return Wei(max(LEAST_WINDOW, deposit // WINDOW_PART))


def may_serve(state: ChannelState, used: int, protected: int) -> bool:
    """May work go on when `used` wei were consumed in all and vouchers up to `protected` are safe with a second party?

    Also within the deposit: beyond it no voucher could pay.
    """
    return not state.closes_at and used <= state.deposit and used - protected <= credit_window(state.deposit)


# ── settling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Settled:
    """Where the due amount goes; the four parts are its sum."""

    due: Wei
    fee: Wei
    royalties: tuple[Wei, ...]
    settler: Wei
    payee: Wei


def settle(
    *,
    deposit: int,
    settled: int,
    cumulative: int,
    fee_bps: int,
    royalty_bps: Sequence[int] = (),
    settler_fee: int = 0,
    by_payee: bool = True,
) -> Settled:
    """What a valid voucher pays now. Older or equal ones pay nothing; one above the deposit pays what is there."""
    if len(royalty_bps) > MAX_RECORDS:
        raise ChannelTooManyRecords(count=len(royalty_bps), limit=MAX_RECORDS)
    due = max(0, min(cumulative, deposit) - settled)
    fee = due * fee_bps // BPS
    royalties = tuple(Wei(due * bps // BPS) for bps in royalty_bps)
    settler = 0 if by_payee else min(settler_fee, due // SETTLER_PART)
    payee = due - fee - sum(royalties) - settler
    return Settled(Wei(due), Wei(fee), royalties, Wei(settler), Wei(payee))
