"""Waiting for what is away for a while: a chain or a tangle that does not answer costs a run time, never its work.

A command that only looks asks once and says that nobody answers. A run has money locked, so it asks again for minutes; after
that it ends with the same error, and `prsm ask --resume` goes on where it stood.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prsm_protocol.chain import Chain, Deployment
from prsm_protocol.chain.connection import ChainMismatch
from prsm_protocol.chain.errors import EndpointUnreachable
from prsm_protocol.errors import PrsmError

RUN_SECONDS = 300.0
"""How long a run asks a silent chain or tangle: a restart of either takes seconds, a person's look minutes."""
_PAUSE_SECONDS = 0.5

T = TypeVar("T")
Report = Callable[[str], None]


def patiently(
    call: Callable[[], T],
    seconds: float,
    away: tuple[type[PrsmError], ...],
    what: str,
    report: Report,
) -> T:
    """Call until it does not fail with one of `away`; the last failure is raised when the time is over."""
    end = time.monotonic() + seconds
    told = False
    while True:
        try:
            return call()
        except away as error:
            if time.monotonic() >= end:
                raise
            if not told:
                report(f"{what} does not answer ({error.name}); waiting up to {seconds:.0f} s, nothing is lost")
                told = True
        threading.Event().wait(_PAUSE_SECONDS)


class PatientChain(Chain):
    """A chain whose endpoint may be away for a while. Every request may be repeated: what was sent is known by its hash."""

    def __init__(self, url: str, deployment: Deployment) -> None:
        super().__init__(url, deployment)
        self._seconds = 0.0
        self._report: Report = _silent

    def be_patient(self, seconds: float, report: Report) -> None:
        """From now on ask again for so long; `report` hears of it once a silence."""
        self._seconds, self._report = seconds, report

    def rpc(self, method: str, *parameters: object) -> Any:
        return self._asked(lambda: Chain.rpc(self, method, *parameters))

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        return self._asked(lambda: Chain.batch(self, calls))

    def _asked(self, call: Callable[[], T]) -> T:
        return patiently(call, self._seconds, (EndpointUnreachable,), f"the chain at {self.url}", self._report)


def _silent(_: str) -> None:
    """A command that only looks is not patient, so there is nothing to tell."""


def connect(url: str, deployment: Deployment) -> PatientChain:
    """The deployed protocol at this endpoint; refuses an endpoint of another chain."""
    chain = PatientChain(url, deployment)
    if chain.chain_id != deployment.chain_id:
        raise ChainMismatch(expected=deployment.chain_id, got=chain.chain_id)
    return chain
