"""A question, what it brings with it, and what comes back: frozen values and the reader of the user's files.

Knows files of the user's and nothing of models, nodes or money. Everything read here is data, never an instruction.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from prsm_protocol.errors import UsageError
from prsm_protocol.types import Cid, Wei

NO_WEI = Wei(0)
FILE_LIMIT = 64 * 1024 * 1024
ROW_LIMIT = 100_000
PAGE_LIMIT = 500
TASKS = ("predict", "compare", "explain", "retrieve", "calculate", "write")
TIERS = ("proved", "staked", "trusted", "own")
"""Strongest first; `own` is a step on the asker's machine that nobody was paid for."""
PREFERENCES = ("cheap", "balanced", "best", "fast")


class QuestionEmpty(UsageError):
    text = (
        "the question is empty; say what you want to know, for example: prsm ask 'Which of these cases are malignant?'"
    )


class DataUnreadable(UsageError):
    exit_code = 1
    text = (
        "{name}: {reason}; give a CSV table (UTF-8, first line = column names), Markdown, plain text or a PDF with text"
    )


class DataTooLarge(UsageError):
    exit_code = 1
    text = "{name} has {found} {unit}, the limit is {limit}; give a smaller part"


class TaskUnknown(UsageError):
    text = "task {task!r} is unknown; known are {known}"


class PreferenceUnknown(UsageError):
    text = "preference {preference!r} is unknown; known are {known}"


class TierUnknown(UsageError):
    text = "tier {tier!r} is unknown; known are {known}"


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Table:
    """Cells as text, exactly as they stood in the file. Rows are numbered from 0 inside and from 1 where a person reads."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    delimiter: str = ","


@dataclass(frozen=True)
class DataInput:
    """One file: a table, or the text of its pages. `digest` is the SHA-256 of the file's bytes."""

    name: str
    media_type: str
    digest: bytes
    table: Table | None = None
    pages: tuple[str, ...] = ()
    unreadable_pages: tuple[int, ...] = ()


@dataclass(frozen=True)
class Question:
    text: str
    data: tuple[DataInput, ...] = ()
    budget: Wei = NO_WEI
    least_tier: str = "trusted"
    deadline: timedelta = timedelta(minutes=30)
    task: str | None = None
    preference: str = "balanced"
    public_data: bool = False
    local: bool = False
    strict: bool = False

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(item.table for item in self.data if item.table is not None)

    @property
    def documents(self) -> tuple[DataInput, ...]:
        return tuple(item for item in self.data if item.table is None)


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Citation:
    """Where a claim comes from: a JSON pointer into an attempt's output, or a quote in a document."""

    attempt: Cid | None = None
    path: str = ""
    document: bytes = b""
    page: int = 0
    start: int = 0
    end: int = 0
    quote_sha256: bytes = b""


@dataclass(frozen=True)
class Claim:
    id: str
    text: str
    value: str  # canonical JSON of the value the sentence was formatted from
    support: str  # computed, quoted, entailed or none
    tier: str
    citations: tuple[Citation, ...] = ()
    subject: str = ""
    attribute: str = ""


@dataclass(frozen=True)
class Conflict:
    """The same attribute of the same subject with different values; both sides stand with who says so."""

    subject: str
    attribute: str
    sides: tuple[str, ...]
    values: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class NotDone:
    what: str
    why: str
    cost: Wei = NO_WEI


@dataclass(frozen=True)
class ResultTable:
    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Answer:
    text: str
    claims: tuple[Claim, ...]
    conflicts: tuple[Conflict, ...]
    tables: tuple[ResultTable, ...]
    not_done: tuple[NotDone, ...]
    tier: str
    spent: Wei
    state: str  # answered, partial, refused, failed or cancelled
    trace: Cid | None = None  # the answer's block
    notes: tuple[str, ...] = ()


# ── before anything is locked ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Choice:
    """Who chose what, among which options, and why (a reason code with numbers, never the user's text)."""

    matter: str
    how: str  # caller, rule, model or default
    name: str
    options: tuple[tuple[str, int, str], ...]  # (id, score in millionths, reason)
    chosen: str
    confidence_ppm: int = 1_000_000
    version: str = "1"


@dataclass(frozen=True)
class PlanNode:
    """One task of the plan. `inputs` are table or document names; `after` are nodes whose output it needs."""

    id: str
    kind: str
    goal: str
    inputs: tuple[str, ...] = ()
    listings: tuple[str, ...] = ()  # CIDs in text; the first is the routed one
    after: tuple[str, ...] = ()
    parent: str = ""
    rank: int = 3
    budget: Wei = NO_WEI
    paid: bool = False
    needs: bool = True  # False: what depends on it goes on when it fails


@dataclass(frozen=True)
class Plan:
    nodes: tuple[PlanNode, ...]

    def node(self, name: str) -> PlanNode:
        return next(node for node in self.nodes if node.id == name)


@dataclass(frozen=True)
class Estimate:
    """What the question will cost and where it will be worked on. `high` is the cap that is locked."""

    plan: Plan
    low: Wei
    likely: Wei
    high: Wei
    tier: str
    seconds: int
    questions: tuple[str, ...]
    decisions: tuple[Choice, ...]
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """The plan as the screen prints it."""
        kinds = [node.kind for node in self.plan.nodes if node.parent]
        decided = next((d for d in self.decisions if d.matter == "kind"), None)
        how = f" — by {decided.how} {decided.name}@{decided.version}" if decided else ""
        return "plan: " + " + ".join(dict.fromkeys(kinds)) + how


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Kind:
    media_type: str
    suffixes: tuple[str, ...] = field(default=())


