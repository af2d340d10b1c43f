"""The command line: one file a command. Starts fast: heavy packages are imported by the command that needs them.

Exit codes: 0 done · 1 expected failure, a check that is FALSE too · 2 usage · 3 still waiting · 4 needs attention (nothing false,
something not checked; partial) · 6 unreachable · 7 busy · 130 interrupted (a run goes on).
"""

from __future__ import annotations

from prsm_protocol.cli.common import main

__all__ = ["main"]
