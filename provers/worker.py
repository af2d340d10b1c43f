"""One step in a process of its own: `python -m provers.worker FOLDER`.

Limits itself, asks to die with its parent, does the task written in FOLDER/task.json and writes FOLDER/result.json,
synced. Exit codes: 0 done, 2 refused (the input's or the model's fault), 3 a file is damaged, 4 panic or other fault,
5 memory. A panic of the proof system is no Exception, so everything is caught at this edge and nowhere else.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from provers.errors import FileDamaged
from provers.launch import EXIT_DAMAGED, EXIT_DONE, EXIT_FAULT, EXIT_MEMORY, EXIT_REFUSED
from prsm_protocol.errors import PrsmError

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_OPEN_FILES = 256
_FILE_BYTES = 16 << 30
"""Larger than any key of a circuit that is accepted."""

Task = Callable[[Path, dict[str, object]], dict[str, object]]


def main(folder: Path) -> int:
    document = json.loads((folder / "task.json").read_bytes())
    die_with_parent(int(document["parent"]))
    limit(document["address_space"])
    if document["isolated"]:
        leave_network()
    try:
        values = task_named(document["task"])(folder, document["values"])
    except FileDamaged as error:
        finish(folder, {"ok": False, "error": error.name, "values": error.values})
        return EXIT_DAMAGED
    except PrsmError as error:
        finish(folder, {"ok": False, "error": error.name, "values": error.values})
        return EXIT_REFUSED
    except MemoryError:
        return EXIT_MEMORY
    except BaseException:  # PanicException is none; the parent reads the text
        traceback.print_exc()
        return EXIT_FAULT
    finish(folder, {"ok": True, "values": values, "peak_bytes": peak_bytes()})
    return EXIT_DONE


def task_named(name: str) -> Task:
    """The task, imported only now: the limits hold before the proof system is loaded."""
    if "ezkl" in sys.modules:  # W1: never a fork of a process that has loaded it
        raise RuntimeError("the proof system was loaded before the worker began")
    from provers.tasks import TASKS

    return TASKS[name]


def die_with_parent(parent: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(EXIT_FAULT)


def limit(address_space: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    files = min(_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if address_space is not None:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def leave_network() -> None:
    """Move into a network namespace without interfaces. Where the kernel forbids it, addresses of proxies that cannot
    answer keep the libraries from fetching anything."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWNET) != 0 and library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            os.environ[name] = os.environ[name.upper()] = "http://127.0.0.1:9"


def peak_bytes() -> int:
    """Largest resident size of this process, by the kernel's own mark, which begins at this program."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def finish(folder: Path, document: dict[str, object]) -> None:
    """Write the result aside, sync, rename: a reader sees all of it or none."""
    aside = folder / "result.json.part"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(document, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(aside, folder / "result.json")


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)  # the proof system may abort while the interpreter is taken down
