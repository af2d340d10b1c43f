"""Claims by template: every number in a sentence is formatted from a value of an attempt's output, never written by a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from prsm_protocol.orchestration import words
from prsm_protocol.orchestration.question import Citation, Claim
from prsm_protocol.types import Cid, Listing

Block = Mapping[str, object]


@dataclass(frozen=True)
class Source:
    """An accepted attempt with its output, as claims are made from it."""

    node: str
    kind: str
    attempt: Cid
    output: Block
    tier: str
    table: str = ""
    listings: tuple[Listing, ...] = ()

    def ints(self, key: str) -> list[int]:
        return cast("list[int]", self.output[key])

    def texts(self, key: str) -> list[str]:
        return cast("list[str]", self.output[key])


def percent(ppm: int) -> str:
    """Millionths as a percentage with one decimal, half away from zero."""
    tenths = (abs(ppm) + 500) // 1000
    return f"{'-' if ppm < 0 and tenths else ''}{tenths // 10}.{tenths % 10} %"


def rows_text(rows: Sequence[int], most: int = 12) -> str:
    """Rows as a person counts them (from 1): `row 2`, `rows 2, 5 and 7`, the rest counted."""
    numbers = [str(row + 1) for row in rows[:most]]
    if len(rows) > most:
        return f"rows {', '.join(numbers)} and {len(rows) - most} more"
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    return f"rows {', '.join(numbers[:-1])} and {numbers[-1]}"


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _claim(source: Source, number: str, text: str, value: object, paths: Sequence[str], attribute: str) -> Claim:
    citations = tuple(Citation(attempt=source.attempt, path=path) for path in paths)
    support = "computed" if source.kind != "retrieve" else "quoted"
    return Claim(
        f"{source.node}.{number}", text, canonical(value), support, source.tier, citations, source.table, attribute
    )


# ── predict ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_prediction(source: Source, question: str) -> list[Claim]:
    """Which rows got which class; the classes that the question names, else all that occur."""
    listing = source.listings[0]
    rows, labels = source.ints("rows"), source.texts("labels")
    claims: list[Claim] = []
    if not listing.classes:
        values = [float(label) for label in labels]
        text = (
            f"{listing.name} predicts {listing.target} for {len(rows)} rows of {source.table}, "
            f"from {min(values):.6g} to {max(values):.6g}."
        )
        claims.append(
            _claim(source, "values", text, dict(zip(map(str, rows), labels, strict=True)), ["/labels"], "values")
        )
    spoken = words.stems(question)
    named = [name for name in listing.classes if words.mentions(spoken, name)]
    shown = [name for name in listing.classes if (name in named if named else name in labels)]
    for index, name in enumerate(shown):
        members = [row for row, label in zip(rows, labels, strict=True) if label == name]
        if members:
            which = "all of them" if len(members) == len(rows) > 1 else rows_text(members)
            text = f"{len(members)} of {len(rows)} rows of {source.table} are predicted {name}: {which}."
        else:
            text = f"None of the {len(rows)} rows of {source.table} is predicted {name}."
        claims.append(_claim(source, f"class{index}", text, members, ["/rows", "/labels"], name))
    close = source.ints("too_close")
    if close:
        text = f"Too close to call: {rows_text(close)}; the margin lies within the quantisation error of the proof."
        claims.append(_claim(source, "close", text, close, ["/too_close"], "too close"))
    skipped = cast("list[Mapping[str, object]]", source.output["skipped"])
    if skipped:
        which = rows_text([cast("int", entry["row"]) for entry in skipped])
        text = f"{len(skipped)} of {len(rows) + len(skipped)} rows were skipped: {which} ({skipped[0]['why']})."
        claims.append(_claim(source, "skipped", text, len(skipped), ["/skipped"], "skipped"))
    return claims


# ── explain ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_explanation(source: Source, most: int = 3) -> list[Claim]:
    """The features that moved the predictions most, with their share of all movement."""
    features, ranking = source.texts("features"), source.ints("ranking")
    attributions = cast("list[list[int]]", source.output["attributions"])
    weight = [sum(abs(row[feature]) for row in attributions) for feature in range(len(features))]
    total = sum(weight) or 1
    shares = [(features[f], (weight[f] * 1_000_000 + total // 2) // total) for f in ranking[:most]]
    listed = ", ".join(f"{name} ({percent(share)})" for name, share in shares)
    exact = source.output["method"] == "linear"
    how = (
        "exactly, the model being linear"
        if exact
        else f"over {source.output['permutations']} orders of the features a row"
    )
    text = (
        f"What moved the predictions for {source.table} most: {listed} of all movement, measured {how}. "
        "This is what the model used, not what causes it."
    )
    claims = [_claim(source, "ranking", text, dict(shares), ["/ranking", "/attributions"], "ranking")]
    if not exact:
        errors = cast("list[list[int]]", source.output["standard_errors"])
        permutations = cast("int", source.output["permutations"])
        top = ranking[0]
        mean = sum(abs(row[top]) for row in attributions) // (permutations * len(attributions)) or 1
        error = sum(row[top] for row in errors) // len(errors)
        ppm = (error * 1_000_000 + mean // 2) // mean
        text = (
            f"The sampling error of the first, {features[top]}, is {percent(ppm)} of its own size (one standard error)."
        )
        claims.append(_claim(source, "error", text, ppm, ["/standard_errors"], "sampling error"))
    return claims


# ── compare ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_comparison(source: Source) -> list[Claim]:
    """A verdict only when the interval excludes zero; without labels the agreement alone."""
    first, second = source.listings
    rows = len(source.ints("rows"))
    agreement = cast("int", source.output["agreement_ppm"])
    if source.output["verdict"] == "no labels":
        text = (
            f"{first.name} and {second.name} agree on {percent(agreement)} of {rows} rows of {source.table}; "
            "without labels nobody can say which of them is right."
        )
        return [_claim(source, "agreement", text, agreement, ["/agreement_ppm"], "agreement")]
    right = source.ints("right")
    low, high, p = (cast("int", source.output[key]) for key in ("low_ppm", "high_ppm", "mcnemar_p_ppm"))
    verdict = {
        "first": f"{first.name} is better than {second.name}",
        "second": f"{second.name} is better than {first.name}",
    }.get(str(source.output["verdict"]), f"No difference is shown between {first.name} and {second.name}")
    text = (
        f"{verdict} on {rows} labelled rows of {source.table}: {right[0]} and {right[1]} right "
        f"({percent(right[0] * 1_000_000 // rows)} and {percent(right[1] * 1_000_000 // rows)}), difference "
        f"{percent(cast('int', source.output['difference_ppm']))}, 95 % interval {percent(low)} to {percent(high)}, "
        f"exact McNemar p = {p / 1_000_000:.4f}."
    )
    value = {"verdict": source.output["verdict"], "right": right, "low_ppm": low, "high_ppm": high, "p_ppm": p}
    paths = ["/verdict", "/right", "/difference_ppm", "/low_ppm", "/high_ppm", "/mcnemar_p_ppm"]
    claims = [_claim(source, "verdict", text, value, paths, "accuracy")]
    text = f"Both give the same label on {percent(agreement)} of these rows."
    claims.append(_claim(source, "agreement", text, agreement, ["/agreement_ppm"], "agreement"))
    return claims


# ── the others ───────────────────────────────────────────────────────────────────────────────────────────────────────


def of_calculation(source: Source) -> list[Claim]:
    value = str(source.output["value"])
    column = cast("Mapping[str, object] | None", source.output["column"])
    if column is None:
        text = f"The result is {value}."
    else:
        left = cast("int", column["left_out"])
        count = len(cast("list[int]", column["rows"]))
        note = f"; {left} cells without a number were left out" if left else ""
        text = f"The {_SPOKEN[str(column['statistic'])]} of {column['column']} in {column['name']} is {value} ({count} rows{note})."
    return [_claim(source, "value", text, value, ["/value"], "value")]


_SPOKEN = {
    "sum": "sum", "mean": "mean", "median": "median", "deviation": "standard deviation", "min": "minimum", "max": "maximum",
}  # fmt: skip


def of_quotes(source: Source, names: Mapping[bytes, str]) -> list[Claim]:
    """Each quote is a claim that stands in its document, to the letter."""
    quotes = cast("list[Mapping[str, object]]", source.output["quotes"])
    claims = []
    for index, quote in enumerate(quotes):
        document = cast("bytes", quote["document"])
        text = str(quote["text"])
        where = f"{names.get(document, 'document')}, page {quote['page']}"
        citation = Citation(
            attempt=None,
            document=document,
            page=cast("int", quote["page"]),
            start=cast("int", quote["start"]),
            end=cast("int", quote["end"]),
            quote_sha256=_sha256(text),
        )
        shown = " ".join(text.split())
        claims.append(
            Claim(
                f"{source.node}.quote{index}",
                f"“{shown}” ({where})",
                canonical(text),
                "quoted",
                source.tier,
                (citation,),
            )
        )
    if not quotes:
        searched = source.output["searched"]
        claims.append(
            _claim(
                source,
                "none",
                f"Not found in {len(names)} documents ({searched} passages).",
                searched,
                ["/searched"],
                "none",
            )
        )
    return claims


def of_prose(source: Source) -> list[Claim]:
    """Sentences of a draft: none is checked by anything, and each says so."""
    sentences = cast("list[Mapping[str, object]]", source.output["sentences"])
    return [
        Claim(
            f"{source.node}.sentence{index}",
            str(sentence["text"]),
            canonical(sentence["text"]),
            "entailed" if sentence["support"] else "none",
            source.tier,
            (Citation(attempt=source.attempt, path=f"/sentences/{index}/text"),),
        )
        for index, sentence in enumerate(sentences)
    ]


def _sha256(text: str) -> bytes:
    return sha256(text.encode()).digest()
