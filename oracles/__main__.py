"""Commands of a node: `python -m oracles init|check|run|status|stake|unstake|exit` (`prsm node …` starts this module).

With `--json` one object is the last line of standard output; without it plain sentences. Logs go to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from oracles import commands
from oracles.daemon import run
from prsm_protocol.errors import PrsmError


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.handler(options))
    except PrsmError as error:
        if options.json:
            values = {name: str(value) for name, value in error.values.items()}
            print(json.dumps({"error": error.name, "detail": str(error), **values}))
        print(f"{error.name}: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m oracles", description="An operator's node.")
    commands_ = parser.add_subparsers(required=True, metavar="COMMAND")

    init = _command(commands_, "init", "write node.toml, keys and tokens into a new home", commands.init)
    init.add_argument("--network", type=Path, required=True, help="registry file of the deployment")
    init.add_argument("--endpoint", action="append", required=True, help="JSON-RPC address; repeat for more")
    init.add_argument("--listen", default="127.0.0.1:0")
    init.add_argument("--public-url", default="")
    init.add_argument("--prover", default="", help="address of the prover; without one nothing is offered as proved")
    init.add_argument("--prover-token-file", type=Path)
    init.add_argument("--gateway", action="append", default=[], help="where blocks are fetched; repeat for more")
    init.add_argument("--ledger", default="", help="address of the tangle's node")
    init.add_argument(
        "--ledger-key", action="append", default=[], help="public key of its coordinator; repeat for more"
    )
    init.add_argument("--ledger-threshold", type=int, default=1)
    init.add_argument("--ledger-network", default="")
    init.add_argument("--confirmations", type=int, default=12)
    init.add_argument("--poll-seconds", type=float, default=1.0)
    init.add_argument("--margin-bps", type=int, default=0)
    init.add_argument("--payee", default="")
    init.add_argument("--scrypt-n", type=int, default=262_144, help="cost of opening the key files; low only for play")
    for role in ("operator", "signer", "sender"):
        init.add_argument(
            f"--{role}-key-file", type=Path, help=f"file (0600) with the raw key of the {role}; else made"
        )

    _command(commands_, "check", "everything a node needs, line by line", commands.check)
    serve = _command(commands_, "run", "serve until SIGTERM", run)
    serve.add_argument("--json-logs", action="store_true")
    status = _command(commands_, "status", "tasks, transactions and what needs a person", commands.status)
    status.add_argument("--url", default="", help="where the node listens; default: as it wrote into its home")
    stake = _command(commands_, "stake", "register, or add stake", commands.stake)
    stake.add_argument("amount", help="FTNS, may be 0")
    stake.add_argument("--print", action="store_true", help="only print the transactions, for a wallet")
    unstake = _command(commands_, "unstake", "ask a part of the stake back", commands.unstake)
    unstake.add_argument("amount", help="FTNS")
    unstake.add_argument("--print", action="store_true", help="only print the transaction, for a wallet")
    leave = _command(commands_, "exit", "take no more tasks and ask the whole stake back", commands.leave)
    leave.add_argument("--print", action="store_true", help="only print the transaction, for a wallet")
    return parser


def _command(
    parsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, handler: object
) -> argparse.ArgumentParser:
    parser = parsers.add_parser(name, help=text, description=text)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(handler=handler)
    return parser


if __name__ == "__main__":
    sys.exit(main())
