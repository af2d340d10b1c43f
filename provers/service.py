"""One prover in one home: its lock, its token, its parts, and the server in front."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import uvicorn
from fastapi import FastAPI

from provers.api import Api
from provers.circuits import Circuits
from provers.errors import HomeBusy
from provers.estimate import Machine
from provers.jobs import Jobs
from provers.keys import KeyCache
from provers.setup_files import MAX_K, SetupFiles
from provers.store import JobStore
from provers.telemetry import Telemetry
from provers.workshop import Workshop

CACHE_BYTES = 20_000_000_000
MAX_SECONDS = 120.0
"""The longest proof that is taken on: beyond it nobody's deadline would hold."""


@dataclass(frozen=True)
class Options:
    home: Path
    listen: str
    setup_cache: Path | None = None
    max_k: int = MAX_K
    cache_bytes: int = CACHE_BYTES
    memory_bytes: int = 0  # 0: three quarters of what is free
    threads: int = 0  # 0: all cores


def serve(options: Options) -> None:
    """Hold the home, open the port, say so in one line on standard output, and serve until told to stop."""
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _held(home):
        listener, url = _listen(options.listen)
        machine = Machine.here(max_k=options.max_k, max_seconds=MAX_SECONDS)
        machine = Machine(
            options.memory_bytes or machine.memory_bytes, options.threads or machine.threads, machine.max_k, MAX_SECONDS
        )
        setups = SetupFiles(home / "setup", options.setup_cache)
        workshop = Workshop(home, machine, setups, KeyCache(home / "cache", options.cache_bytes))
        circuits, store, telemetry = Circuits(home / "circuits"), JobStore(home / "prover.sqlite"), Telemetry()
        for circuit in circuits.all():
            telemetry.circuit(circuit.manifest.setup)
        jobs = Jobs(home, store, workshop, circuits, telemetry)
        api = Api(home, token_digest(home), jobs, store, circuits, workshop, telemetry)

        @asynccontextmanager
        async def life(app: FastAPI) -> AsyncIterator[None]:
            jobs.start()
            print(json.dumps({"ready": True, "url": url}), flush=True)
            yield
            jobs.stop()

        app = FastAPI(title="PRSM prover", lifespan=life, docs_url=None, redoc_url=None)
        api.mount(app)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
        # uvicorn raises the signal again after it has shut down in order; that is then this process's good end.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        uvicorn.Server(config).run(sockets=[listener])


def token_digest(home: Path) -> bytes:
    """SHA-256 of the home's bearer token, which is made once and readable by this user only."""
    path = home / "token"
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_urlsafe(32) + "\n")
    return hashlib.sha256(path.read_text().strip().encode()).digest()


def _listen(listen: str) -> tuple[socket.socket, str]:
    """A bound socket and its address: loopback with a port (0: a free one), or unix:PATH."""
    if listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:"))
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o600)
        return listener, f"unix:{path}"
    host, _, port = listen.rpartition(":")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host or "127.0.0.1", int(port)))
    listener.listen(128)
    return listener, f"http://{host or '127.0.0.1'}:{listener.getsockname()[1]}"


class _held:
    """The lock of a home, for the life of the process; its file stays, the lock goes with whatever ends us."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = open(self._home / "lock", "w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeBusy(home=str(self._home)) from None

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()
