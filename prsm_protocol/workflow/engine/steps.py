"""Durable steps: a finished step never runs again; its result, or its error, is what it was.

DBOS numbers steps in program order, which a fan-out whose branches hold several steps each cannot promise. So results are
kept by name, in the home's own database; DBOS keeps the run itself: that it exists, where it stands, who goes on with it.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import timedelta
from time import monotonic
from typing import TypeVar, cast

from prsm_protocol.errors import PrsmError, WorkflowError
from prsm_protocol.types import NO_RETRY, Call, Progress, Retry, RunId, Waiting, poll
from prsm_protocol.workflow.engine.port import Watch
from prsm_protocol.workflow.engine.serializer import StoredError, Table
from prsm_protocol.workflow.engine.store import RunStore
from prsm_protocol.workflow.recovery.categories import is_transient

T = TypeVar("T")


class StepNameTaken(WorkflowError):
    text = "two steps of run {run} are called {name!r} and run at once; name them apart"


class RunCancelled(WorkflowError):
    text = "run {run} was cancelled; what was locked returns, see `prsm runs show {run}`"


class DurableSteps:
    """`types.Steps` over one run's stored steps."""

    def __init__(self, run: RunId, store: RunStore, table: Table, watch: Watch, cancelled: Callable[[], bool]) -> None:
        self.run = run
        self._store = store
        self._table = table
        self._watch = watch
        self._cancelled = cancelled
        self._active: set[str] = set()
        self._lock = threading.Lock()

    def once(self, name: str, call: Callable[[], T], retry: Retry = NO_RETRY) -> T:
        stored = self._store.step(self.run, name)
        if stored is not None:
            return self._replay(stored)
        with self._lock:
            if name in self._active:
                raise StepNameTaken(run=self.run, name=name)
            self._active.add(name)
        try:
            return self._run(name, call, retry)
        finally:
            with self._lock:
                self._active.discard(name)

    def _replay(self, stored: tuple[str | None, str | None]) -> T:  # type: ignore[type-var]
        value, error = stored
        if error is not None:
            raise cast("BaseException", self._table.load(error))
        return cast("T", self._table.load(value or "null"))

    def _run(self, name: str, call: Callable[[], T], retry: Retry) -> T:
        begun = monotonic()
        for attempt in range(1, retry.attempts + 1):
            if self._cancelled():
                raise RunCancelled(run=self.run)
            try:
                result = call()
                break
            except PrsmError as error:
                if attempt < retry.attempts and is_transient(error):
                    threading.Event().wait(_jitter(retry, attempt))
                    continue
                # The stored error is what a replay meets: an `except` must see the same class both times.
                self._store.finish_step(self.run, name, None, self._table.dump(error), monotonic() - begun)
                raise
            except Exception as error:
                stored = StoredError(error_name=type(error).__name__, message=str(error)[:2000])
                self._store.finish_step(self.run, name, None, self._table.dump(stored), monotonic() - begun)
                raise stored from error
        text = self._table.dump(result)
        self._store.finish_step(self.run, name, text, None, monotonic() - begun)
        # What a replay would return is what the first run returns too, so a type lost in storage shows at once.
        return cast("T", self._table.load(text))

    def all_of(self, calls: Sequence[Call], at_most: int = 8) -> list[object]:
        done = dict(self.as_done(calls, at_most))
        for call in calls:
            result = done[call.name]
            if isinstance(result, BaseException):
                raise result
        return [done[call.name] for call in calls]

    def as_done(self, calls: Sequence[Call], at_most: int = 8) -> Iterator[tuple[str, object]]:
        if not calls:
            return
        with ThreadPoolExecutor(max_workers=max(1, min(at_most, len(calls)))) as pool:
            futures: dict[Future[object], str] = {
                pool.submit(self.once, call.name, call.run, call.retry): call.name for call in calls
            }
            for future in as_completed(futures):
                error = future.exception()
                yield futures[future], error if error is not None else future.result()

    def wait(
        self, waiting: Waiting, until: Callable[[], T | None], every: timedelta = timedelta(milliseconds=200)
    ) -> T:
        self._store.set_waiting(self.run, waiting)
        if self._watch.on_waiting is not None:
            self._watch.on_waiting(self.run, waiting)

        def ask() -> T | None:
            if self._cancelled():
                raise RunCancelled(run=self.run)
            return until()

        try:
            return poll(waiting, ask, every)
        finally:
            self._store.set_waiting(self.run, None)
            if self._watch.on_waiting is not None:
                self._watch.on_waiting(self.run, None)

    def report(self, progress: Progress) -> None:
        if self._watch.on_progress is not None:
            self._watch.on_progress(self.run, progress)


def _jitter(retry: Retry, attempt: int) -> float:
    """Full jitter: anywhere up to the doubled first pause, so that many who failed together do not return together."""
    ceiling: float = min(retry.last.total_seconds(), retry.first.total_seconds() * 2**attempt)
    return random.random() * ceiling
