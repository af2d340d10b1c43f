"""A local chain of our own: Foundry's anvil on a free port, started and stopped here.

The binary is the npm package's, so nothing is downloaded while running; no account, key or network is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from prsm_protocol.chain.signer import development_account
from prsm_protocol.errors import ChainError
from prsm_protocol.settings import settings

__all__ = ["AnvilProcess", "anvil_binary", "development_account", "start_anvil"]

START_SECONDS = 30
STOP_SECONDS = 20
CHAIN_ID = 31337
STATE_INTERVAL_SECONDS = 2  # what a power cut may cost the local chain


class AnvilAbsent(ChainError):
    text = "no anvil at {place}; run `make setup` (npm ci), or set PRSM_ANVIL to the binary"


class AnvilFailed(ChainError):
    text = "anvil ended with code {code} before it listened; its log {log} ends with: {last!r}"


class AnvilSlow(ChainError):
    text = "anvil did not listen within {seconds} s; see its log {log}"


@dataclass
class AnvilProcess:
    """A running local chain."""

    url: str
    pid: int
    log: Path
    _process: subprocess.Popen[bytes]

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End it and wait: the state file is written at the end."""
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)


def anvil_binary() -> Path:
    """The anvil in force: the setting, the checkout's npm package, or the one on PATH."""
    chosen = settings().anvil
    if chosen is not None:
        if not chosen.is_file():
            raise AnvilAbsent(place=chosen)
        return chosen
    folder = settings().checkout / "node_modules" / "@foundry-rs"
    for package in sorted(folder.glob("anvil-*")):
        if (package / "bin" / "anvil").is_file():
            return package / "bin" / "anvil"
    found = shutil.which("anvil")
    if found is None:
        raise AnvilAbsent(place=folder)
    return Path(found)


def start_anvil(
    folder: Path,
    *,
    port: int = 0,
    block_time: int | None = 1,
    state: Path | None = None,
    chain_id: int = CHAIN_ID,
    accounts: int = 10,
) -> AnvilProcess:
    """Start a chain whose log lies in `folder`. Port 0 takes a free one; `block_time` none mines on demand only.

    With `block_time` a block comes every so many seconds and one at once for each transaction, so the clock never
    stands still. `state` is where the chain is kept between runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "anvil.log"
    command = [str(anvil_binary()), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
    command += ["--accounts", str(accounts), "--color", "never"]
    if block_time is not None:
        command += ["--block-time", str(block_time), "--mixed-mining"]
    if state is not None:
        command += ["--state", str(state), "--state-interval", str(STATE_INTERVAL_SECONDS)]
    environment = os.environ | {"HOME": str(folder), "FOUNDRY_DIR": str(folder / "foundry"), "TMPDIR": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt typed at the caller must not end the chain
        )
    return AnvilProcess(url=_listening(process, log), pid=process.pid, log=log, _process=process)


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    pause = threading.Event()
    end = time.monotonic() + START_SECONDS
    while True:
        text = log.read_text(errors="replace")
        match = re.search(r"Listening on 127\.0\.0\.1:(\d+)", text)
        if match:
            return f"http://127.0.0.1:{match.group(1)}"
        if process.poll() is not None:
            raise AnvilFailed(code=process.returncode, log=log, last=text[-300:])
        if time.monotonic() > end:
            process.kill()
            raise AnvilSlow(seconds=START_SECONDS, log=log)
        pause.wait(0.02)
