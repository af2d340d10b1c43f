"""Read a table that a stranger wrote: CSV in UTF-8, delimiter detected, limits kept, every complaint with its line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prsm_protocol.errors import UsageError
from prsm_protocol.rules.front import number

MAX_BYTES = 64 * 1024 * 1024
MAX_ROWS = 100_000


class DataUnreadable(UsageError):
    exit_code = 1
    text = "{path} cannot be read: {reason}"


class DataTooLarge(UsageError):
    exit_code = 1
    text = "{path} has {found}, the limit is {limit}; split it and ask in parts"


@dataclass(frozen=True)
class Table:
    """Cells as text, in file order; `lines[i]` is the line of row i in the file (for messages)."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    delimiter: str = ","

    def column(self, name: str) -> tuple[str, ...]:
        at = self.columns.index(name)
        return tuple(row[at] for row in self.rows)

    def select(self, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Rows with these columns only, in this order."""
        at = [self.columns.index(name) for name in names]
        return tuple(tuple(row[i] for i in at) for row in self.rows)

    def is_numeric(self, name: str) -> bool:
        """Every cell that is filled is a number, and one is filled."""
        filled = [cell for cell in self.column(name) if cell.strip()]
        return bool(filled) and all(number(cell) is not None for cell in filled)


def read_table(path: Path) -> Table:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataTooLarge(path=path, found=f"{path.stat().st_size} bytes", limit=f"{MAX_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise DataUnreadable(path=path, reason=(error.strerror or str(error)).lower()) from None
    return parse_table(data, path.name)


def parse_table(data: bytes, name: str) -> Table:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataUnreadable(path=name, reason=f"line {line} is not UTF-8; save the table as UTF-8") from None
    if not text.strip():
        raise DataUnreadable(path=name, reason="it is empty; the first line must name the columns")
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    columns: tuple[str, ...] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = tuple(cell.strip() for cell in cells)
                continue
            if len(cells) != len(columns):
                raise DataUnreadable(
                    path=name, reason=f"line {reader.line_num} has {len(cells)} cells, the header {len(columns)}"
                )
            rows.append(tuple(cell.strip() for cell in cells))
            lines.append(reader.line_num)
            if len(rows) > MAX_ROWS:
                raise DataTooLarge(path=name, found=f"more than {MAX_ROWS} rows", limit=f"{MAX_ROWS} rows")
    except csv.Error as error:
        raise DataUnreadable(path=name, reason=f"line {reader.line_num}: {error}") from None
    assert columns is not None
    doubled = sorted({column for column in columns if columns.count(column) > 1})
    if doubled or "" in columns:
        raise DataUnreadable(
            path=name, reason=f"column names must be there and differ: {', '.join(map(repr, doubled or ['']))}"
        )
    if not rows:
        raise DataUnreadable(path=name, reason="it has a header but no rows")
    return Table(name, columns, tuple(rows), tuple(lines), delimiter)


def _delimiter(text: str) -> str:
    """The candidate that cuts the header into most cells and most of the first lines into as many."""
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    best, most = ",", 1
    for candidate in (",", ";", "\t", "|"):
        counts = [len(next(csv.reader([line], delimiter=candidate))) for line in lines]
        if counts[0] > most and 2 * counts.count(counts[0]) > len(counts):
            best, most = candidate, counts[0]
    return best


def fold(name: str) -> str:
    """A column name for comparison: case, space and punctuation folded away."""
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
