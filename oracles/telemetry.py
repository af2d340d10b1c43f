"""Metrics, readiness and log lines of a node. No task id is a label, no line holds an input, an output, a key or a token."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

_CATALOGUE: dict[str, tuple[str, tuple[str, ...]]] = {
    "prsm_node_tasks": ("tasks by work, chain and tier", ("work", "chain", "tier")),
    "prsm_node_head_lag_blocks": ("blocks between the chain's head and the node's cursor", ()),
    "prsm_node_reorg_depth": ("deepest reorganisation since the start", ()),
    "prsm_node_endpoint_up": ("whether an endpoint answers, by its place in the list", ("endpoint",)),
    "prsm_node_intents": ("transactions by state", ("state",)),
    "prsm_node_gas_spent_wei": ("coin spent on gas", ()),
    "prsm_node_gas_balance_wei": ("coin left to the sender", ()),
    "prsm_node_stake_free_wei": ("stake that stands behind no result", ()),
    "prsm_node_earned_wei": ("net earnings by canonical events", ()),
    "prsm_node_declines": ("tasks given back, by code", ("code",)),
    "prsm_node_drift": ("proofs refused because the circuit drifted from its model", ()),
    "prsm_node_alarms": ("what needs a person", ()),
    "prsm_node_waiting_oldest_seconds": ("age of the oldest open quote or task", ()),
}
"""Every metric of the node; dashboards and alerts are written from this table."""

Sample = tuple[str, tuple[str, ...], float]


def render(samples: list[Sample]) -> bytes:
    """The Prometheus text of these samples; a name outside the catalogue is a mistake in this program."""
    registry = CollectorRegistry()
    gauges = {name: Gauge(name, text, labels, registry=registry) for name, (text, labels) in _CATALOGUE.items()}
    for name, labels, value in samples:
        gauge = gauges[name]
        (gauge.labels(*labels) if labels else gauge).set(value)
    return generate_latest(registry)


def count(values: Sequence[tuple[str, ...]]) -> list[tuple[tuple[str, ...], float]]:
    return [(labels, float(number)) for labels, number in Counter(values).items()]


class Log:
    """JSON lines on standard error, or plain ones on a terminal."""

    def __init__(self, *, is_json: bool | None = None) -> None:
        self._is_json = not sys.stderr.isatty() if is_json is None else is_json
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def write(self, level: str, event: str, **values: object) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        if self._is_json:
            line = json.dumps({"at": at, "level": level, "event": event, **values}, default=str)
        else:
            line = f"{at[11:19]} {level:7} {event} " + " ".join(f"{name}={value}" for name, value in values.items())
        with self._lock:
            print(line, file=sys.stderr, flush=True)

    def seldom(self, level: str, event: str, *, every_seconds: float = 60, **values: object) -> None:
        """A line that repeats itself, at most once in a while."""
        now = time.monotonic()
        if now - self._last.get(event, -every_seconds) >= every_seconds:
            self._last[event] = now
            self.write(level, event, **values)
