"""What must be clear before anything is priced: which table, which model, which columns. By rules; nothing is guessed silently.

What cannot be settled by a rule with a safe default is a refusal that names the remedy; what has one is recorded as a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prsm_protocol.errors import OrchestrationError, PrsmError
from prsm_protocol.orchestration import words
from prsm_protocol.orchestration.listings import (
    is_about,
    label_column,
    lower_bound_ppm,
    match,
    measured_quality,
    refuse_missing,
    weights,
)
from prsm_protocol.orchestration.question import Choice, Question, Table
from prsm_protocol.orchestration.router import Candidate, NoEligibleModel
from prsm_protocol.types import Cid, Listing

_LINEAR = frozenset(words.stem(word) for word in ["linear", "logistic", "simple", "simpler", "regression"])
_NETWORK = frozenset(words.stem(word) for word in ["network", "net", "neural", "deep", "student"])


class TableMissing(OrchestrationError):
    text = "the question needs a table and none was given; add --data cases.csv (first line = column names)"


class DocumentMissing(OrchestrationError):
    text = "the question needs documents and none was given; add --data report.md or --data paper.pdf"


class NothingToCompare(OrchestrationError):
    text = "only one listed model reads table {table}, so there is nothing to compare; list another or name two"


@dataclass(frozen=True)
class Reading:
    """The tables as the plan uses them: what is predicted, what has labels, and which listings read both."""

    cases: Table
    known: Table
    known_label: int | None
    candidates: tuple[Candidate, ...]
    choices: tuple[Choice, ...]
    unused: tuple[str, ...] = ()  # why a table that was given is not used

    @property
    def listings(self) -> list[Listing]:
        return [candidate.listing for candidate in self.candidates if not candidate.fits]


def read_tables(
    question: Question,
    listings: Sequence[Listing],
    block: Callable[[Cid], bytes],
    halted: Callable[[bytes], bool],
) -> Reading:
    """Which table is predicted, which one has labels; refuses tables that no listed model reads, naming columns."""
    if not question.tables:
        raise TableMissing()
    able = [listing for listing in listings if "predict" in listing.kinds]
    if not able:
        raise NoEligibleModel(task="predict", reasons="no model that classifies tables is listed")
    fitting = {table.name: [one for one in able if match(one, table).complete] for table in question.tables}
    readable = [table for table in question.tables if fitting[table.name]]
    if not readable:
        table = question.tables[0]
        nearest = min(
            able, key=lambda one: (not is_about(one, question.text), len(match(one, table).missing), one.name)
        )
        raise refuse_missing(nearest, table, match(nearest, table))
    best = _best_about(fitting[readable[0].name], question.text)
    labelled = [table for table in readable if label_column(best, table) is not None]
    bare = [table for table in readable if table not in labelled]
    cases = (bare or readable)[0]
    known = (labelled or [cases])[0]
    choices: tuple[Choice, ...] = ()
    if len(readable) > 1:
        options = tuple((table.name, 0, "has labels" if table in labelled else "no labels") for table in readable)
        choices = (Choice("clarify", "rule", "unlabelled-is-asked", options, cases.name),)
    candidates = []
    for listing in able:
        gap = match(listing, cases)
        quality = lower_bound_ppm(*measured_quality(listing, block))
        fits = "" if gap.complete else f"features: {len(gap.missing)} columns missing"
        candidates.append(Candidate(listing, quality, fits, halted(listing.record)))
    unused = tuple(
        f"{table.name} is not used: {refuse_missing(best, table, match(best, table))}"
        for table in question.tables
        if table not in readable
    )
    return Reading(cases, known, label_column(best, known), tuple(candidates), choices, unused)


def _best_about(listings: Sequence[Listing], text: str) -> Listing:
    return min(listings, key=lambda one: (not is_about(one, text), one.name))


def pair(
    question: Question, reading: Reading, first: Listing | None, block: Callable[[Cid], bytes]
) -> tuple[Listing, Listing]:
    """The two models a comparison is about: the routed one (or the best) first, then the one the question names."""
    readers = [one for one in reading.listings if match(one, reading.known).complete and one.classes]
    quality = {candidate.listing.name: candidate.quality_ppm for candidate in reading.candidates}
    if first is None:
        unnamed = sorted(
            readers, key=lambda one: (_named(one, question.text, readers, block) > 0, -quality[one.name], one.name)
        )
        first = unnamed[0] if unnamed else None
    others = [one for one in readers if first is not None and one.cid != first.cid and one.classes == first.classes]
    if first is None or not others:
        raise NothingToCompare(table=reading.known.name)
    second = max(others, key=lambda one: (_named(one, question.text, readers, block), quality[one.name], one.name))
    return first, second


def _named(listing: Listing, text: str, among: Sequence[Listing], block: Callable[[Cid], bytes]) -> int:
    """How clearly the question names this model: by words of its name that others lack, or by what it is."""
    spoken = set(words.stems(text))
    common = set.intersection(*(set(words.stems(one.name)) for one in among)) if len(among) > 1 else set()
    score = 2 * len((set(words.stems(listing.name)) - common) & spoken)
    if spoken & (_LINEAR | _NETWORK):
        try:
            linear = weights(listing, block).is_linear
        except PrsmError:
            return score  # its weights cannot be read: what it is stays unknown
        score += 3 * bool(spoken & (_LINEAR if linear else _NETWORK))
    return score
