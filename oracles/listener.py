"""Follows the chain head by head and stores every event that concerns this node exactly once.

A block's parent is compared with the node's own record, so a reorganisation is noticed whatever the endpoint says about it:
events above the common ancestor are marked orphaned, the cursor goes back, nothing local is undone. Events and cursor are
one transaction, so the cursor never passes a block whose events are not stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracles.store import EventRow, Store
from prsm_protocol.chain import Chain
from prsm_protocol.chain.client import Block, Event
from prsm_protocol.errors import NodeError
from prsm_protocol.rules.eip712 import Struct
from prsm_protocol.rules.registry.lineage import AnchorKind

DEPTH = 128
"""Deeper reorganisations are not survived alone: half an hour of a public chain, a person should look."""
REPLAY = 64
RANGE = 2000

TASK_EVENTS = frozenset(
    {"TaskAssigned", "TaskDelivered", "TaskPaid", "TaskRefunded", "TaskDeclined", "TaskRejected", "TaskAgreed"}
)
CHANNEL_EVENTS = frozenset(
    {"ChannelOpened", "ChannelToppedUp", "VoucherSettled", "ChannelCloseStarted", "ChannelClosed"}
)


class ListenerError(NodeError):
    """Anything about following the chain."""


class ReorgTooDeep(ListenerError):
    text = (
        "the chain was reorganised more than {depth} blocks deep; the node has stopped acting: look at the chain, then start it "
        "again with --accept-reorganisation"
    )


class ChainMoved(ListenerError):
    text = "block {number} changed while it was read; it is read again"


@dataclass(frozen=True)
class Head:
    """The last block whose events are stored; its time is what the node calls now."""

    number: int
    hash: bytes
    time: int


class Listener:
    """One pass at a time: `advance()` until it answers that nothing is new."""

    def __init__(self, store: Store, chain: Chain, *, operator: str, payee: str) -> None:
        self._store = store
        self._chain = chain
        self._operator = operator
        self._payee = payee
        self._listing_kind = int(AnchorKind.LISTING)
        self.deepest_reorganisation = 0
        self.latest = 0

    def start(self) -> None:
        """Go back a little before going on: what was stored twice is stored once."""
        cursor = self._store.cursor()
        if cursor is None:
            return
        number = max(self._chain.deployment.start_block, cursor[0] - REPLAY)
        known = self._store.block_at(number)
        if known is not None and number < cursor[0]:
            self._store.set_cursor(self._chain.chain_id, number, known[0])

    def head(self) -> Head | None:
        cursor = self._store.cursor()
        if cursor is None:
            return None
        known = self._store.block_at(cursor[0])
        return None if known is None else Head(cursor[0], cursor[1], known[1])

    def advance(self) -> bool:
        """Take in the next blocks; True if something was new."""
        latest = self._chain.block()
        self.latest = latest.number
        cursor = self._store.cursor()
        if cursor is None:
            cursor = self._begin(latest)
        number, block_hash = cursor
        if latest.number == number and latest.hash == block_hash:
            return False
        ancestor = self._common_ancestor(number, block_hash)
        if ancestor < number:
            self._go_back(number, ancestor)
            return True
        if latest.number <= number:
            return False
        upto = min(latest.number, number + RANGE)
        self._take(number + 1, upto, self._store.cursor() or cursor)
        return True

    def _begin(self, latest: Block) -> tuple[int, bytes]:
        first = self._chain.block(min(latest.number, max(0, self._chain.deployment.start_block - 1)))
        with self._store.transaction():
            self._store.put_block(first.number, first.hash, first.parent, first.timestamp)
            self._store.set_cursor(self._chain.chain_id, first.number, first.hash)
        return first.number, first.hash

    def _common_ancestor(self, number: int, block_hash: bytes) -> int:
        """The highest of our blocks that the chain still has."""
        at, known = number, block_hash
        while not self._is_canonical(at, known):
            if number - at >= DEPTH:
                raise ReorgTooDeep(depth=DEPTH)
            at -= 1
            row = self._store.block_at(at)
            if row is None:
                raise ReorgTooDeep(depth=number - at)
            known = row[0]
        return at

    def _is_canonical(self, number: int, known: bytes) -> bool:
        return number <= self.latest and self._chain.block(number).hash == known

    def _go_back(self, number: int, ancestor: int) -> None:
        row = self._store.block_at(ancestor)
        assert row is not None
        with self._store.transaction():
            self._store.orphan_above(ancestor)
            self._store.set_cursor(self._chain.chain_id, ancestor, row[0])
        self.deepest_reorganisation = max(self.deepest_reorganisation, number - ancestor)

    def _take(self, first: int, last: int, cursor: tuple[int, bytes]) -> None:
        """Events of a range of blocks; headers of the recent ones, whose order may still change."""
        recent = max(first, min(last, self.latest - 2 * DEPTH))
        blocks = [self._chain.block(number) for number in range(recent, last + 1)]
        parent = cursor[1] if recent == first else None
        for block in blocks:
            if parent is not None and block.parent != parent:
                raise ChainMoved(number=block.number)
            parent = block.hash
        hashes = {block.number: block for block in blocks}
        times: dict[int, int] = {}
        rows = []
        ours: set[str] = set()
        for event in self._chain.events(first, last):
            key = self._key(event, ours)
            if key is None:
                continue
            ours.add(key)
            header = hashes.get(event.block)
            if header is not None and header.hash != event.block_hash:
                raise ChainMoved(number=event.block)
            if event.block not in times:
                times[event.block] = (header or self._chain.block(event.block)).timestamp
            rows.append(_row(event, key, times[event.block]))
        with self._store.transaction():
            # After a restart the cursor stands below events stored before; those that are still there count again.
            self._store.orphan_above(first - 1)
            for block in blocks:
                self._store.put_block(block.number, block.hash, block.parent, block.timestamp, keep=2 * DEPTH)
            for row in rows:
                self._store.put_event(row)
                if row.name in TASK_EVENTS:
                    self._store.reopen_task(row.key)
            self._store.set_cursor(self._chain.chain_id, blocks[-1].number, blocks[-1].hash)

    def _key(self, event: Event, ours: set[str]) -> str | None:
        """What the event is about, or None where it is not about this node; `ours` are keys of the blocks being read."""
        fields = event.fields
        if event.name in TASK_EVENTS:
            task = _hex(fields["task_id"])
            mine = event.name == "TaskAssigned" and fields["operator"] == self._operator
            return task if mine or task in ours or self._is_ours(task) else None
        if event.name == "EscrowOpened":
            return _hex(fields["job_id"])
        if event.name in CHANNEL_EVENTS:
            channel = _hex(fields["channel_id"])
            mine = event.name == "ChannelOpened" and fields["payee"] == self._payee
            return channel if mine or channel in ours or self._is_ours(channel) else None
        if event.name == "DigestAnchored" and fields["kind"] == self._listing_kind:
            return "listing"
        if event.name == "VaultMoved":
            paying = (self._chain.channels.address, self._chain.escrow.address)
            return "moved" if fields["to"] == self._payee and fields["module"] in paying else None
        if event.name in ("OperatorSignerChanged", "OperatorRegistered", "OperatorSlashed"):
            return "operator" if fields["operator"] == self._operator else None
        return None

    def _is_ours(self, key: str) -> bool:
        known = self._store.task(key) is not None or self._store.events(key=key)
        return bool(known) or bool(self._store.events(key=key, orphaned=True))


def _row(event: Event, key: str, time: int) -> EventRow:
    return EventRow(
        block=event.block,
        block_hash=event.block_hash,
        index=event.index,
        contract=event.contract,
        name=event.name,
        key=key,
        fields={name: plain(value) for name, value in event.fields.items()},
        transaction=_hex(event.transaction),
        time=time,
    )


def plain(value: object) -> object:
    """JSON of a decoded value: structs by their own form, bytes as 0x-hex, numbers kept exactly."""
    if isinstance(value, Struct):
        return value.to_json()
    if isinstance(value, bytes):
        return _hex(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def _hex(value: object) -> str:
    assert isinstance(value, bytes)
    return "0x" + value.hex()
