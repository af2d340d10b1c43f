"""Says at the end of a run whether the real nodes were there: a skipped half must not look like a passed one."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent.name
SUITES = {"hornet": "test_ledger_conformance.py", "kubo": "test_content_conformance.py"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for group in terminalreporter.stats.values()
        for report in group
        if isinstance(report, pytest.TestReport) and f"{HERE}/" in report.nodeid
    ]
    if reports:
        said = ", ".join(
            _state(node, [each for each in reports if file in each.nodeid]) for node, file in SUITES.items()
        )
        terminalreporter.write_line(f"node suites: {said}")


def _state(node: str, reports: list[pytest.TestReport]) -> str:
    """A suite ran when a test of it that needs the real node got as far as its body."""
    real = [report for report in reports if f"[{node}" in report.nodeid]
    if any(report.when == "call" and not report.skipped for report in real):
        return f"{node} ran"
    reasons = [report.longrepr[2] for report in real if report.skipped and isinstance(report.longrepr, tuple)]
    broken = "its daemon did not start" if any(report.failed for report in real) else "its tests were not selected"
    return f"{node} not run: {reasons[0].removeprefix('Skipped: ') if reasons else broken}"
