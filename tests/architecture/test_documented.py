"""What a person can type or set stands in README.md or a document that it names: commands, settings, exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from prsm_protocol.cli.common import register
from prsm_protocol.errors import PrsmError
from prsm_protocol.settings import Settings
from tests.architecture.files import ROOT, tracked


def documents() -> str:
    """README.md and every Markdown file that it names."""
    text = (ROOT / "README.md").read_text()
    named = sorted({name for name in re.findall(r"[\w./-]+\.md", text) if (ROOT / name).is_file()})
    return "\n".join([text, *((ROOT / name).read_text() for name in named)])


def commands(command: object, path: str) -> Iterator[str]:
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")
    else:
        yield path


def test_the_program_has_commands() -> None:
    assert len(COMMANDS) > 30


def rows(heading: str) -> set[str]:
    """First column of the table of the command line's reference that begins with this heading."""
    text = (ROOT / "prsm_protocol/cli/README.md").read_text()
    table = text.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0]
    return set(re.findall(r"^\| `([^`]+)`", table, re.M))


COMMANDS = sorted(commands(typer.main.get_command(register()), "prsm"))


def exit_codes() -> set[int]:
    """Every one that a class of the sources sets or a command ends with, and what the program itself ends with."""
    found = {PrsmError.exit_code, 0, 130}
    for path in tracked():
        if path.suffix == ".py" and path.parts[0] in ("prsm_protocol", "oracles", "provers"):
            text = (ROOT / path).read_text()
            found |= {
                int(code)
                for code in re.findall(r"^    exit_code(?:: int)? = (\d+)$|\bEnded\((\d+)\)", text, re.M)
                for code in code
                if code
            }
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_documented(command: str) -> None:
    assert re.search(rf"`{re.escape(command)}[ `]", documents())


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_setting_is_documented(name: str) -> None:
    assert f"`PRSM_{name.upper()}`" in documents()


def test_reference_lists_what_there_is_and_nothing_else() -> None:
    assert rows("command") == set(COMMANDS)
    assert rows("setting") == {f"PRSM_{name.upper()}" for name in Settings.model_fields}


def test_every_exit_code_is_documented() -> None:
    documented = {int(code) for code in rows("exit code")}
    assert exit_codes() <= documented


def test_verbs_of_the_node_are_documented() -> None:
    from oracles.__main__ import _parser

    verbs = next(action.choices for action in _parser()._actions if action.choices)
    line = next(line for line in documents().splitlines() if line.startswith("| `prsm node`"))
    assert [verb for verb in verbs if f"`{verb}`" not in line] == []


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in [Path("README.md"), Path("prsm_protocol/cli/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / path).read_text()):
            if not (ROOT / path.parent / target).exists():
                broken.append(f"{path}: {target}")
    assert broken == []
