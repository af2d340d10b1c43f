"""What of a locked budget is reserved, spent and free: integers whose sum never changes."""

from __future__ import annotations

from dataclasses import dataclass, field

from prsm_protocol.errors import OrchestrationError, UsageError
from prsm_protocol.types import Wei, format_ftns

NO_WEI = Wei(0)


class BudgetExceeded(OrchestrationError):
    text = "the budget has {left} FTNS left and {needed} FTNS are needed; ask again with a larger --budget"


class BudgetTooLow(UsageError):
    exit_code = 1
    text = (
        "a budget of {budget} FTNS is under the cheapest quote of {needed} FTNS; "
        "give --budget {needed} or more, fewer rows, or --local to run it here for nothing"
    )


class ChargeAboveQuote(OrchestrationError):
    text = "{node} charges {charged} FTNS, its quote was {quoted} FTNS; nothing is accepted from it"


@dataclass
class Account:
    """`locked = reserved + spent + free` at all times; what a task gives back becomes free again."""

    locked: Wei
    reserved: dict[str, Wei] = field(default_factory=dict)
    spent: Wei = NO_WEI

    @property
    def free(self) -> Wei:
        return Wei(self.locked - self.spent - sum(self.reserved.values()))

    def reserve(self, key: str, quote: Wei) -> None:
        """Hold `quote` for `key` before anybody is asked to work; a repeated key holds it once."""
        if key in self.reserved:
            return
        if quote > self.free:
            raise BudgetExceeded(left=format_ftns(self.free), needed=format_ftns(quote))
        self.reserved[key] = quote

    def charge(self, key: str, amount: Wei) -> None:
        """Accepted work: at most what was reserved; the difference is free again."""
        quote = self.reserved[key]
        if amount > quote:
            raise ChargeAboveQuote(node=key, charged=format_ftns(amount), quoted=format_ftns(quote))
        del self.reserved[key]
        self.spent = Wei(self.spent + amount)

    def release(self, key: str) -> None:
        """Work that was not accepted and holds no escrow: free again."""
        self.reserved.pop(key, None)
