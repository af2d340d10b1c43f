"""Words of a question as features: stems, mentions of names, clauses. English, general, and without any model."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_CLAUSE = re.compile(r"[,;:.?!\n]+(?:\s+|$)|\b(?:and|but|also|then|plus|while|together with)\b", re.IGNORECASE)


def tokens(text: str) -> list[str]:
    return [word.removesuffix("'s") for word in _WORD.findall(text.casefold().replace("’", "'"))]


def stem(word: str) -> str:
    """The word without its commonest English endings; good enough to meet its own other forms."""
    for ending, rest in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            word = word[: -len(ending)] + rest
            break
    return word.removesuffix("e") if len(word) > 4 else word


def stems(text: str) -> list[str]:
    return [stem(word) for word in tokens(text)]


def clauses(text: str) -> list[str]:
    """Pieces between punctuation and joining words; a dot inside a number splits nothing."""
    return [piece.strip() for piece in _CLAUSE.split(text) if piece and piece.strip()]


def mentions(haystack: list[str], name: str) -> bool:
    """Do the stems of `name` stand in a row in `haystack`?"""
    needle = stems(name)
    return bool(needle) and any(haystack[i : i + len(needle)] == needle for i in range(len(haystack) - len(needle) + 1))


def related(word: str, name: str) -> bool:
    """Same family: equal stems, or a common beginning of at least six letters (`diagnose`, `diagnosis`)."""
    a, b = stem(word), stem(name)
    return a == b or (min(len(a), len(b)) >= 6 and a[:6] == b[:6])


def without(haystack: list[str], names: Iterable[str]) -> tuple[list[str], list[str]]:
    """(`haystack` with the longest mentioned names cut out, the names that were mentioned)."""
    rest, found = list(haystack), []
    for name in sorted(names, key=lambda n: -len(stems(n))):
        needle = stems(name)
        position = next(
            (i for i in range(len(rest) - len(needle) + 1) if needle and rest[i : i + len(needle)] == needle), None
        )
        if position is not None:
            found.append(name)
            rest[position : position + len(needle)] = ["·"]
    return rest, found
