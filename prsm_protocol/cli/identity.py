"""`prsm identity`: the keys of a home. One seed, from which a wallet and an identity are derived; neither names the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prsm_protocol.cli.common import As, Json, app, out, print_json, reporting

identity = typer.Typer(help="keys of a home", no_args_is_help=True)
app.add_typer(identity, name="identity")


@identity.command()
def create(
    person: Annotated[str, typer.Argument(metavar="NAME", help="the new home's name, for --as")],
    as_json: Json = False,
) -> None:
    """Make a home with fresh keys. It has no money until somebody sends some."""
    from prsm_protocol.workflow.home import create_keys

    with reporting(as_json):
        folder = _folder(person)
        create_keys(folder)
        _show(person, folder, as_json)


@identity.command()
def show(person: As = "asker", as_json: Json = False) -> None:
    """The public keys of a home. No world has to run."""
    with reporting(as_json):
        _show(person, _folder(person), as_json)


def _folder(person: str) -> Path:
    from prsm_protocol.errors import UsageError
    from prsm_protocol.workflow.world import World

    class HomeNameInvalid(UsageError):
        text = "{name!r} cannot be a home's name; use letters, digits and hyphens"

    if not person.replace("-", "").isalnum() or not person.isascii():
        raise HomeNameInvalid(name=person)
    return World().homes / person


def _show(person: str, folder: Path, as_json: bool) -> None:
    from prsm_protocol.workflow.home import public_keys

    keys = public_keys(folder)
    if as_json:
        print_json({"name": person, "folder": str(folder), **vars(keys)})
        return
    out.print(f"{person} in {folder}")
    out.print(f"  identity  {keys.did}")
    out.print(f"  wallet    {keys.wallet}")
    out.print(f"  vouchers  {keys.vouchers}")
