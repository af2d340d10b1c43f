#!/usr/bin/env python3
"""Seconds and peak resident memory of the main job: world, models with circuit, question, verification; beside the bare parts.

    python benchmarks/main_job.py [--runs 3] [--state FOLDER]

Each run is a fresh world. Peers in the same run: one proof by ezkl alone at its own settings of the circuit (what the service
and the chain add to it). Leaves out: the first set-up of the clone, which depends on the network. Writes benchmarks/main_job.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOALS = {"world": 15.0, "models": None, "question": 25.0, "verification": 5.0, "whole": 60.0}


def demo(state: Path, sample: str) -> dict[str, object]:
    """One demo in its own state folder; its last line of standard output is one JSON object."""
    done = subprocess.run(
        [sys.executable, "-c", "from prsm_protocol.cli import main; main()", "demo", "--sample", sample, "--json"],
        capture_output=True, text=True, check=False, env={**os.environ, "PRSM_STATE": str(state)},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"the demo ended with {done.returncode}:\n{done.stderr[-2000:]}")
    line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{"))
    found: dict[str, object] = json.loads(line)
    return found


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sample", default="breast-cancer")
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, list[int]] = {}
    for number in range(options.runs):
        with tempfile.TemporaryDirectory() as scratch:
            found = demo(options.state or Path(scratch), options.sample)
        stages = found["stages"]
        assert isinstance(stages, list)
        for stage in stages:
            seconds.setdefault(stage["name"], []).append(stage["seconds"])
            peaks.setdefault(stage["name"], []).append(stage["peak_bytes"])
        seconds.setdefault("whole", []).append(sum(stage["seconds"] for stage in stages))
        print(f"run {number + 1}: " + ", ".join(f"{s['name']} {s['seconds']:.1f} s" for s in stages), flush=True)
        if found["verified"] != 0:
            raise SystemExit("a run's record did not verify")
    report = {
        "command": "python benchmarks/main_job.py --runs " + str(options.runs),
        "sample": options.sample,
        "runs": options.runs,
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.system(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "seconds": {name: _spread(values) for name, values in seconds.items()},
        "peak_megabytes": {name: round(max(v) / 1e6) for name, v in peaks.items()},
        "goals_seconds": GOALS,
    }
    (HERE / "main_job.json").write_text(json.dumps(report, indent=1) + "\n")
    for name, values in report["seconds"].items():  # type: ignore[attr-defined]
        goal = GOALS.get(name)
        mark = "" if goal is None else f"   goal {goal:g} s: {'met' if values['median'] <= goal else 'missed'}"
        print(f"{name:14}{values['median']:8.1f} s  ({values['min']:.1f} to {values['max']:.1f}){mark}")
    print(f"peak memory of any process: {max(report['peak_megabytes'].values())} MB   goal 2000 MB")  # type: ignore[attr-defined]
    return 0


if __name__ == "__main__":
    sys.exit(main())
