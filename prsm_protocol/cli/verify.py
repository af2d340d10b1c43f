"""`prsm verify`: runs the very script that `--print-script` prints, so there is one verifier and not two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from prsm_protocol.cli.common import Json, app, reporting
from prsm_protocol.errors import UsageError


class BundleUnnamed(UsageError):
    text = "name the run's file (run-….car), its CID, or use --print-script"


def script() -> Path:
    """The standalone verifier's file. It imports nothing of this package."""
    return Path(__file__).resolve().parent.parent / "trace" / "verify.py"


@app.command(
    context_settings={"allow_extra_args": False},
    help="Check a run's file: signatures, order, money, proofs and every number. 0 all ok · 1 something false · 4 not all checked.",
)
def verify(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE|CID", help="the run's .car file, or the CID of one")
    ] = None,
    rpc: Annotated[
        str | None, typer.Option(help="JSON-RPC address of the chain; without it money and proofs are not checked")
    ] = None,
    asker: Annotated[str | None, typer.Option(help="did:key that must have asked")] = None,
    print_script: Annotated[bool, typer.Option("--print-script", help="print the standalone verifier and end")] = False,
    as_json: Json = False,
) -> None:
    if print_script:
        sys.stdout.write(script().read_text())
        return
    with reporting(as_json):
        if file is None:
            raise BundleUnnamed()
        path = Path(file)
        if not path.exists() and file.startswith("b") and "/" not in file and "." not in file:
            path = _fetch(file)
        arguments = [str(path)]
        arguments += ["--rpc", rpc] if rpc else []
        arguments += ["--asker", asker] if asker else []
        arguments += ["--json"] if as_json else []
        raise typer.Exit(subprocess.run([sys.executable, "-I", str(script()), *arguments], check=False).returncode)


def _fetch(text: str) -> Path:
    """A bundle named by the CID of its file, from the world's gateways."""
    from prsm_protocol.types import Cid
    from prsm_protocol.workflow.world import World

    home = World().home()
    data = home.retriever.file(Cid.parse(text), 256 * 1024 * 1024)
    path = home.folder / f"{text}.car"
    path.write_bytes(data)
    return path
