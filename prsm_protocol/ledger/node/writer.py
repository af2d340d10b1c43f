"""The node's one task that writes: posted blocks in groups that share a sync, and milestones between them.

A posted block waits for the writer, which gathers what arrives within a few milliseconds into one synced transaction;
milestones are written by the same task, hence never beside a post.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette

from prsm_protocol.ledger import inclusion
from prsm_protocol.ledger.milestones import public_bytes
from prsm_protocol.ledger.node.store import BlockRow, NodeStore
from prsm_protocol.ledger.node.tangle import Tangle

GROUP_BLOCKS, GROUP_SECONDS = 256, 0.005  # what shares a sync: long enough to gather, too short to be felt
IDLE_SECONDS = 60.0  # the SDK distrusts a node whose last milestone is older than five minutes


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`interval` seconds between milestones while blocks wait; `rate` posts a second per address."""

    network: str
    interval: float = 1.0
    rate: int = 2_000
    hrp: str = "tst"


class _Rate:
    """A bucket of posts per address; a second's worth may come at once."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, address: str, now: float) -> bool:
        left, since = self._buckets.get(address, (float(self._per_second), now))
        left = min(float(self._per_second), left + (now - since) * self._per_second)
        allowed = left >= 1
        self._buckets[address] = (left - 1 if allowed else left, now)
        return allowed


@dataclass(frozen=True, slots=True)
class Metrics:
    """Blocks that came and blocks that were referenced, a second, over the time of the last milestone."""

    arrived: float = 0.0
    referenced: float = 0.0

    @property
    def rate(self) -> float:
        return 100 * self.referenced / self.arrived if self.arrived else 0.0


class Node:
    """State behind the routes, and the writer."""

    def __init__(self, store: NodeStore, tangle: Tangle, settings: NodeSettings) -> None:
        self.store = store
        self.tangle = tangle
        self.settings = settings
        self.rate = _Rate(settings.rate)
        self.trust = inclusion.Trust(
            tuple(inclusion.TrustedKey(public_bytes(key)) for key in store.keys),
            len(store.keys),
            inclusion.network_id(settings.network),
        )
        self._queue: asyncio.Queue[tuple[BlockRow, asyncio.Future[None]]] = asyncio.Queue(maxsize=8 * GROUP_BLOCKS)
        self._issued = 0.0
        self._arrived = 0
        self.metrics = Metrics()

    @asynccontextmanager
    async def running(self, _app: Starlette) -> AsyncIterator[None]:
        writer = asyncio.create_task(self._write())
        try:
            yield
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def add(self, row: BlockRow) -> None:
        """Returns once the block is synced; raises `sqlite3.Error` when the disk refused."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._queue.put((row, done))
        await done

    async def _write(self) -> None:
        while True:
            waiting = self.settings.interval if self.tangle.has_unreferenced else IDLE_SECONDS
            due = self._issued + waiting - time.monotonic()
            if due <= 0:
                await self._issue()
                continue
            try:
                first = await asyncio.wait_for(self._queue.get(), due)
            except TimeoutError:
                continue
            await self._append(first)

    async def _append(self, first: tuple[BlockRow, asyncio.Future[None]]) -> None:
        group = [first]
        end = time.monotonic() + GROUP_SECONDS
        while len(group) < GROUP_BLOCKS:
            if self._queue.empty():
                left = end - time.monotonic()
                # A lone post is not held back: it waits only while others are already being read.
                if left <= 0 or len(group) == 1:
                    await asyncio.sleep(0)
                    if self._queue.empty():
                        break
                else:
                    await asyncio.sleep(min(left, 0.001))
                    if self._queue.empty() and time.monotonic() >= end:
                        break
                    continue
            group.append(self._queue.get_nowait())
        rows = [row for row, _ in group]
        try:
            await asyncio.to_thread(self.store.append, rows)
        except sqlite3.Error as error:
            for _, done in group:
                if not done.done():
                    done.set_exception(error)
            return
        self.tangle.added(rows)
        self._arrived += len(rows)
        for _, done in group:
            if not done.done():  # the client may have gone
                done.set_result(None)

    async def _issue(self) -> None:
        elapsed, self._issued = time.monotonic() - self._issued, time.monotonic()
        plan = self.tangle.plan(int(time.time()))
        try:
            await asyncio.to_thread(self.store.confirm, plan.merges, plan.order, plan.milestone, plan.block, plan.prune)
        except sqlite3.Error:  # a full disk: nothing was written, so the same index is planned again later
            return
        self.tangle.confirmed(plan)
        # A milestone's own block arrives too, so a quiet second has one of each.
        arrived = self._arrived + len(plan.merges) + 1
        self.metrics = Metrics(arrived / elapsed, len(plan.order) / elapsed)
        self._arrived = 0
