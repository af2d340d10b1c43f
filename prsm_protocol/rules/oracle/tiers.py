"""What stands behind a result, in the contracts' numbers."""

from __future__ import annotations

from enum import IntEnum


class Tier(IntEnum):
    """Zero demands most, so a forgotten field never weakens a promise."""

    PROVED = 0
    STAKED = 1
    TRUSTED = 2


class VerdictClass(IntEnum):
    """How a judge compares two results: bit by bit anywhere, bit by bit in one environment, or by distance."""

    EXACT = 0
    PINNED = 1
    FUZZY = 2


class Setup(IntEnum):
    """Who made a circuit's set-up. SINGLE: whoever made it can forge any proof; for development chains only."""

    CEREMONY = 0
    SHARED = 1
    SINGLE = 2
