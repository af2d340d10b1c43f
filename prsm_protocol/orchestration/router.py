"""Which listing does the work, on whose node: eligible first, each failure a named reason; then measured quality per price
and time.

The router sees the question, listings, offers and counts of rows; never a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration.health import Health
from prsm_protocol.orchestration.listings import NodeOffer, OfferedCircuit, is_about
from prsm_protocol.orchestration.question import TIERS, Choice, Question
from prsm_protocol.types import Listing, Wei

_WEIGHTS = {
    "cheap": (1_000_000, 100_000),
    "balanced": (300_000, 300_000),
    "best": (50_000, 50_000),
    "fast": (100_000, 1_000_000),
}
"""(price, time) in millionths, by the asker's preference."""

_LICENCES_REFUSED = ("none", "proprietary-no-use")
_OPTIONS = 64


class NoEligibleModel(OrchestrationError):
    text = "no listed model can {task} this: {reasons}; `prsm models list` shows what is offered"


class TierUnavailable(OrchestrationError):
    text = "tier {wanted!r} was asked for, the best on offer is {best!r}; accept it with --accept-tier {best}"


@dataclass(frozen=True)
class Candidate:
    """A listing that fits the table, with what is known of it."""

    listing: Listing
    quality_ppm: int
    fits: str = ""  # why not, empty when columns and kind fit
    halted: bool = False


@dataclass(frozen=True)
class Served:
    """One node that may do a part: its offer, the tier and the circuit it is asked for."""

    offer: NodeOffer
    tier: str
    circuit: OfferedCircuit | None


@dataclass(frozen=True)
class Route:
    """The listings in order, the first one's nodes in order, and the recorded choice."""

    listing: Listing
    served: tuple[Served, ...]
    tier: str
    choice: Choice
    others: tuple[Listing, ...]


def serve(offer: NodeOffer, listing: Listing, question: Question) -> Served | str:
    """The strongest way in which this node may do it, or the reason why it may not."""
    circuit = next((c for c in offer.circuits if _usable(c, listing, question)), None)
    if "proved" in offer.tiers and circuit is not None:
        return Served(offer, "proved", circuit)
    if "proved" in offer.tiers and not question.public_data and offer.circuits:
        return "private: its circuits publish their input"
    if _too_weak("trusted", question.least_tier):
        return f"tier: trusted is under {question.least_tier}"
    if "trusted" not in offer.tiers:
        return "tier: nothing usable is offered"
    if not question.public_data:
        return "private: without a circuit that hashes its input the row's hash could be guessed"
    return Served(offer, "trusted", None)


def _usable(circuit: OfferedCircuit, listing: Listing, question: Question) -> bool:
    """A circuit the listing itself names, one row at a time, that does not publish a private row."""
    named = any(known.id == circuit.circuit_id for known in listing.circuits)
    return named and circuit.batch_rows == 1 and (question.public_data or circuit.input_visibility == "hashed")


def _too_weak(tier: str, least: str) -> bool:
    return TIERS.index(tier) > TIERS.index(least)


def route(
    candidates: Sequence[Candidate],
    offers: Sequence[NodeOffer],
    question: Question,
    *,
    rows: int,
    budget_left: Wei,
    seconds_left: int,
    health: Health,
    prefer: Sequence[str] = (),
) -> Route:
    """The best eligible listing with its nodes. `prefer` are CIDs of listings that the question itself names."""
    options: list[tuple[str, int, str]] = []
    ranked: list[tuple[tuple[object, ...], Listing, tuple[Served, ...]]] = []
    price_weight, time_weight = _WEIGHTS[question.preference]
    for candidate in candidates:
        listing = candidate.listing
        name = listing.cid.text if listing.cid is not None else listing.name
        reason, served = _judge(candidate, offers, question, rows, budget_left, health)
        if reason:
            options.append((name, 0, reason))
            continue
        cheapest, fastest = served[0].offer.price(1) * rows, min(s.offer.p95_seconds for s in served) * rows
        score = candidate.quality_ppm
        score -= price_weight * cheapest // max(1, budget_left)
        score -= time_weight * fastest // max(1, seconds_left)
        options.append((name, score, f"{served[0].tier}, {len(served)} nodes, quality {candidate.quality_ppm}"))
        key = (
            name not in prefer,
            not is_about(listing, question.text),
            TIERS.index(served[0].tier),
            -score,
            cheapest,
            name,
        )
        ranked.append((key, listing, served))
    if not ranked:
        _refuse(question, options, offers)
    ranked.sort(key=lambda entry: entry[0])
    _, listing, served = ranked[0]
    chosen = listing.cid.text if listing.cid is not None else listing.name
    choice = Choice("route", "rule", "measured", tuple(options[:_OPTIONS]), chosen)
    return Route(listing, served, served[0].tier, choice, tuple(entry[1] for entry in ranked[1:]))


def _judge(
    candidate: Candidate,
    offers: Sequence[NodeOffer],
    question: Question,
    rows: int,
    budget_left: Wei,
    health: Health,
) -> tuple[str, tuple[Served, ...]]:
    listing = candidate.listing
    if candidate.fits:
        return candidate.fits, ()
    if candidate.halted:
        return "halted", ()
    if listing.licence.casefold() in _LICENCES_REFUSED:
        return f"licence: {listing.licence}", ()
    named = [offer for offer in offers if listing.cid is not None and offer.listing == listing.cid.text]
    if not named:
        return "not offered: no node that answers serves it", ()
    served: list[Served] = []
    reasons: list[str] = []
    for offer in named:
        out = health.why_out(offer.url)
        verdict: Served | str = out or serve(offer, listing, question)
        if isinstance(verdict, str):
            reasons.append(verdict)
        elif offer.price(1) * rows > budget_left:
            reasons.append(f"quote: {offer.price(1) * rows} wei, left {budget_left} wei")
        else:
            served.append(verdict)
    if not served:
        return "; ".join(dict.fromkeys(reasons)), ()
    strongest = min(TIERS.index(s.tier) for s in served)
    best = [s for s in served if TIERS.index(s.tier) == strongest]
    best.sort(key=lambda s: (s.offer.price(1), s.offer.p95_seconds, s.offer.operator))
    return "", tuple(best)


def _refuse(question: Question, options: Sequence[tuple[str, int, str]], offers: Sequence[NodeOffer]) -> None:
    reasons = "; ".join(f"{name[:16]}… {why}" for name, _, why in options[:4]) or "nothing is listed"
    if options and all(why.startswith("tier: trusted is under") for _, _, why in options):
        raise TierUnavailable(wanted=question.least_tier, best="trusted")
    raise NoEligibleModel(task="predict", reasons=reasons)
