"""Real tables that install with scikit-learn, so a first question needs no network and no file of one's own.

What is asked about was never trained on: cases and known rows come from the held-out part of `rules/rows.py`, the training file
from the two others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import cast

from prsm_protocol.errors import UsageError
from prsm_protocol.rules.rows import Part, canonical, part_of, row_bytes

CASES = 8
"""Rows without labels: enough to see both classes, few enough to prove in seconds on two cores."""


class SampleUnknown(UsageError):
    text = "sample {name!r} is unknown; there are {known}"


class SampleExists(UsageError):
    text = "{path} is there already and holds something else; give --sample in another folder, or move it away"


@dataclass(frozen=True)
class Sample:
    """One data set: its loader in scikit-learn, the column to predict and the classes in the loader's order."""

    loader: str
    target: str
    classes: tuple[str, ...]
    question: str
    columns: tuple[str, ...] = ()


SAMPLES = {
    "breast-cancer": Sample(
        "load_breast_cancer",
        "diagnosis",
        ("malignant", "benign"),
        "Which of these cases are malignant, which measurements decide it, and is the linear model as good?",
    ),
    "wine": Sample(
        "load_wine",
        "cultivar",
        ("cultivar 1", "cultivar 2", "cultivar 3"),
        "Which cultivar is each wine, which measurements decide it, and is the linear model as good?",
        (
            "alcohol",
            "malic acid",
            "ash",
            "alcalinity of ash",
            "magnesium",
            "total phenols",
            "flavanoids",
            "nonflavanoid phenols",
            "proanthocyanins",
            "color intensity",
            "hue",
            "protein absorbance ratio",
            "proline",
        ),
    ),
    "digits": Sample(
        "load_digits",
        "digit",
        tuple(str(digit) for digit in range(10)),
        "Which digit is each row, which pixels decide it, and is the linear model as good?",
        tuple(f"pixel {row} {column}" for row in range(8) for column in range(8)),
    ),
    "diabetes": Sample(
        "load_diabetes",
        "progression",
        (),
        "Predict the progression of each patient. Which measurements decide it?",
        (
            "age",
            "sex",
            "body mass index",
            "blood pressure",
            "total cholesterol",
            "low density lipoproteins",
            "high density lipoproteins",
            "cholesterol ratio",
            "triglycerides",
            "blood sugar",
        ),
    ),
}


@dataclass(frozen=True)
class Loaded:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]

    def part(self, *parts: Part) -> list[int]:
        """Indices of the rows in these parts."""
        return [index for index, row in enumerate(self.rows) if part_of(row_bytes(row)) in parts]


def sample(name: str) -> Sample:
    found = SAMPLES.get(name.replace("_", "-"))
    if found is None:
        raise SampleUnknown(name=name, known=", ".join(SAMPLES))
    return found


@lru_cache(maxsize=len(SAMPLES))
def load(name: str) -> Loaded:
    """The whole data set as text cells in canonical decimals."""
    from sklearn import datasets

    chosen = sample(name)
    bunch = getattr(datasets, chosen.loader)()
    columns = chosen.columns or tuple(str(column) for column in bunch.feature_names)
    rows = tuple(tuple(canonical(Decimal(repr(float(value)))) for value in row) for row in bunch.data)
    targets = cast("Sequence[float]", bunch.target.tolist())
    labels = tuple(
        chosen.classes[int(value)] if chosen.classes else canonical(Decimal(repr(float(value)))) for value in targets
    )
    return Loaded(columns, rows, labels)


def write_sample(name: str, folder: Path) -> tuple[Path, Path]:
    """`cases.csv` (eight held-out rows without labels) and `known.csv` (the other held-out rows with theirs)."""
    chosen, loaded = sample(name), load(name)
    held_out = loaded.part(Part.HELD_OUT)
    # evenly over the file, which some sets keep sorted by class
    asked = [held_out[len(held_out) * number // CASES] for number in range(CASES)]
    rest = [index for index in held_out if index not in asked]
    cases, known = folder / "cases.csv", folder / "known.csv"
    _write(cases, [loaded.columns, *(loaded.rows[i] for i in asked)])
    _write(known, [(*loaded.columns, chosen.target), *((*loaded.rows[i], loaded.labels[i]) for i in rest)])
    return cases, known


def training_csv(name: str, folder: Path) -> Path:
    """Training and validation rows with labels, for `prsm distill`; no held-out row is among them."""
    chosen, loaded = sample(name), load(name)
    path = folder / f"{name.replace('_', '-')}-training.csv"
    used = loaded.part(Part.TRAIN, Part.VALIDATION)
    _write(path, [(*loaded.columns, chosen.target), *((*loaded.rows[i], loaded.labels[i]) for i in used)])
    return path


def labelled_csv(name: str, folder: Path) -> tuple[Path, str]:
    """Every row with its label, and the target's name: what an owner registers. Whoever learns from it splits it by content."""
    chosen, loaded = sample(name), load(name)
    path = folder / f"{name.replace('_', '-')}.csv"
    rows = ((*row, label) for row, label in zip(loaded.rows, loaded.labels, strict=True))
    _write(path, [(*loaded.columns, chosen.target), *rows])
    return path, chosen.target


def question_for(name: str) -> str:
    return sample(name).question


def _write(path: Path, lines: Sequence[Sequence[str]]) -> None:
    """Write once; the same file again is left alone, another one is never overwritten."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows(lines)
    data = buffer.getvalue().encode()
    if path.exists():
        if path.read_bytes() != data:
            raise SampleExists(path=path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
