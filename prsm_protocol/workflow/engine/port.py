"""What the rest of `workflow` asks of an engine; nothing outside `dbos_engine.py` imports DBOS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from prsm_protocol.types import Progress, RunId, Steps, Waiting

Arguments = Mapping[str, object]


@dataclass(frozen=True)
class Definition:
    """A durable function. `work` may run again after a crash: its finished steps then return what they returned before."""

    name: str
    work: Callable[[RunId, Arguments, Steps], object]


@dataclass(frozen=True)
class StepRecord:
    name: str
    at: datetime
    seconds: float
    error: str | None


@dataclass(frozen=True)
class RunState:
    run: RunId
    definition: str
    state: str  # PENDING, SUCCESS, ERROR, CANCELLED
    started_at: datetime
    result: object = None
    error: BaseException | None = None
    waiting: Waiting | None = None


@dataclass
class Watch:
    """Where progress and waiting are told; the command line draws them."""

    on_progress: Callable[[RunId, Progress], None] | None = None
    on_waiting: Callable[[RunId, Waiting | None], None] | None = None
    seen: list[Progress] = field(default_factory=list)


class Engine(Protocol):
    def register(self, definition: Definition) -> None: ...

    def open(self) -> list[RunId]:
        """Take ownership of the home and go on with every unfinished run; returns those."""
        ...

    def start(self, definition: str, arguments: Arguments, *, run: RunId) -> RunId:
        """Start a run. The same call again returns the run; other arguments raise `RunIdTaken`."""
        ...

    def status(self, run: RunId) -> RunState: ...

    def result(self, run: RunId, timeout: timedelta | None = None) -> object:
        """Wait for the run and return its result, or raise its error."""
        ...

    def history(self, run: RunId) -> list[StepRecord]: ...

    def runs(self) -> list[RunState]: ...

    def cancel(self, run: RunId) -> None: ...

    def close(self, drain: timedelta = timedelta(0)) -> None: ...
