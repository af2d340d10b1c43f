"""The project's own files, committed or about to be."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def tracked() -> tuple[Path, ...]:
    """What git holds or would take, relative to the root; what it ignores is nobody's business."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    found = tuple(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file())
    assert len(found) > 100, "git lists too few files for this to be the project"
    return found


def text_of(path: Path) -> str | None:
    """A file's text, nothing for binary ones."""
    try:
        return (ROOT / path).read_text()
    except UnicodeDecodeError:
        return None
