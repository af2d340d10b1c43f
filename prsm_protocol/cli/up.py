"""`prsm up`: a whole local world, ready in seconds; a second `up` is harmless."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from prsm_protocol.cli.common import Json, app, err, out, print_json, reporting


@app.command()
def up(
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            metavar="NAME",
            help="also make and list the two models of a sample: breast-cancer, wine, digits",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start chain, tangle, prover, two operators' nodes and homes on loopback, and wait until all answer."""
    from prsm_protocol.models.bundled import fetch, pins
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        begun = time.monotonic()
        for name in pins():
            fetch(name, lambda text: err.print(f"  {text}"))
        world = World()
        was_running = world.is_running()
        network = world.up(lambda text: err.print(f"  starting {text}", style="dim"))
        seconds = time.monotonic() - begun
        listed = {}
        if models is not None:
            from prsm_protocol.cli.distill import make_sample_models

            listed = make_sample_models(world, models)
        if as_json:
            print_json(
                {"running": True, "was_running": was_running, "seconds": round(seconds, 2), "rpc": network.rpc,
                 "gateways": list(network.gateways), "ledger": network.ledger.url, "prover": network.prover,
                 "state": str(world.state), "listings": listed}
            )  # fmt: skip
            return
        out.print(
            f"The world {'was running already' if was_running else f'is ready after {seconds:.1f} s'} in {world.state}"
        )
        out.print(f"  chain    {network.rpc} (chain id {network.chain_id})")
        out.print(f"  tangle   {network.ledger.url}")
        out.print(f"  prover   {network.prover}")
        out.print(f"  content  {', '.join(network.gateways)}")
        for name, cid in listed.items():
            out.print(f"  listed   {name}: {cid}")
        if not listed:
            out.print("next: prsm up --models breast-cancer")
        else:
            out.print(f'next: prsm ask --sample {models} "Which of these cases are which?" --budget 5')
