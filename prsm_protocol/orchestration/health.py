"""Who has failed us in this run: three failures in a row leave a node out, a false receipt or proof leaves it out at once.

A refusal, a full queue and our own cancelling are no failures. Nothing is remembered beyond the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FAILURES = 3
"""In a row: one or two happen to a healthy node behind a bad line."""


@dataclass
class Health:
    """Failures of nodes, by URL."""

    failures: dict[str, int] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)

    def failed(self, url: str) -> None:
        self.failures[url] = self.failures.get(url, 0) + 1

    def dead(self, url: str) -> None:
        """Silent past its limit: out for this run."""
        self.failures[url] = FAILURES

    def served(self, url: str) -> None:
        self.failures.pop(url, None)

    def quarantine(self, url: str, why: str) -> None:
        """A false receipt or proof: nothing of this node is used in this run."""
        self.quarantined[url] = why

    def why_out(self, url: str) -> str:
        """Reason code, empty when the node may be asked."""
        if url in self.quarantined:
            return f"quarantined: {self.quarantined[url]}"
        count = self.failures.get(url, 0)
        return f"breaker open: {count} failures" if count >= FAILURES else ""
