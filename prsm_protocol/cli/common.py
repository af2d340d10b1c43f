"""What all commands share: the application, how errors end, where text goes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from prsm_protocol import __version__
from prsm_protocol.errors import PrsmError

app = typer.Typer(
    name="prsm",
    help="Answers scientific questions with many small models owned by many people: proved, paid, and checkable by strangers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
out = Console(highlight=False, soft_wrap=True, emoji=False)

Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]
As = Annotated[
    str,
    typer.Option(
        "--as", help="whose home of the local world: asker, data-owner, teacher-owner, linear-owner, distiller"
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"prsm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Settings come from PRSM_… environment variables; `prsm doctor` prints them."""


class Ended(Exception):
    """A command ended with this exit code and has said why."""

    def __init__(self, code: int) -> None:
        self.code = code


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, default=str))


@contextmanager
def reporting(as_json: bool) -> Iterator[None]:
    """Expected errors become one sentence (or one JSON object) and the documented exit code."""
    try:
        yield
    except PrsmError as error:
        if as_json:
            print_json({"type": error.name, "detail": str(error), "exit": error.exit_code, **_plain(error.values)})
        err.print(f"[bold red]{error.name}[/]: ", end="")
        err.print(clean(str(error)), markup=False)
        raise typer.Exit(error.exit_code) from error
    except Ended as ended:
        raise typer.Exit(ended.code) from ended


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {
        key: value if isinstance(value, str | int | float | bool) or value is None else str(value)
        for key, value in values.items()
    }


def clean(text: str) -> str:
    """Text of models, documents and strangers without control, escape and bidirectional characters."""
    return "".join(
        c
        for c in text
        if c in "\n\t" or (c.isprintable() and not "\u202a" <= c <= "\u202e" and not "\u2066" <= c <= "\u2069")
    )


def is_terminal() -> bool:
    return sys.stderr.isatty() and sys.stdin.isatty()


def register() -> typer.Typer:
    """The application with every command. Commands register themselves on import."""
    import importlib
    import pkgutil

    import prsm_protocol.cli as package

    for found in pkgutil.iter_modules(package.__path__):
        if found.name != "common":
            importlib.import_module(f"prsm_protocol.cli.{found.name}")
    return app


def main() -> None:
    """Entry point of `prsm`."""
    register()
    try:
        app()
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
