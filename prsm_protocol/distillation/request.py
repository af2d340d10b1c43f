"""What is asked for, and whether the data can carry it: everything that is wrong is reported at once, with line numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from prsm_protocol.content.table import Table
from prsm_protocol.errors import DistillationError
from prsm_protocol.rules import front
from prsm_protocol.rules.rows import Part, canonical, part_of, row_bytes
from prsm_protocol.types import Feature

MIN_ROWS, MIN_PER_CLASS, MAX_CLASSES, MAX_FEATURES = 100, 20, 50, 64
_IDENTIFIERS = {"id", "index", "row", "key", "number", "uuid", "name", "identifier"}


class DataUnfit(DistillationError):
    text = "{name} cannot be learned from:\n{problems}"


class TargetUnknown(DistillationError):
    text = "{name} has no column {target!r}; it has {columns}"


@dataclass(frozen=True)
class Dataset:
    """A table cut for learning. `words` are the front's integers at `bits`; `targets` are class indices or target words."""

    name: str
    target: str
    features: tuple[Feature, ...]
    classes: tuple[str, ...]
    target_mean: str
    target_spread: str
    bits: int
    words: tuple[tuple[int, ...], ...]
    targets: tuple[int, ...]
    parts: tuple[Part, ...]
    left_out: tuple[str, ...]

    @property
    def is_classifier(self) -> bool:
        return bool(self.classes)

    @property
    def outputs(self) -> int:
        """Output words of a model: one for two classes or a number, else one a class."""
        return len(self.classes) if len(self.classes) > 2 else 1

    def rows_of(self, *parts: Part) -> list[int]:
        return [index for index, part in enumerate(self.parts) if part in parts]


def prepare(table: Table, target: str, *, bits: int) -> Dataset:
    """Check the table and cut it. Rows with an empty or broken cell are a complaint, not a silent loss."""
    if target not in table.columns:
        raise TargetUnknown(name=table.name, target=target, columns=", ".join(table.columns))
    names, left_out = _features(table, target)
    problems = _problems(table, target, names)
    if problems:
        raise DataUnfit(name=table.name, problems="\n".join(f"  {problem}" for problem in problems))
    cells = table.select(names)
    labels = table.column(target)
    parts = tuple(part_of(row_bytes(row)) for row in cells)
    train = [index for index, part in enumerate(parts) if part is Part.TRAIN]
    features = tuple(_scale(name, [cells[index][at] for index in train]) for at, name in enumerate(names))
    classes = () if _is_regression(table, target) else tuple(sorted(set(labels)))
    if classes:
        mean, spread = "0", "1"
        targets = tuple(classes.index(label) for label in labels)
    else:
        scale = _scale(target, [labels[index] for index in train])
        mean, spread = scale.mean, scale.spread
        targets = tuple(front.word(label, scale, bits)[0] for label in labels)
    words = tuple(tuple(front.words(row, features, bits)) for row in cells)
    return Dataset(table.name, target, features, classes, mean, spread, bits, words, targets, parts, tuple(left_out))


def _features(table: Table, target: str) -> tuple[list[str], list[str]]:
    names, left_out = [], []
    for column in table.columns:
        if column == target:
            continue
        if column.lower() in _IDENTIFIERS or not table.is_numeric(column) or len(set(table.column(column))) == 1:
            left_out.append(column)
        else:
            names.append(column)
    return names, left_out


def _is_regression(table: Table, target: str) -> bool:
    return table.is_numeric(target) and len(set(table.column(target))) > 20


def _problems(table: Table, target: str, names: Sequence[str]) -> list[str]:
    problems = []
    if not 1 <= len(names) <= MAX_FEATURES:
        problems.append(f"{len(names)} numeric columns that vary; 1 to {MAX_FEATURES} are needed")
    if len(table.rows) < MIN_ROWS:
        problems.append(f"{len(table.rows)} rows; at least {MIN_ROWS} are needed")
    at = [table.columns.index(name) for name in names]
    broken = [
        f"line {line}: column {table.columns[i]!r} holds {row[i]!r}, not a number"
        for line, row in zip(table.lines, table.rows, strict=True)
        for i in at
        if front.number(row[i]) is None
    ]
    problems += broken[:20] + ([f"… and {len(broken) - 20} more cells"] if len(broken) > 20 else [])
    labels = table.column(target)
    unlabelled = [line for line, label in zip(table.lines, labels, strict=True) if not label]
    problems += [f"line {line}: no {target!r}" for line in unlabelled[:20]]
    if not unlabelled and not _is_regression(table, target):
        counts = Counter(labels)
        if len(counts) < 2:
            problems.append(f"{target!r} is always {next(iter(counts))!r}; there is nothing to learn")
        if len(counts) > MAX_CLASSES:
            problems.append(f"{target!r} has {len(counts)} classes; at most {MAX_CLASSES}")
        else:
            problems += [
                f"class {label!r} has {count} rows; at least {MIN_PER_CLASS} are needed"
                for label, count in sorted(counts.items())
                if count < MIN_PER_CLASS
            ]
    return problems


def _scale(name: str, cells: Sequence[str]) -> Feature:
    """Mean and standard deviation of the training cells, cut to six digits so that they are short decimals."""
    values = [Fraction(Decimal(cell)) for cell in cells]
    mean = sum(values, Fraction(0)) / len(values)
    variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values)
    spread = Decimal(str(float(variance) ** 0.5))
    return Feature(name=name, mean=_short(Decimal(str(float(mean)))), spread=_short(spread) if spread > 0 else "1")


def _short(value: Decimal) -> str:
    digits = value.as_tuple()
    exponent = digits.exponent
    assert isinstance(exponent, int)
    cut = max(0, len(digits.digits) - 6) + exponent
    return canonical(value.quantize(Decimal(1).scaleb(cut)))
