"""Processes that the local world starts: found again by id and start time, stopped by these alone, never by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prsm_protocol.errors import WorldError

READY_SECONDS = 60
STOP_SECONDS = 35


class ProcessEnded(WorldError):
    text = "{process} ended with code {code} before it was ready; the end of {log}:\n{tail}"


class ProcessSlow(WorldError):
    text = "{process} was not ready within {seconds} s; see {log}"


@dataclass(frozen=True)
class Started:
    """A process of ours. `began` tells it from a later process with the same id."""

    name: str
    pid: int
    began: str
    log: str

    def is_running(self) -> bool:
        return began(self.pid) == self.began


def began(pid: int) -> str:
    """When the process began, as the kernel says; empty if there is none (or only its remains)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return "" if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    text = found.stdout.strip()
    return "" if not text or text.startswith("Z") else text.split(None, 1)[1]


def start(name: str, command: list[str], log_folder: Path, environment: Mapping[str, str] | None = None) -> Started:
    """Start it in a session of its own; its output goes to files, so that it outlives whoever started it."""
    log_folder.mkdir(parents=True, exist_ok=True)
    log = log_folder / f"{name}.log"
    with (log_folder / f"{name}.out").open("wb") as out, log.open("ab") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    _children.append(process)
    return Started(name, process.pid, began(process.pid), str(log))


_children: list[subprocess.Popen[bytes]] = []
"""Children of this process: kept so that their ends are noticed."""


def module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def ready(started: Started) -> dict[str, object]:
    """Wait for the one JSON line that says it listens."""
    out = Path(started.log).with_suffix(".out")
    pause = threading.Event()
    end = time.monotonic() + READY_SECONDS
    while True:
        lines = out.read_text(errors="replace").splitlines()
        for line in lines:
            if line.startswith("{"):
                answer: dict[str, object] = json.loads(line)
                return answer
        _reap()
        if not started.is_running():
            code = next((p.returncode for p in _children if p.pid == started.pid), "unknown")
            raise ProcessEnded(process=started.name, code=code, log=started.log, tail=tail(Path(started.log)))
        if time.monotonic() > end:
            raise ProcessSlow(process=started.name, seconds=READY_SECONDS, log=started.log)
        pause.wait(0.03)


def stop(all_started: list[Started]) -> list[str]:
    """End them all at once, each with its own time to finish; returns what had to be killed."""
    running = [started for started in all_started if started.is_running()]
    for started in running:
        _signal(started, signal.SIGTERM)
    pause = threading.Event()
    end = time.monotonic() + STOP_SECONDS
    while time.monotonic() < end and any(started.is_running() for started in running):
        _reap()
        pause.wait(0.03)
    killed = [started for started in running if started.is_running()]
    for started in killed:
        _signal(started, signal.SIGKILL)
    _reap()
    return [started.name for started in killed]


def _signal(started: Started, number: int) -> None:
    if started.is_running():
        try:
            os.kill(started.pid, number)
        except ProcessLookupError:
            return  # it ended between the two looks


def _reap() -> None:
    for process in _children:
        process.poll()


def tail(path: Path, lines: int = 12) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
