"""Who is owed what of a payment, exactly as Royalties books it: a fee to burn, royalties, the rest to the payee."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prsm_protocol.errors import UsageError
from prsm_protocol.rules.registry.lineage import BPS, Share
from prsm_protocol.types import Wei

MAX_RECORDS = 4


class TooManyRecords(UsageError):
    text = "a payment names {count} records and may name {max}; leave the least important data out"


class StackTooHigh(UsageError):
    text = "the royalties of all records together are {total} basis points, at most {max} are payable; choose others"


class IndexOutOfRange(UsageError):
    text = "ancestor {index} was asked for; the record has {count}, and index {count} is the record itself"


@dataclass(frozen=True)
class Split:
    """How one price is divided. `royalties` follow the order of the records."""

    fee: Wei
    royalties: tuple[Wei, ...]
    payee: Wei

    @property
    def royalty(self) -> Wei:
        return Wei(sum(self.royalties))


def part(amount: int, bps: int) -> Wei:
    """So many basis points of an amount, rounded down."""
    return Wei(amount * bps // BPS)


def split(price: int, royalty_bps: Sequence[int], *, fee_bps: int, stack_max_bps: int) -> Split:
    """Divide a price for the use of records with these royalties; fee + royalties + payee = price, to the wei."""
    if len(royalty_bps) > MAX_RECORDS:
        raise TooManyRecords(count=len(royalty_bps), max=MAX_RECORDS)
    if sum(royalty_bps) > stack_max_bps:
        raise StackTooHigh(total=sum(royalty_bps), max=stack_max_bps)
    fee = part(price, fee_bps)
    royalties = tuple(part(price, bps) for bps in royalty_bps)
    return Split(fee=fee, royalties=royalties, payee=Wei(price - fee - sum(royalties)))


def burnt_share(fee: int, records: int) -> Wei:
    """What each of `records` is booked of a fee that was burnt for all of them, rounded down."""
    return Wei(fee // records) if records else Wei(0)


def share_of(ancestors: Sequence[Share], index: int) -> int:
    """Basis points of ancestor `index` in what a record accrues; an index behind the last is the record itself."""
    if not 0 <= index <= len(ancestors):
        raise IndexOutOfRange(index=index, count=len(ancestors))
    return ancestors[index].bps if index < len(ancestors) else BPS - sum(share.bps for share in ancestors)


def claimable(accrued: int, ancestors: Sequence[Share], index: int, taken: int) -> Wei:
    """What `claim` pays now: the share of everything accrued so far, less what was taken before."""
    return Wei(part(accrued, share_of(ancestors, index)) - taken)
