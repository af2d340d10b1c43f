"""`prsm down`: ends only the processes that `prsm up` started; deletes nothing without --purge."""

from __future__ import annotations

from typing import Annotated

import typer

from prsm_protocol.cli.common import Json, app, out, print_json, reporting


@app.command()
def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="also delete the world and its homes, with all local money and models")
    ] = False,
    as_json: Json = False,
) -> None:
    """Stop the local world."""
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        world = World()
        ended = world.down(purge=purge)
        if as_json:
            print_json({"ended": ended, "purged": purge})
        else:
            out.print(f"ended: {', '.join(ended)}" if ended else "nothing was running")
            if purge:
                out.print(f"deleted the world and homes in {world.state}")
