#!/usr/bin/env python3
"""Gas of the main job's transactions: full receipts (21,000 included) of one demo on one anvil, OpenZeppelin's token beside.

    python benchmarks/gas.py --state FOLDER        reads the chain of a demo that was kept (prsm demo --keep)

Peers in the same run: transfer and approve of FTNS, which are OpenZeppelin's ERC-20 unchanged, and the circuit's verifier alone
(`verifyProof` by estimate). Writes benchmarks/gas.json; a committed file is a baseline, one percent more fails the test.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from prsm_protocol.workflow.world import World

HERE = Path(__file__).resolve().parent
GOALS = {
    "EscrowOpened": ("escrow open", 68_000),
    "TaskAssigned": ("assign, each of a batch", 45_000),
    "TaskPaid": ("deliver PROVED and pay", 650_000),
    "EscrowClosed": ("close, the rest returns", 45_000),
    "ChannelOpened": ("channel open", 66_000),
    "VoucherSettled": ("settle a voucher with a record", 68_000),
    "DigestAnchored": ("anchor a digest", None),
    "RecordRegistered": ("register a record", None),
    "CircuitAnnounced": ("announce a circuit", None),
    "OperatorRegistered": ("register an operator", None),
    "Deposited": ("deposit into the vault", None),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="state folder of a running world in which a question was answered"
    )
    options = parser.parse_args()
    chain = World(options.state).home().chain
    events = chain.events(chain.deployment.start_block)
    by_transaction: dict[bytes, list[str]] = {}
    for event in events:
        by_transaction.setdefault(event.transaction, []).append(event.name.removeprefix("Vault"))
    found: dict[str, list[int]] = {}
    for transaction, names in by_transaction.items():
        kind = next((name for name in GOALS if name in names), None)
        if kind is None:
            continue
        receipt = chain.receipt(transaction)
        assert receipt is not None
        count = names.count("TaskAssigned") if kind == "TaskAssigned" else 1
        found.setdefault(kind, []).append(receipt.gas_used // max(1, count))
    report = {}
    for kind, (label, goal) in GOALS.items():
        values = found.get(kind)
        if not values:
            print(f"{label:34} not in this run", file=sys.stderr)
            continue
        median = int(statistics.median(values))
        report[label] = {
            "median": median,
            "min": min(values),
            "max": max(values),
            "transactions": len(values),
            "goal": goal,
        }
        mark = "" if goal is None else f"   goal {goal:,}: {'met' if median <= goal else f'{median / goal:.2f} times'}"
        print(f"{label:34}{median:10,}  ({len(values)} receipts){mark}")
    (HERE / "gas.json").write_text(
        json.dumps({"command": "python benchmarks/gas.py --state FOLDER", "gas": report}, indent=1) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
