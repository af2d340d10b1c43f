"""The node's rules over its store: which blocks come in, which are tips, and what the next milestone takes.

Holds in memory only what no milestone references yet; the rest is asked of the store. Changes are made in two
halves, so that the slow one, the synced write, can run on another thread: `check` and `plan` look, the store
commits, `added` and `confirmed` take over what is now on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prsm_protocol.errors import LedgerError
from prsm_protocol.ledger.codec import (
    MAX_PARENTS,
    ZERO_ID,
    Block,
    Milestone,
    Transaction,
    block_id,
    decode,
    encode,
)
from prsm_protocol.ledger.milestones import milestone_block
from prsm_protocol.ledger.node.confirm import confirm
from prsm_protocol.ledger.node.store import BlockRow, MilestoneRow, NodeStore
from prsm_protocol.ledger.white_flag import white_flag_order

BELOW_MAX_DEPTH = 15  # Hornet's default; clients read it from /info
MERGES = 64  # blocks a milestone may add to gather tips: 64 × 8 tips is more than a second of posts leaves behind


class BlockRefused(LedgerError):
    text = "block is refused: {rule}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A signed milestone that is not yet written. Nobody may see it before it is."""

    merges: tuple[BlockRow, ...]
    order: tuple[bytes, ...]
    milestone: MilestoneRow
    block: BlockRow
    prune: int


class Tangle:
    def __init__(self, store: NodeStore, keep: int | None, now: int) -> None:
        self._store = store
        self._keep = keep
        self._unreferenced: dict[bytes, tuple[bytes, ...]] = {}
        self._oldest: dict[bytes, int] = {}
        self._tips: dict[bytes, None] = {}  # in order of arrival
        found = store.latest()
        if found is None:
            order: list[bytes] = []
            first = confirm(1, now, ZERO_ID, [ZERO_ID], order, store.keys)
            plan = self._planned((), order, first, prune=0)
            store.confirm(plan.merges, plan.order, plan.milestone, plan.block, plan.prune)
            found = plan.milestone
        self.latest: MilestoneRow = found
        for row in store.pending():
            self._take(row)

    # ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def check(self, raw: bytes) -> BlockRow:
        """The block as a row, or the rule it breaks. Its place on disk is the caller's business."""
        block = decode(raw)
        if isinstance(block.payload, Milestone):
            raise BlockRefused(rule="milestones are issued by this node's own keys only")
        if isinstance(block.payload, Transaction):
            raise BlockRefused(rule="this node carries data only, not transactions of the ledger's coin")
        ages = [self._reaches(parent) for parent in block.parents]
        return BlockRow(block_id(raw), raw, min(ages))

    def _reaches(self, parent: bytes) -> int:
        """The oldest milestone under a parent; refuses parents that are unknown or too deep."""
        if parent in self._oldest:
            oldest = self._oldest[parent]
        elif parent == ZERO_ID:
            oldest = 0
        else:
            row = self._store.block(parent)
            if row is None:
                raise BlockRefused(rule=f"parent 0x{parent.hex()} is unknown here")
            oldest = row.milestone if row.milestone is not None else row.oldest
        if self.is_too_old(oldest):
            rule = f"parent 0x{parent.hex()} lies more than {BELOW_MAX_DEPTH} milestones back; ask for new tips"
            raise BlockRefused(rule=rule)
        return oldest

    def is_too_old(self, oldest: int) -> bool:
        return self.latest.index - oldest > BELOW_MAX_DEPTH

    def added(self, rows: Sequence[BlockRow]) -> None:
        """Take over blocks that are now on disk. One that a milestone already references changes nothing."""
        for row in rows:
            if row.id not in self._unreferenced:
                stored = self._store.block(row.id)
                if stored is not None and stored.milestone is None:
                    self._take(row)

    def _take(self, row: BlockRow) -> None:
        block = decode(row.raw)
        self._unreferenced[row.id] = block.parents
        self._oldest[row.id] = row.oldest
        for parent in block.parents:
            self._tips.pop(parent, None)
        self._tips[row.id] = None

    def tips(self) -> list[bytes]:
        """Up to eight of the newest tips; the last milestone's block where there are none."""
        young = [id for id in self._tips if not self.is_too_old(self._oldest[id])]
        return young[-MAX_PARENTS:] or [self.latest.block]

    # ── milestones ───────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def has_unreferenced(self) -> bool:
        """Is there anything besides the last milestone's own block that a milestone could still take?"""
        waiting = (id for id, oldest in self._oldest.items() if not self.is_too_old(oldest))
        return any(id != self.latest.block for id in waiting)

    def plan(self, now: int) -> Plan:
        """The next milestone over the oldest tips, more than seven of them gathered by blocks without payload."""
        tips = [id for id in self._tips if id != self.latest.block and not self.is_too_old(self._oldest[id])]
        unreferenced = dict(self._unreferenced)
        merges: list[BlockRow] = []
        while len(tips) > MAX_PARENTS - 1 and len(merges) < MERGES:
            parents = tuple(sorted(tips[:MAX_PARENTS]))
            raw = encode(Block(parents, None))
            oldest = min(self._oldest.get(parent, self.latest.index) for parent in parents)
            merges.append(BlockRow(block_id(raw), raw, oldest))
            unreferenced[merges[-1].id] = parents
            tips = [*tips[MAX_PARENTS:], merges[-1].id]
        parents = (self.latest.block, *tips[-(MAX_PARENTS - 1) :])
        order = white_flag_order(parents, unreferenced.get)
        # A clock that was set back must not lead to a milestone older than the last.
        timestamp = max(now, self.latest.timestamp + 1)
        milestone = confirm(self.latest.index + 1, timestamp, self.latest.id, parents, order, self._store.keys)
        prune = 0 if self._keep is None else max(0, milestone.index - self._keep)
        return self._planned(merges, order, milestone, prune)

    def _planned(self, merges: Sequence[BlockRow], order: Sequence[bytes], milestone: Milestone, prune: int) -> Plan:
        raw = milestone_block(milestone)
        row = MilestoneRow(milestone.index, milestone.id, milestone.timestamp, milestone.payload, block_id(raw))
        return Plan(tuple(merges), tuple(order), row, BlockRow(row.block, raw, milestone.index), prune)

    def confirmed(self, plan: Plan) -> None:
        """Take over a milestone that is now on disk."""
        self.latest = plan.milestone
        for row in plan.merges:
            self._take(row)
        for id in plan.order:
            self._unreferenced.pop(id, None)
            self._oldest.pop(id, None)
            self._tips.pop(id, None)
        self._take(plan.block)
