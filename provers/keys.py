"""Proving keys: large, deterministic, slow to make, and fatal when wrong.

A key is found by what it follows from (model, settings, set-up file, prover's version); it is written aside, synced and
renamed, and its digest travels to every step that opens it. The least recently used goes first, never one in use.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from provers.circuits import sync
from provers.errors import CacheFull

FILES = {"proving": "proving.key", "verifying": "verifying.key", "compiled": "circuit.compiled"}
_INDEX = "index.json"


@dataclass(frozen=True)
class Keys:
    folder: Path
    digests: dict[str, str]

    def path(self, name: str) -> str:
        return str(self.folder / FILES[name])

    @property
    def bytes(self) -> int:
        return (self.folder / FILES["proving"]).stat().st_size


def cache_key(model: str, settings: str, setup_file: str, version: str) -> str:
    """What a key follows from, as one name."""
    return hashlib.sha256(f"prsm/keys\n{model}\n{settings}\n{setup_file}\n{version}".encode()).hexdigest()


class KeyCache:
    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit = folder, limit_bytes
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            shutil.rmtree(left)
        self._lock = Lock()
        self._making: dict[str, Lock] = {}
        self._in_use: dict[str, int] = {}

    def find(self, key: str) -> Keys | None:
        index = self._folder / key / _INDEX
        if not index.is_file():
            return None
        os.utime(index, (time.time(), time.time()))
        return Keys(index.parent, json.loads(index.read_bytes()))

    def put(self, key: str, files: Path, digests: dict[str, str]) -> Keys:
        """Move the three files of `files` into the cache."""
        needed = sum((files / name).stat().st_size for name in FILES.values())
        self._make_room(needed)
        aside = self._folder / f"{key}.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for name in FILES.values():
            shutil.move(files / name, aside / name)
            sync(aside / name)
        (aside / _INDEX).write_text(json.dumps(digests))
        sync(aside / _INDEX)
        with self._lock:
            shutil.rmtree(self._folder / key, ignore_errors=True)
            os.replace(aside, self._folder / key)
        sync(self._folder)
        return Keys(self._folder / key, digests)

    def drop(self, key: str) -> None:
        """Forget a key whose file no longer has its digest."""
        shutil.rmtree(self._folder / key, ignore_errors=True)

    @contextmanager
    def making(self, key: str) -> Iterator[None]:
        """One maker a key: a second waits and finds it made."""
        with self._lock:
            lock = self._making.setdefault(key, Lock())
        with lock:
            yield

    @contextmanager
    def using(self, key: str) -> Iterator[None]:
        with self._lock:
            self._in_use[key] = self._in_use.get(key, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._in_use[key] -= 1

    def held_bytes(self) -> int:
        return sum(path.stat().st_size for path in self._folder.glob("*/*"))

    def _make_room(self, needed: int) -> None:
        with self._lock:
            held = self.held_bytes()
            entries = sorted(self._folder.glob(f"*/{_INDEX}"), key=lambda path: path.stat().st_mtime)
            for index in entries:
                if held + needed <= self._limit:
                    return
                if self._in_use.get(index.parent.name):
                    continue
                held -= sum(path.stat().st_size for path in index.parent.iterdir())
                shutil.rmtree(index.parent)
            if held + needed > self._limit:
                raise CacheFull(needed=needed, free=max(0, self._limit - held))
