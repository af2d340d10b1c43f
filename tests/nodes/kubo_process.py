"""A real Kubo, offline, with a repository of its own: nothing of the machine's own daemon is read or touched."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_binary() -> Path | None:
    """Where `tests/nodes/build.sh` put it, or None."""
    folders = [os.environ.get("PRSM_NODES_BIN"), str(Path(__file__).parents[2] / ".tools/nodes")]
    found = [Path(each) / "kubo" for each in folders if each]
    return next((each for each in found if each.is_file()), None)


class Daemon:
    """Plain on purpose: this file is loaded by its path, where a dataclass would not find its own module."""

    def __init__(self, binary: Path, home: Path) -> None:
        self.binary = binary
        self.home = home
        self.api = (home / "repository/api").read_text().strip()
        self.gateway = (home / "repository/gateway").read_text().strip()

    def run(self, *arguments: str) -> str:
        """The command line, as a user would type it; it speaks to the daemon."""
        return self.read(*arguments).decode()

    def read(self, *arguments: str) -> bytes:
        return _run(self.binary, self.home, *arguments)


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"IPFS_PATH": str(home / "repository"), "IPFS_TELEMETRY": "off", "HOME": str(home)}


def _run(binary: Path, home: Path, *arguments: str) -> bytes:
    done = subprocess.run(
        [str(binary), *arguments], env=_environment(home), capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:].decode(errors="replace")
    return done.stdout


@contextmanager
def kubo(binary: Path, home: Path) -> Iterator[Daemon]:
    """A running daemon on free loopback ports (the profile `test` asks for them and for no peer)."""
    _run(binary, home, "init", "--profile=test")
    with (home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary), "daemon", "--offline"], env=_environment(home), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + 60
            while "Daemon is ready" not in (home / "daemon.log").read_text():
                said = (home / "daemon.log").read_text()[-2000:]
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.1)
            yield Daemon(binary, home)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
