"""`prsm node …` and nothing more: starts the operator's node as a process of its own and hands everything through."""

from __future__ import annotations

import subprocess
import sys

import typer

from prsm_protocol.cli.common import app


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def node(context: typer.Context) -> None:
    """Operator's node: init | check | run | status | stake | unstake | exit (see `prsm node --help`)."""
    raise typer.Exit(subprocess.run([sys.executable, "-m", "oracles", *context.args], check=False).returncode)
