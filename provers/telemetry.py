"""What a prover counts. No job and no input is ever a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from prsm_protocol.rules.oracle.tiers import Setup


class Telemetry:
    """Counters of one service, in a registry of its own so that two services may share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._jobs = Counter("prsm_prover_jobs", "Jobs that ended", ["kind", "state"], registry=self.registry)
        self._seconds = Histogram(
            "prsm_prover_seconds",
            "Seconds of a step",
            ["step", "circuit"],
            buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120),
            registry=self.registry,
        )
        self._peak = Gauge(
            "prsm_prover_peak_bytes", "Largest memory of a step's process", ["step"], registry=self.registry
        )
        self._kills = Counter("prsm_prover_kills", "Steps that were stopped", ["reason"], registry=self.registry)
        self._refused = Counter("prsm_prover_refused", "Requests and jobs refused", ["reason"], registry=self.registry)
        self._failed = Counter(
            "prsm_prover_self_check_failures", "Proofs that did not say what the model says", registry=self.registry
        )
        self._cache = Gauge("prsm_prover_cache_bytes", "Bytes of proving keys kept", registry=self.registry)
        self._setup = Gauge("prsm_prover_setup_kind", "Circuits by kind of set-up", ["kind"], registry=self.registry)
        self._peaks: dict[str, int] = {}

    def ended(self, kind: str, state: str) -> None:
        self._jobs.labels(kind, state).inc()

    def step(self, task: str, circuit: str, seconds: float, peak_bytes: int) -> None:
        self._seconds.labels(task, circuit).observe(seconds)
        self._peaks[task] = max(peak_bytes, self._peaks.get(task, 0))
        self._peak.labels(task).set(self._peaks[task])

    def killed(self, reason: str) -> None:
        self._kills.labels(reason).inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def self_check_failed(self) -> None:
        self._failed.inc()

    def circuit(self, setup: Setup) -> None:
        self._setup.labels(setup.name).inc()

    def page(self, cache_bytes: int) -> bytes:
        self._cache.set(cache_bytes)
        return generate_latest(self.registry)
