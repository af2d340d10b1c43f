"""`prsm runs`: what was asked in this home and where each run stands."""

from __future__ import annotations

from typing import Annotated

import typer

from prsm_protocol.cli.common import Json, app, out, print_json, reporting

runs = typer.Typer(help="runs of this home", no_args_is_help=True)
app.add_typer(runs, name="runs")


@runs.command("ls")
def list_(as_json: Json = False) -> None:
    """All runs, newest last. Unfinished ones go on with: prsm ask --resume RUN."""
    from prsm_protocol.workflow.runtime import inspected
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        found = inspected(World().home())
        if as_json:
            print_json(
                {
                    "runs": [
                        {
                            "run": each.run,
                            "definition": each.definition,
                            "state": each.state,
                            "started_at": each.started_at,
                        }
                        for each in found
                    ]
                }
            )
            return
        for each in found:
            out.print(f"{each.run}  {each.definition:8} {each.state:10} {each.started_at:%Y-%m-%d %H:%M:%S}")
        if not found:
            out.print("no runs yet")


@runs.command()
def show(run: Annotated[str, typer.Argument(help="a run's id")], as_json: Json = False) -> None:
    """Steps of a run with their seconds, and what it waits for."""
    from prsm_protocol.types import RunId
    from prsm_protocol.workflow.engine.store import RunStore
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        store = RunStore(World().home().folder / "runs.db")
        history = store.history(RunId(run))
        waiting = store.waiting(RunId(run))
        if as_json:
            print_json(
                {"run": run, "steps": [vars(step) for step in history], "waiting": vars(waiting) if waiting else None}
            )
            return
        for step in history:
            out.print(
                f"{step.at:%H:%M:%S} {step.seconds:8.3f} s  {step.name}{'  FAILED' if step.error else ''}", markup=False
            )
        if waiting:
            out.print(f"waits for {waiting.for_what} until {waiting.deadline:%H:%M:%S}, then: {waiting.then}")
