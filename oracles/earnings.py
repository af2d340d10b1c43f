"""What was earned and why, from events of canonical blocks and never from memory.

A node wiped and replayed from the first block says the same to the wei.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracles.store import EventRow, Store


@dataclass(frozen=True)
class Evidence:
    event: str
    transaction: str
    block: int


@dataclass(frozen=True)
class Earning:
    """One task or one channel. `net` is what reached the payee's Vault balance; `gas` is coin of the chain.

    Of a channel `fee` holds fee, royalties and the settler's part together, as the settlement's event does.
    """

    subject: str
    kind: str  # "task" or "channel"
    quoted: int
    net: int
    fee: int
    royalty: int
    gas: int
    reason: str
    evidence: tuple[Evidence, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "subject": self.subject,
            "kind": self.kind,
            "quoted_wei": str(self.quoted),
            "net_wei": str(self.net),
            "fee_wei": str(self.fee),
            "royalty_wei": str(self.royalty),
            "gas_wei": str(self.gas),
            "reason": self.reason,
            "evidence": [
                {"event": item.event, "transaction": item.transaction, "block": item.block} for item in self.evidence
            ],
        }


_REASONS = {
    "TaskPaid": "paid: the result was accepted by the chain",
    "TaskRefunded": "refunded: the price went back to the buyer",
    "TaskAgreed": "split: both sides agreed",
    "TaskDeclined": "declined by this node",
    "TaskRejected": "rejected by the buyer",
    "TaskDelivered": "delivered, not paid yet",
    "TaskAssigned": "assigned, not delivered yet",
}


def of_task(store: Store, task: str) -> Earning | None:
    events = store.events(key=task)
    if not events:
        return None
    paid = [event for event in events if event.name == "TaskPaid"]
    assigned = next((event for event in events if event.name == "TaskAssigned"), None)
    return Earning(
        subject=task,
        kind="task",
        quoted=_price(assigned),
        net=sum(_number(event, "net") for event in paid),
        fee=sum(_number(event, "fee") for event in paid),
        royalty=sum(_number(event, "royalty") for event in paid),
        gas=sum(intent.gas_wei for intent in store.intents(task=task)),
        reason=next((_REASONS[event.name] for event in reversed(events) if event.name in _REASONS), "unknown"),
        evidence=tuple(Evidence(event.name, event.transaction, event.block) for event in events),
    )


def of_channel(store: Store, channel: str) -> Earning:
    """Net is what the Vault moved to the payee right after each settlement: fee and royalties are not in the event."""
    events = store.events(key=channel)
    settled = [event for event in events if event.name == "VoucherSettled"]
    net = sum(_moved_after(store, event) for event in settled)
    return Earning(
        subject=channel,
        kind="channel",
        quoted=max((_number(event, "cumulative") for event in settled), default=0),
        net=net,
        fee=sum(_number(event, "paid") for event in settled) - net,
        royalty=0,
        gas=sum(intent.gas_wei for intent in store.intents() if intent.task.startswith(channel)),
        reason="metered use, settled by voucher" if settled else "metered use, not settled yet",
        evidence=tuple(Evidence(event.name, event.transaction, event.block) for event in events),
    )


def _moved_after(store: Store, settled: EventRow) -> int:
    """The Vault's credits to the payee between this settlement and the next one of the same transaction."""
    same = [event for event in store.events(name="VoucherSettled") if event.transaction == settled.transaction]
    end = min((event.index for event in same if event.index > settled.index), default=1 << 62)
    moves = [event for event in store.events(key="moved") if event.transaction == settled.transaction]
    return sum(_number(event, "amount") for event in moves if settled.index < event.index < end)


def all_earnings(store: Store) -> list[Earning]:
    """Every task and channel that the chain knows of, in the order of their first event."""
    tasks = dict.fromkeys(event.key for event in store.events(name="TaskAssigned"))
    channels = dict.fromkeys(event.key for event in store.events(name="ChannelOpened"))
    found = [earning for task in tasks if (earning := of_task(store, task)) is not None]
    return found + [of_channel(store, channel) for channel in channels]


def total_net(store: Store) -> int:
    return sum(earning.net for earning in all_earnings(store))


def _price(assigned: EventRow | None) -> int:
    assignment = assigned.fields["assignment"] if assigned is not None else {}
    assert isinstance(assignment, dict)
    return int(str(assignment.get("price", 0)))


def _number(event: EventRow, name: str) -> int:
    return int(str(event.fields[name]))
