"""What models are offered, by whom, and which of them fits a table. Signed blocks found on the chain; nothing is believed
without its signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import exp, lgamma, log
from typing import Protocol

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration import words
from prsm_protocol.orchestration.question import Table, fold
from prsm_protocol.rules.integer_layers import IntegerNetwork, WeightsInvalid, from_block
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import Cid, Listing, Signer, Wei


class ColumnsMissing(OrchestrationError):
    text = "table {table} lacks {missing}, which the model {listing} needs; {nearest}rename or add the column"


class NodeClient(Protocol):
    """One operator's node, as far as asking it for work goes."""

    def quotes(self, query: dict[str, object]) -> dict[str, object]: ...

    def send_input(self, task_id: bytes, body: dict[str, object]) -> None: ...

    def task(self, task_id: bytes) -> dict[str, object]: ...

    def result(self, task_id: bytes) -> dict[str, object]: ...


@dataclass(frozen=True)
class OfferedCircuit:
    circuit_id: bytes
    manifest: str
    input_visibility: str
    batch_rows: int


@dataclass(frozen=True)
class NodeOffer:
    """What one node says it does for one listing, at which price and how fast. Its figures weigh nothing until measured."""

    url: str
    operator: str
    did: str
    listing: str
    tiers: tuple[str, ...]
    circuits: tuple[OfferedCircuit, ...]
    price_base: Wei
    price_per_row: Wei
    p50_seconds: int
    p95_seconds: int

    def price(self, rows: int) -> Wei:
        return Wei(self.price_base + self.price_per_row * rows)


class Network(Protocol):
    """Everything outside that answering needs to see; the money is behind `Payments`."""

    @property
    def identity(self) -> Signer: ...

    @property
    def job_known(self) -> bool:
        """Is there a chain behind this network, so that results can be paid and looked up?"""
        ...

    def listings(self) -> list[Listing]:
        """Signed listings whose sender owns the record, newest first."""
        ...

    def offers(self) -> list[NodeOffer]:
        """Offers of the nodes that answer now."""
        ...

    def node(self, url: str) -> NodeClient: ...

    def block(self, cid: Cid) -> bytes:
        """A block by its CID, verified."""
        ...

    def task_status(self, task_id: bytes) -> str:
        """Escrow's word on a task: none, assigned, delivered, paid, refunded or split."""
        ...

    def halted(self, record: bytes) -> bool: ...


# ── fitting a table ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Match:
    """Which column of the table feeds which feature of the listing; `missing` pairs features with the nearest columns."""

    columns: tuple[int, ...]
    missing: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def complete(self) -> bool:
        return not self.missing


def match(listing: Listing, table: Table) -> Match:
    """Columns by folded name or by the listing's aliases."""
    positions = {fold(column): index for index, column in enumerate(table.columns)}
    columns: list[int] = []
    missing: list[tuple[str, tuple[str, ...]]] = []
    for feature in listing.features:
        found = next(
            (positions[name] for name in map(fold, (feature.name, *feature.aliases)) if name in positions), None
        )
        if found is None:
            near = get_close_matches(fold(feature.name), list(positions), n=2, cutoff=0.5)
            missing.append((feature.name, tuple(table.columns[positions[name]] for name in near)))
        else:
            columns.append(found)
    return Match(tuple(columns), tuple(missing))


def refuse_missing(listing: Listing, table: Table, found: Match) -> ColumnsMissing:
    names = ", ".join(repr(feature) for feature, _ in found.missing[:5])
    more = f" and {len(found.missing) - 5} more columns" if len(found.missing) > 5 else ""
    near = "; ".join(
        f"nearest to {feature!r}: {' or '.join(map(repr, close))}" for feature, close in found.missing[:5] if close
    )
    return ColumnsMissing(
        table=table.name, missing=names + more, listing=listing.name, nearest=near + "; " if near else ""
    )


def label_column(listing: Listing, table: Table) -> int | None:
    """The column that holds the true class (or number): named like the target, or holding nothing but the classes."""
    used = set(match(listing, table).columns)
    classes = {fold(name) for name in listing.classes}
    for index, column in enumerate(table.columns):
        if index in used:
            continue
        values = {fold(row[index]) for row in table.rows if row[index]}
        if fold(column) == fold(listing.target) and values and (not classes or values <= classes):
            return index
        if classes and len(values) > 1 and values <= classes:
            return index
    return None


def class_named(listing: Listing, cell: str) -> str:
    """The listing's spelling of a class, or the cell as it stands."""
    return next((name for name in listing.classes if fold(name) == fold(cell)), cell)


def is_about(listing: Listing, text: str) -> bool:
    """Does the question name the listing's target or one of its classes?"""
    spoken = words.stems(text)
    return any(words.mentions(spoken, name) for name in (listing.target, *listing.classes))


# ── weights and quality ──────────────────────────────────────────────────────────────────────────────────────────────


def weights(listing: Listing, block: Callable[[Cid], bytes]) -> IntegerNetwork:
    """The integer network behind a listing; refused when it does not fit the listing's own words."""
    value = dag_cbor.decode(block(listing.weights))
    if not isinstance(value, dict):
        raise WeightsInvalid(reason="it is no map")
    network = from_block(value)
    outputs = len(listing.classes) if len(listing.classes) > 2 else 1
    if network.bits != listing.bits or network.inputs != len(listing.features) or network.outputs != outputs:
        raise WeightsInvalid(
            reason=f"bits, inputs, outputs are {network.bits}, {network.inputs}, {network.outputs}; "
            f"the listing says {listing.bits}, {len(listing.features)}, {outputs}"
        )
    return network


def measured_quality(listing: Listing, block: Callable[[Cid], bytes]) -> tuple[int, int]:
    """(right, total) summed over the listing's evaluations that can be read; what is only advertised counts nothing."""
    right = total = 0
    for cid in listing.evaluations:
        try:
            value = dag_cbor.decode(block(cid))
        except Exception as error:  # a stranger's block: unreadable ones weigh nothing, whatever is wrong with them
            if (
                not isinstance(error, (OrchestrationError, ValueError))
                and type(error).__module__.split(".")[0] != "prsm_protocol"
            ):
                raise
            continue
        found = _score(value)
        if found is not None:
            right, total = right + found[0], total + found[1]
    return right, total


def _score(value: object) -> tuple[int, int] | None:
    if not isinstance(value, dict):
        return None
    right, total = value.get("right"), value.get("total")
    if isinstance(right, int) and isinstance(total, int) and 0 <= right <= total and total > 0:
        return right, total
    for name in ("score", "agreement", "accuracy", "student"):
        found = _score(value.get(name))
        if found is not None:
            return found
    return None


def lower_bound_ppm(right: int, total: int) -> int:
    """10 % quantile, in millionths, of the share of right answers, seen from a uniform prior (Beta(1, 1))."""
    a, b = right + 1, total - right + 1
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if _beta_below(middle, a, b) < 0.1:
            low = middle
        else:
            high = middle
    return int(low * 1_000_000)


def _beta_below(x: float, a: int, b: int) -> float:
    """P(Beta(a, b) ≤ x) = P(Binomial(a + b − 1, x) ≥ a)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    n = a + b - 1
    terms = (
        lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(x) + (n - k) * log(1 - x) for k in range(a, n + 1)
    )
    return sum(exp(term) for term in terms)


def by_cid(listings: Sequence[Listing], cid: str) -> Listing | None:
    return next((listing for listing in listings if listing.cid is not None and listing.cid.text == cid), None)
