"""Which rows a model may learn from: a split by content that anybody recomputes.

A table row's bytes are its feature cells as canonical decimals joined by commas, label and identifiers left out; a text's
are its NFC form in UTF-8. Equal rows fall together, so no held-out row was ever trained on.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum

from prsm_protocol.rules.front import CellInvalid, number


class Part(Enum):
    TRAIN = "train"
    VALIDATION = "validation"
    HELD_OUT = "held_out"


def canonical(value: Decimal) -> str:
    """Shortest plain decimal: no exponent, no trailing zeros, no minus zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def row_bytes(cells: Sequence[str]) -> bytes:
    """Bytes of a table row, from its feature cells."""
    parts = []
    for index, cell in enumerate(cells):
        value = number(cell)
        if value is None:
            raise CellInvalid(row="?", column=str(index), value=cell)
        parts.append(canonical(value))
    return ",".join(parts).encode()


def text_bytes(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).encode()


def part_of(row: bytes) -> Part:
    """SHA-256 of the bytes modulo 10: 0-6 train, 7 validation, 8-9 held out."""
    digit = int.from_bytes(hashlib.sha256(row).digest(), "big") % 10
    if digit < 7:
        return Part.TRAIN
    return Part.VALIDATION if digit == 7 else Part.HELD_OUT
