"""`prsm share`: a file or folder becomes content that others can fetch and a record that earns when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prsm_protocol.cli.common import As, Json, app, err, out, print_json, reporting
from prsm_protocol.errors import UsageError


class KindUnknown(UsageError):
    text = "--kind {kind!r} is unknown; there are {known}"


@app.command()
def share(
    path: Annotated[Path, typer.Argument(help="a file, or a folder with everything in it")],
    kind: Annotated[str, typer.Option(help="data, model or result")],
    name: Annotated[str | None, typer.Option(help="name of the artifact; default: the file's")] = None,
    licence: Annotated[str, typer.Option(help="SPDX id of its licence")] = "CC-BY-4.0",
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Put content into the home's store and register it on the chain. Whoever knows the CID can read it."""
    from prsm_protocol.types import Immediate
    from prsm_protocol.workflow.share import KINDS, share_path
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        if kind not in KINDS:
            raise KindUnknown(kind=kind, known=", ".join(KINDS))
        home = World().home(person)
        err.print("  registering", style="dim")
        shared = share_path(home, Immediate(), path, KINDS[kind], name or path.resolve().name, licence)
        if as_json:
            print_json(
                {"content": str(shared.content), "artifact": str(shared.artifact), "record": "0x" + shared.record.hex(),
                 "size_bytes": shared.size_bytes, "owner": home.address, "was_registered": shared.was_registered}
            )  # fmt: skip
            return
        out.print(f"content   {shared.content} ({shared.size_bytes} bytes)")
        out.print(f"artifact  {shared.artifact}")
        state = "was registered already" if shared.was_registered else "registered"
        out.print(f"record    0x{shared.record.hex()} ({state}; owner {home.address})")
        out.print(f"next: prsm get {shared.content}")
