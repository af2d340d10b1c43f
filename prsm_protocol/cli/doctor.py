"""`prsm doctor`: what is missing, and the one line that gets it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from prsm_protocol.cli.common import Ended, Json, app, out, print_json, reporting


@dataclass(frozen=True)
class Found:
    what: str
    state: str  # ok, missing, off
    detail: str
    remedy: str = ""


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check tools, models and the local world; exit 4 when something needs attention."""
    with reporting(as_json):
        found = list(_checks())
        if as_json:
            print_json({"checks": [vars(each) for each in found]})
        else:
            for each in found:
                out.print(
                    f"{each.state:8}{each.what}: {each.detail}" + (f"\n        → {each.remedy}" if each.remedy else ""),
                    markup=False,
                )
        if any(each.state == "missing" for each in found):
            raise Ended(4)


def _checks() -> Iterator[Found]:
    from prsm_protocol.chain.anvil import anvil_binary
    from prsm_protocol.errors import PrsmError
    from prsm_protocol.ledger import sdk_worker
    from prsm_protocol.models import bundled
    from prsm_protocol.settings import settings

    yield Found("python", "ok", f"{platform.python_version()} at {sys.prefix}")
    for name, value in settings().model_dump().items():
        yield Found(f"setting PRSM_{name.upper()}", "ok", str(value) if value is not None else "(default)")
    try:
        yield Found("anvil", "ok", str(anvil_binary()))
    except PrsmError as error:
        yield Found("anvil", "missing", str(error), "make setup")
    node = shutil.which("node")
    yield Found("node", "ok", node) if node else Found("node", "missing", "not on PATH", "install Node 20 or newer")
    solc = sorted(settings().solc_folder.glob("solc-v*"))
    yield (
        Found("solc", "ok", str(solc[-1]))
        if solc
        else Found("solc", "missing", f"none in {settings().solc_folder}", "make setup")
    )
    yield Found(
        "iota-sdk",
        "ok" if sdk_worker.is_available() else "off",
        "client" if sdk_worker.is_available() else "no wheel; plain HTTP is used",
    )
    for name in bundled.pins():
        try:
            yield Found(f"model {name}", "ok", str(bundled.locate(name)))
        except PrsmError as error:
            yield Found(f"model {name}", "missing", str(error), "prsm models fetch")
    free = shutil.disk_usage(settings().checkout).free
    yield Found(
        "disk",
        "ok" if free > 2**31 else "missing",
        f"{free / 2**30:.1f} GiB free",
        "" if free > 2**31 else "free some space",
    )
    yield from _world()


def _world() -> Iterator[Found]:
    import httpx

    from prsm_protocol.chain.connection import Connection
    from prsm_protocol.errors import PrsmError
    from prsm_protocol.workflow.world import World

    world = World()
    started = {each.name: each for each in world.started()}
    if not started:
        yield Found("world", "off", f"none runs in {world.state}", "prsm up")
        return
    for name, each in started.items():
        running = each.is_running()
        yield Found(
            name,
            "ok" if running else "missing",
            f"process {each.pid}" if running else f"ended; see {each.log}",
            "" if running else "prsm up",
        )
    try:
        network = world.network()
        block = Connection(network.rpc).block()
        yield Found("chain answers", "ok", f"block {block.number}")
    except PrsmError as error:
        yield Found("chain answers", "missing", str(error), "prsm down; prsm up")
        return
    for name, url in {
        "tangle": network.ledger.url,
        "prover": network.prover,
        **{f"gateway {i}": u for i, u in enumerate(network.gateways)},
    }.items():
        try:
            status = httpx.get(url + "/health", timeout=3, trust_env=False).status_code
        except httpx.HTTPError as error:
            yield Found(f"{name} answers", "missing", type(error).__name__, "prsm up")
            continue
        yield Found(
            f"{name} answers",
            "ok" if status == 200 else "missing",
            f"{url} says {status}",
            "" if status == 200 else "prsm up",
        )
