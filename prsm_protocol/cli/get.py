"""`prsm get`: content by its CID, from the home's store or a gateway; every block is hashed before it is used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prsm_protocol.cli.common import As, Json, app, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.content import Retriever
    from prsm_protocol.types import Cid

LIMIT = 1 << 30
"""A file of 1 GiB is held in memory once; more is fetched from a node that streams."""


class OutputExists(UsageError):
    exit_code = 1
    text = "{path} exists and is never overwritten; name another place with -o"


class OutputUnwritable(UsageError):
    exit_code = 1
    text = "{path} cannot be written: {reason}"


@app.command()
def get(
    cid: Annotated[str, typer.Argument(metavar="CID", help="of a file, a folder or a block")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="where to; default: a file named by the CID")
    ] = None,
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Fetch content and check it against its CID."""
    from prsm_protocol.types import Cid
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        wanted = Cid.parse(cid)
        path = output or Path(cid)
        if path.exists():
            raise OutputExists(path=path)
        retriever = World().home(person).retriever
        try:
            size = _write(retriever, wanted, path)
        except OSError as error:
            raise OutputUnwritable(path=path, reason=(error.strerror or str(error)).lower()) from None
        if as_json:
            print_json({"cid": cid, "path": str(path), "size_bytes": size})
        else:
            out.print(f"{path}: {size} bytes, hashes match")


def _write(retriever: Retriever, cid: Cid, path: Path) -> int:
    """Write aside and rename, so that a half-fetched file never has its name. Names in folders were checked when parsed."""
    from prsm_protocol.content.unixfs import is_directory, list_directory
    from prsm_protocol.types import DAG_CBOR

    if cid.codec == DAG_CBOR:
        data = retriever.get(cid)
    elif is_directory(retriever.get, cid):
        path.mkdir(parents=True)
        entries = list_directory(retriever.get, cid)
        return sum(_write(retriever, child, path / name) for name, child in sorted(entries.items()))
    else:
        data = retriever.file(cid, LIMIT)
    aside = path.with_name(path.name + ".part")
    aside.write_bytes(data)
    os.replace(aside, path)
    return len(data)
