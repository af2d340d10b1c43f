"""Starts one step as a process of its own, watches it, and ends it without fail.

Every step is a fresh interpreter: a fork of a process that has proved hangs, and a wrong key makes the prover hang for
ever, so the parent relies on nothing but the process group and the clock. W2: no worker outlives its job; the worker
also dies with its parent, and a restarted service ends what it finds recorded.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from provers.errors import FileDamaged, WorkerFault, WorkerKilled, WorkerMemory, rebuild

EXIT_DONE, EXIT_REFUSED, EXIT_DAMAGED, EXIT_FAULT, EXIT_MEMORY = 0, 2, 3, 4, 5
ERROR_TEXT_LIMIT = 64 * 1024
_LOOK_MS = 100
"""How often cancelling and deadlines are looked at; an ending worker wakes the parent at once."""
_MEMORY_MARKS = ("memory allocation of", "MemoryError", "Cannot allocate memory", "failed to allocate")
_PRIVATE = re.compile(r"[0-9a-fA-F]{16,}|-?\d+(?:\.\d+)?(?:['\"]?\s*,\s*['\"]?-?\d+(?:\.\d+)?){2,}")
"""Field elements and lists of numbers: what an error text could tell of an input."""


@dataclass(frozen=True)
class Limits:
    """What one step may take. `address_space` None: it starts a program that reserves without using (a compiler)."""

    seconds: float
    address_space: int | None
    threads: int = 1
    isolated: bool = True


@dataclass(frozen=True)
class Outcome:
    values: dict[str, object]
    seconds: float
    peak_bytes: int


def launch(
    task: str,
    values: dict[str, object],
    folder: Path,
    limits: Limits,
    *,
    tools: Path,
    cancelled: Event | None = None,
    deadline: float | None = None,
    on_start: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run `task` in `folder` and give its values back; raises the task's own error, or a WorkerError naming the cause.

    `tools` is where the step's libraries may keep files, so that nothing is written to the person's home folder.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    tools.mkdir(parents=True, exist_ok=True)
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    _write(
        folder / "task.json",
        {
            "task": task,
            "parent": os.getpid(),
            "address_space": limits.address_space,
            "isolated": limits.isolated,
            "values": values,
        },
    )
    started = time.monotonic()
    with open(folder / "stderr", "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "provers.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=folder,
            env=_environment(limits.threads, tools),
            start_new_session=True,
            close_fds=True,
        )
    try:
        if on_start is not None:
            on_start(process.pid, start_time(process.pid))
        cause = _watch(process, started + limits.seconds, cancelled, deadline)
    except BaseException:
        _end(process)
        raise
    seconds = time.monotonic() - started
    if cause is not None:
        _end(process)
        raise WorkerKilled(task=task, seconds=round(seconds, 1), cause=cause)
    return _read(task, process.returncode, folder, limits, seconds)


def end_recorded(pid: int, started: int) -> bool:
    """End the group of a worker that an earlier service recorded, if that process is still the same one."""
    if pid <= 1 or start_time(pid) != started:
        return False
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def start_time(pid: int) -> int:
    """Clock ticks since boot at which a process started; with its id it names the process for ever. 0: no such one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text[text.rindex(")") + 2 :].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def error_text(folder: Path) -> str:
    """The end of what a step wrote to standard error, without field elements and lists of numbers."""
    try:
        data = (folder / "stderr").read_bytes()[-ERROR_TEXT_LIMIT:]
    except OSError:
        return ""
    return _PRIVATE.sub("…", data.decode(errors="replace")).strip()


def _environment(threads: int, tools: Path) -> dict[str, str]:
    source = str(Path(__file__).resolve().parent.parent)
    keep = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
    return keep | {
        "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", "")))),
        "HOME": str(tools),
        "EZKL_REPO_PATH": str(tools / "ezkl"),
        "RAYON_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _watch(
    process: subprocess.Popen[bytes], until: float, cancelled: Event | None, deadline: float | None
) -> str | None:
    descriptor = os.pidfd_open(process.pid)
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        while True:
            if ended.poll(_LOOK_MS):
                process.wait()
                return None
            if cancelled is not None and cancelled.is_set():
                return "CANCELLED"
            if deadline is not None and time.time() >= deadline:
                return "DEADLINE"
            if time.monotonic() >= until:
                return "TIMEOUT"
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group and wait until the worker is gone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    process.wait()


def _read(task: str, code: int, folder: Path, limits: Limits, seconds: float) -> Outcome:
    result = folder / "result.json"
    document: dict[str, object] | None = json.loads(result.read_bytes()) if result.exists() else None
    # After success the proof system sometimes aborts while it is taken down: the synced result decides.
    if document is not None and document["ok"]:
        values, peak = document["values"], document["peak_bytes"]
        assert isinstance(values, dict)
        assert isinstance(peak, int)
        return Outcome(values, seconds, peak)
    if document is not None and code == EXIT_REFUSED:
        name, values = document["error"], document["values"]
        assert isinstance(name, str)
        assert isinstance(values, dict)
        raise rebuild(name, values)
    if document is not None and code == EXIT_DAMAGED and isinstance(document["values"], dict):
        raise FileDamaged(**document["values"])
    text = error_text(folder)
    if code == EXIT_MEMORY or (code < 0 and any(mark in text for mark in _MEMORY_MARKS)):
        raise WorkerMemory(task=task, limit_bytes=limits.address_space or 0)
    raise WorkerFault(task=task, exit=code, reason=text[-500:] or "no text")


def _write(path: Path, document: dict[str, object]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(document, out)
