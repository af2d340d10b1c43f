#!/usr/bin/env python3
"""Write the README's table of figures from what the benchmarks measured, so that no figure stands there by hand.

python benchmarks/figures.py            rewrites the part of README.md between the two marks
python benchmarks/figures.py --check    exits 1 when README.md says something else
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- figures: written by benchmarks/figures.py -->", "<!-- end of figures -->"


def table() -> str:
    lines: list[str] = []
    job = json.loads((HERE / "main_job.json").read_text())
    machine = job["machine"]
    where = f"{machine['cores']} cores, {machine['system']} {machine['machine']}, Python {machine['python']}"
    lines.append(f"`{job['command']}` ({where}; {job['runs']} runs):")
    lines += ["", "| stage | seconds, median (least to most) | goal | peak MB of any process |", "|---|---|---|---|"]
    for name, seconds in job["seconds"].items():
        goal = job["goals_seconds"].get(name)
        said = "–" if goal is None else f"{goal:g} ({'met' if seconds['median'] <= goal else 'missed'})"
        peak = job["peak_megabytes"].get(name, "")
        lines.append(
            f"| {name} | {seconds['median']:.1f} ({seconds['min']:.1f} to {seconds['max']:.1f}) | {said} | {peak} |"
        )
    gas_file = HERE / "gas.json"
    if gas_file.exists():
        gas = json.loads(gas_file.read_text())
        lines += [
            "",
            f"`{gas['command']}` (full receipts, 21,000 included):",
            "",
            "| transaction | gas, median | goal |",
            "|---|---|---|",
        ]
        for name, found in gas["gas"].items():
            goal = found["goal"]
            said = (
                "–"
                if goal is None
                else f"{goal:,}" + ("" if found["median"] <= goal else f" ({found['median'] / goal:.2f} times)")
            )
            lines.append(f"| {name} | {found['median']:,} | {said} |")
    return "\n".join(lines)


def main() -> int:
    text = README.read_text()
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    new = f"{before}{BEGIN}\n{table()}\n{END}{after}"
    if "--check" in sys.argv:
        if new != text:
            print(
                "README.md does not say what benchmarks/*.json hold; run python benchmarks/figures.py", file=sys.stderr
            )
        return int(new != text)
    README.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
