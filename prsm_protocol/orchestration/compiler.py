"""From outputs to an answer: claims with their sources, conflicts with both sides, what was not done, the weakest tier.

Numbers come from values. Equal claims are merged; models that disagree about a row are shown with both words and their measured
quality, never by head-count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prsm_protocol.orchestration import claims
from prsm_protocol.orchestration.claims import Source
from prsm_protocol.orchestration.question import Answer, Claim, Conflict, NotDone, Question, ResultTable
from prsm_protocol.orchestration.record import weakest
from prsm_protocol.types import Wei, format_ftns

_CELL_DANGER = ("=", "+", "-", "@")


def compile_answer(
    question: Question,
    sources: Mapping[str, Source],
    not_done: Sequence[NotDone],
    notes: Sequence[str],
    spent: Wei,
    quality: Callable[[str], int],
) -> Answer:
    """The whole answer. `sources` are accepted outputs by node, in the plan's order."""
    said: list[Claim] = []
    tables: list[ResultTable] = []
    documents = {item.digest: item.name for item in question.documents}
    for node, source in sources.items():
        if source.node != node:
            continue  # reused: it speaks where it was made
        said += _claims(question, node, source, documents)
        if node == "predict":
            tables.append(_table(source))
    merged = _merge(said)
    conflicts = find_conflicts(sources, quality)
    tier = weakest([source.tier for source in sources.values()]) if sources else "own"
    if question.strict:
        merged = [claim for claim in merged if claim.support != "none"]
    state = "failed" if not merged else "partial" if not_done else "answered"
    text = _text(merged, conflicts, not_done, notes, tier, spent)
    return Answer(
        text, tuple(merged), tuple(conflicts), tuple(tables), tuple(not_done), tier, spent, state, None, tuple(notes)
    )


def _claims(question: Question, node: str, source: Source, documents: Mapping[bytes, str]) -> list[Claim]:
    match source.kind:
        case "predict":
            # predictions made for a comparison speak through its statistics and through conflicts
            return claims.of_prediction(source, question.text) if "." not in node else []
        case "explain":
            return claims.of_explanation(source)
        case "compare":
            return claims.of_comparison(source)
        case "calculate":
            return claims.of_calculation(source)
        case "retrieve":
            return claims.of_quotes(source, documents)
        case _:
            return claims.of_prose(source)


def _merge(said: Sequence[Claim]) -> list[Claim]:
    """Claims of equal subject, attribute and value become one with all their citations."""
    merged: dict[tuple[str, str, str, str], Claim] = {}
    for claim in said:
        key = (claim.subject, claim.attribute, claim.value, claim.text)
        known = merged.get(key)
        if known is None:
            merged[key] = claim
        else:
            citations = tuple(dict.fromkeys((*known.citations, *claim.citations)))
            merged[key] = Claim(
                known.id, known.text, known.value, known.support, known.tier, citations, known.subject, known.attribute
            )
    return list(merged.values())


def find_conflicts(sources: Mapping[str, Source], quality: Callable[[str], int]) -> list[Conflict]:
    """Rows about which two models differ: same table, same target, other label."""
    seen: dict[tuple[str, int, str], list[tuple[str, str]]] = {}
    for node, source in sources.items():
        if source.kind != "predict" or source.node != node or not source.listings[0].classes:
            continue
        listing = source.listings[0]
        for row, label in zip(source.ints("rows"), source.texts("labels"), strict=True):
            seen.setdefault((source.table, row, listing.target), []).append((listing.name, label))
    asked = {source.table for node, source in sources.items() if node == "predict"}
    conflicts = []
    for (table, row, target), views in seen.items():
        if table in asked and len({label for _, label in views}) > 1:
            ordered = sorted(views, key=lambda view: (-quality(view[0]), view[0]))
            known = "; ".join(
                f"{name} measured at {quality(name) / 10_000:.1f} % or more" for name, _ in ordered if quality(name)
            )
            conflicts.append(
                Conflict(
                    f"row {row + 1} of {table}",
                    target,
                    tuple(name for name, _ in ordered),
                    tuple(label for _, label in ordered),
                    known or "neither has a measured quality",
                )
            )
    return conflicts


def _table(source: Source) -> ResultTable:
    close = set(source.ints("too_close"))
    rows = tuple(
        (str(row + 1), _cell(label), "too close" if row in close else "")
        for row, label in zip(source.ints("rows"), source.texts("labels"), strict=True)
    )
    return ResultTable(
        f"{source.listings[0].target} of {source.table}", ("row", source.listings[0].target, "note"), rows
    )


def _cell(text: str) -> str:
    """A cell that a spreadsheet would run as a formula is quoted."""
    return "'" + text if text.startswith(_CELL_DANGER) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(
    said: Sequence[Claim],
    conflicts: Sequence[Conflict],
    not_done: Sequence[NotDone],
    notes: Sequence[str],
    tier: str,
    spent: Wei,
) -> str:
    lines = []
    for number, claim in enumerate(said, 1):
        mark = " [unsupported]" if claim.support == "none" else ""
        lines.append(f"{claim.text} [{number}: {claim.tier}]{mark}")
    for conflict in conflicts:
        sides = ", ".join(f"{side} says {value}" for side, value in zip(conflict.sides, conflict.values, strict=True))
        lines.append(f"Conflict about {conflict.subject}: {sides} ({conflict.note}).")
    lines += notes
    lines += [f"Not done: {item.what}, because {item.why}" for item in not_done]
    lines.append(f"Weakest tier used: {tier}. Spent: {format_ftns(spent)} FTNS.")
    return "\n".join(lines)
