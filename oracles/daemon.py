"""Serves a node until it is told to stop: prints one line when it listens, drains on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from oracles.api import create_app
from oracles.node import Node
from oracles.telemetry import Log

DRAIN_SECONDS = 30.0


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: draining comes before the listening socket closes."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(options: argparse.Namespace) -> int:
    """Exit 7 when the home or the key is busy; 0 after a clean stop."""
    log = Log(is_json=True if options.json_logs else None)
    node = Node(options.home, log)
    try:
        node.start()
        listener = _bind(node.config.listen)
        host, port = listener.getsockname()[:2]
        url = node.config.public_url or f"http://{host}:{port}"
        (options.home / "url").write_text(url)
        config = uvicorn.Config(
            create_app(node), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5
        )
        asyncio.run(_serve(_Server(config), listener, node, url, log))
    finally:
        node.stop()
    return 0


async def _serve(server: _Server, listener: socket.socket, node: Node, url: str, log: Log) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    print(json.dumps({"ready": True, "url": url, "operator": node.operator, "did": node.keys.identity.did}), flush=True)
    log.write("info", "listening", url=url)
    stopping = asyncio.create_task(asked.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    log.write("info", "draining")
    await asyncio.to_thread(node.hand_over, DRAIN_SECONDS)
    server.should_exit = True
    await serving


def _bind(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    return listener