_TABLE = _Kind("text/csv", (".csv", ".tsv"))
_TEXT = _Kind("text/plain", (".txt", ".text"))
_MARKDOWN = _Kind("text/markdown", (".md", ".markdown"))
_PDF = _Kind("application/pdf", (".pdf",))


def read(
    text: str,
    data: Sequence[Path | str] = (),
    *,
    budget: Wei = NO_WEI,
    least_tier: str = "trusted",
    deadline: timedelta = timedelta(minutes=30),
    task: str | None = None,
    preference: str = "balanced",
    public_data: bool = False,
    local: bool = False,
    strict: bool = False,
) -> Question:
    """The question with its files read and checked; refuses what cannot be used, naming file, line and remedy."""
    if not text.strip():
        raise QuestionEmpty()
    if task is not None and task not in TASKS:
        raise TaskUnknown(task=task, known=", ".join(TASKS))
    if preference not in PREFERENCES:
        raise PreferenceUnknown(preference=preference, known=", ".join(PREFERENCES))
    if least_tier not in TIERS[:3]:
        raise TierUnknown(tier=least_tier, known=", ".join(TIERS[:3]))
    inputs = tuple(read_file(Path(path)) for path in data)
    names = [item.name for item in inputs]
    for name in names:
        if names.count(name) > 1:
            raise DataUnreadable(name=name, reason="two files have this name")
    return Question(text.strip(), inputs, budget, least_tier, deadline, task, preference, public_data, local, strict)


def read_file(path: Path) -> DataInput:
    """One file of the user's as a table or as pages of text."""
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT:
            raise DataTooLarge(name=path.name, found=size, unit="bytes", limit=FILE_LIMIT)
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataUnreadable(name=str(path), reason="there is no such file") from None
    except OSError as error:
        raise DataUnreadable(name=str(path), reason=error.strerror or "cannot be read") from None
    return parse(path.name, data)


def parse(name: str, data: bytes) -> DataInput:
    """The same from bytes (data given by CID)."""
    digest = hashlib.sha256(data).digest()
    suffix = Path(name).suffix.lower()
    if suffix in _PDF.suffixes or data[:5] == b"%PDF-":
        pages, unreadable = _pdf_pages(name, data)
        return DataInput(name, _PDF.media_type, digest, None, pages, unreadable)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataUnreadable(name=name, reason=f"line {line} is not UTF-8") from None
    if suffix in _MARKDOWN.suffixes:
        return DataInput(name, _MARKDOWN.media_type, digest, None, (text,))
    if suffix in _TEXT.suffixes:
        return DataInput(name, _TEXT.media_type, digest, None, (text,))
    return DataInput(name, _TABLE.media_type, digest, read_table(name, text))


def read_table(name: str, text: str) -> Table:
    """A table after RFC 4180; the delimiter is the one of , ; tab | that the first line holds most often."""
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataUnreadable(name=name, reason=f"the table is broken ({error})") from None
    filled = [(number, line) for number, line in enumerate(lines, 1) if any(cell.strip() for cell in line)]
    if not filled:
        raise DataUnreadable(name=name, reason="the file is empty")
    columns = tuple(cell.strip() for cell in filled[0][1])
    if "" in columns:
        raise DataUnreadable(name=name, reason=f"column {columns.index('') + 1} has no name in the first line")
    folded = [fold(column) for column in columns]
    for column in columns:
        if folded.count(fold(column)) > 1:
            raise DataUnreadable(name=name, reason=f"column {column!r} stands there twice")
    if len(filled) == 1:
        raise DataUnreadable(name=name, reason="the table has column names but no row")
    if len(filled) - 1 > ROW_LIMIT:
        raise DataTooLarge(name=name, found=len(filled) - 1, unit="rows", limit=ROW_LIMIT)
    for number, line in filled[1:]:
        if len(line) != len(columns):
            raise DataUnreadable(
                name=name, reason=f"line {number} has {len(line)} cells, the first line {len(columns)}"
            )
    return Table(name, columns, tuple(tuple(cell.strip() for cell in line) for _, line in filled[1:]), delimiter)


def fold(name: str) -> str:
    """A name as names are compared: lower case, letters, digits and single spaces; units in brackets left out."""
    bare = re.sub(r"[(\[][^)\]]*[)\]]", " ", name) if not name.strip().startswith(("(", "[")) else name
    return " ".join(re.findall(r"[^\W_]+", bare.casefold()))


def shown_name(name: str) -> str:
    """A column's name as a planner may see it: `[A-Za-z0-9_ ]{1,64}`, so no instruction fits into it."""
    return re.sub(r"[^A-Za-z0-9_ ]+", " ", name)[:64].strip() or "column"


def _pdf_pages(name: str, data: bytes) -> tuple[tuple[str, ...], tuple[int, ...]]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if len(reader.pages) > PAGE_LIMIT:
            raise DataTooLarge(name=name, found=len(reader.pages), unit="pages", limit=PAGE_LIMIT)
        pages = tuple(page.extract_text() or "" for page in reader.pages)
    except (PyPdfError, ValueError, KeyError, TypeError) as error:
        raise DataUnreadable(name=name, reason=f"the PDF cannot be read ({error})") from None
    unreadable = tuple(number for number, page in enumerate(pages, 1) if not page.strip())
    if len(unreadable) == len(pages):
        raise DataUnreadable(name=name, reason="the PDF holds no text (a scan?)")
    return pages, unreadable
