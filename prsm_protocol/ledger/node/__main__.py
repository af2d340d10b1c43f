"""Run a development node: `python -m prsm_protocol.ledger.node --home DIR [--listen 127.0.0.1:PORT]`.

Prints one JSON line on standard output once it answers. Port 0 takes a free one. Listens on loopback only: anything
else needs a front that authenticates, which this node is not.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from prsm_protocol.errors import LedgerError, PrsmError
from prsm_protocol.ledger.milestones import public_bytes
from prsm_protocol.ledger.node.app import application
from prsm_protocol.ledger.node.store import NodeStore
from prsm_protocol.ledger.node.writer import NodeSettings


class NodeExposed(LedgerError):
    exit_code = 2
    text = "ledger node would listen on {address!r}; it has no authentication, so give it a loopback address"


class KeepTooFew(LedgerError):
    exit_code = 2
    text = "keeping {keep} milestones would prune parents that are still in use; keep at least {least}"


class _Server(uvicorn.Server):
    """Tells the starter when it answers."""

    def __init__(self, config: uvicorn.Config, ready: dict[str, object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(json.dumps(self._ready), flush=True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on the first signal, and not by that signal again: a stop that was asked for is no failure."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        number = int(port)
    except ValueError:
        raise NodeExposed(address=address) from None
    if not ip.is_loopback:
        raise NodeExposed(address=address)
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    listener = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # named, or asyncio leaves Nagle's delay on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((str(ip), number))
    return listener


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m prsm_protocol.ledger.node", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of blocks and keys")
    parser.add_argument("--listen", default="127.0.0.1:14265", help="loopback address and port, 0 for a free one")
    parser.add_argument("--network", default="prsm-local", help="name of the network")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between milestones while blocks wait")
    parser.add_argument("--rate", type=int, default=2_000, help="posts a second that one address may make")
    parser.add_argument("--keep", type=int, help="milestones to keep; without it nothing is pruned")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    try:
        if options.keep is not None and options.keep < 30:  # twice the depth that parents may reach
            raise KeepTooFew(keep=options.keep, least=30)
        listener = _listen(options.listen)
        store = NodeStore(options.home, options.network)
    except PrsmError as error:
        print(json.dumps({"type": error.name, "detail": str(error)}), file=sys.stderr)
        return error.exit_code
    settings = NodeSettings(options.network, options.interval, options.rate)
    app = application(store, settings, options.keep)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    keys = [public_bytes(each).hex() for each in store.keys]
    ready = {"ready": True, "url": url, "keys": keys, "threshold": len(keys), "network": options.network}
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on")
    try:
        _Server(config, ready).run(sockets=[listener])
    finally:
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
