"""Start a development node as a process of its own and wait until it answers: for the local world and for tests."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from prsm_protocol.errors import LedgerError
from prsm_protocol.ledger.inclusion import Trust


class NodeNotStarted(LedgerError):
    text = "ledger node in {home} did not start: {reason}"


@dataclass
class NodeProcess:
    """A running node. `keys` and `threshold` are what its milestones are trusted by."""

    url: str
    keys: list[str]
    threshold: int
    network: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def trust(self) -> Trust:
        return Trust.of(self.keys, self.threshold, self.network)

    def stop(self, seconds: float = 10.0) -> None:
        """Ask it to stop, and end it if it does not. What it acknowledged is on disk either way."""
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._end()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self._end()

    def _end(self) -> None:
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def start_node(
    home: Path,
    *,
    port: int = 0,
    network: str = "prsm-local",
    interval: float = 1.0,
    keep: int | None = None,
    rate: int | None = None,
    seconds: float = 20.0,
) -> NodeProcess:
    """Start a node over `home`; port 0 takes a free one."""
    command = [sys.executable, "-m", "prsm_protocol.ledger.node", "--home", str(home)]
    command += ["--listen", f"127.0.0.1:{port}", "--network", network, "--interval", str(interval)]
    command += [] if keep is None else ["--keep", str(keep)]
    command += [] if rate is None else ["--rate", str(rate)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / "node.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
    line = process.stdout.readline() if ready else ""
    if not line:
        process.kill()
        process.wait()
        process.stdout.close()
        last = (home / "node.log").read_text(errors="replace").strip().splitlines()
        reason = last[-1] if last else f"no answer within {seconds} s"
        raise NodeNotStarted(home=str(home), reason=reason)
    told = json.loads(line)
    return NodeProcess(told["url"], told["keys"], told["threshold"], told["network"], process)
