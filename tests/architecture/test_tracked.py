"""What is never committed: keys and circuits, names of registries, paths of somebody's machine, another tool's lock file."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.architecture.files import ROOT, text_of, tracked

# Assembled from parts, so that this file is no finding of its own.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("registry", "npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"), ("pypi", "org"), ("pythonhosted", "org"),
        ("proxy", "golang", "org"), ("sum", "golang", "org"), ("crates", "io"), ("download", "pytorch", "org"),
        ("binaries", "soliditylang", "org"),
    )
]  # fmt: skip
MACHINE = re.compile(r"(?<![\w.$}])/(?:" + "|".join(("home/[a-z]", "Users/[A-Za-z]", "root/", "work/")) + r")")
MADE_HERE = re.compile(
    r"\.(onnx|ezkl|pk|vk|srs)$|(^|/)(proving|verifying)\.key$|(^|/)(Verifier|Halo2Verifier|verifier)\.(sol|json)$"
)


def findings(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked():
        for number, line in enumerate((text_of(path) or "").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path}:{number}: {line.strip()[:120]}")
    return found


def test_no_file_names_a_package_registry() -> None:
    assert findings(re.compile("|".join(map(re.escape, REGISTRIES)))) == []


def test_no_file_names_a_path_of_a_machine() -> None:
    assert findings(MACHINE) == []


def test_nothing_that_a_proof_rests_on_is_committed() -> None:
    assert [str(path) for path in tracked() if MADE_HERE.search(str(path))] == []


def test_no_verifier_made_by_ezkl_is_committed() -> None:
    assert [str(path) for path in tracked() if path.suffix == ".sol" and "Halo2Verifier" in (text_of(path) or "")] == []


def test_locks_name_versions_and_hashes_but_no_place() -> None:
    assert Path("uv.lock") not in tracked()
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert [name for name, entry in packages.items() if "resolved" in entry] == []
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []
    for path in tracked():
        if path.parts[0] == "requirements" and path.suffix == ".txt":
            pinned = re.findall(r"^([\w.\[\]-]+)==", text_of(path) or "", re.M)
            assert len(pinned) <= (text_of(path) or "").count("--hash=sha256:"), f"{path} pins without hashes"


def test_set_up_files_are_named_where_they_come_from() -> None:
    sources = (ROOT / "tests/vectors/SOURCE").read_text()
    assert [path.name for path in tracked() if path.suffix == ".ptau" and path.name not in sources] == []
