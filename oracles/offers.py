"""What this node offers: listings found on the chain, checked, and joined with the circuits its prover holds.

A listing counts when its block is signed by the one it names, its anchor was sent by the owner of its record, and its
weights are a network that fits it. What cannot be fetched yet is asked for again, so a late gateway costs time only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oracles.config import NodeConfig
from oracles.policy import with_margin
from oracles.prover import HeldCircuit, Prover, ProverBusy, ProverRefused, ProverUnreachable
from oracles.runners import onnx
from oracles.store import Store
from prsm_protocol.content import Retriever
from prsm_protocol.content.listing import check_listing, decode_listing
from prsm_protocol.errors import NodeError, PrsmError
from prsm_protocol.identity import verify
from prsm_protocol.rules.oracle.circuits import circuit_id
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.types import Cid, CircuitRef, Listing

_RETRY_SECONDS = 30.0
"""How soon a listing that could not be fetched is asked for again."""


class OfferUnknown(NodeError):
    text = "listing {listing} is not offered here; `GET /v1/offers` names what is"


class AnchorForeign(NodeError):
    text = "listing {listing} was anchored by {by}, its record belongs to {owner}; it is ignored"


@dataclass(frozen=True)
class OfferedCircuit:
    ref: CircuitRef
    held: HeldCircuit


@dataclass(frozen=True)
class Offer:
    """One listing as this node serves it, at its own price."""

    listing: Listing
    loaded: onnx.Loaded
    tiers: tuple[str, ...]
    circuits: tuple[OfferedCircuit, ...]
    price_base: int
    price_per_row: int

    @property
    def cid(self) -> Cid:
        assert self.listing.cid is not None
        return self.listing.cid

    def circuit(self, wanted: bytes) -> OfferedCircuit | None:
        return next((circuit for circuit in self.circuits if circuit.ref.id == wanted), None)

    def price(self, rows: int) -> int:
        return self.price_base + self.price_per_row * rows


class Catalogue:
    """Listings followed on the chain and what became of them."""

    def __init__(
        self,
        config: NodeConfig,
        store: Store,
        retriever: Retriever,
        prover: Prover | None,
        *,
        files: Path,
        owner_of: Callable[[bytes], str],
    ) -> None:
        self._config = config
        self._store = store
        self._retriever = retriever
        self._prover = prover
        self._files = files
        self._owner_of = owner_of
        self._lock = threading.Lock()
        self._loaded: dict[str, onnx.Loaded] = {}
        self._refused: dict[str, str] = {}
        self._next_try: dict[str, float] = {}
        self._held: dict[str, HeldCircuit] = {}

    def refresh(self) -> None:
        """Fetch what is new and ask the prover what it holds. Called by one task; readers see whole results."""
        if self._prover is not None:
            try:
                held = {circuit.manifest.text: circuit for circuit in self._prover.circuits()}
            except (ProverUnreachable, ProverRefused, ProverBusy):
                held = {}  # nothing is offered as proved that cannot be proved now
            with self._lock:
                self._held = held
        for cid_text, record, by in self._wanted():
            if cid_text in self._loaded or self._next_try.get(cid_text, 0.0) > time.monotonic():
                continue
            try:
                loaded = self._load(Cid.parse(cid_text), record, by)
            except PrsmError as error:
                self._refused[cid_text] = str(error)
                self._next_try[cid_text] = time.monotonic() + _RETRY_SECONDS
                continue
            with self._lock:
                self._loaded[cid_text] = loaded
                self._refused.pop(cid_text, None)

    def offers(self) -> list[Offer]:
        with self._lock:
            loaded, held = list(self._loaded.values()), dict(self._held)
        return [self._offer(entry, held) for entry in loaded]

    def offer(self, cid: str) -> Offer:
        with self._lock:
            loaded, held = self._loaded.get(cid), dict(self._held)
        if loaded is None:
            raise OfferUnknown(listing=cid)
        return self._offer(loaded, held)

    def refused(self) -> dict[str, str]:
        """Listings that are not offered, and why: shown by `status`."""
        return dict(self._refused)

    def model_file(self, listing: Listing) -> Path:
        """The ONNX file on the disk, fetched once and named by its id."""
        path = self._files / f"{listing.model}.onnx"
        if not path.exists():
            data = self._retriever.file(listing.model)
            aside = path.with_suffix(".part")
            aside.write_bytes(data)
            aside.replace(path)
        return path

    def _wanted(self) -> list[tuple[str, bytes, str]]:
        rows = self._store.listings()
        if self._config.serve == "listed":
            return rows
        chosen = {offer.listing for offer in self._config.offers}
        return [row for row in rows if row[0] in chosen]

    def _load(self, cid: Cid, record: bytes, by: str) -> onnx.Loaded:
        listing = decode_listing(self._retriever.get(cid), cid)
        check_listing(listing, verify)
        owner = self._owner_of(record)
        if listing.record != record or by.lower() != owner.lower() or listing.owner.lower() != owner.lower():
            raise AnchorForeign(listing=cid, by=by, owner=owner)
        return onnx.load(listing, self._retriever.get(listing.weights))

    def _offer(self, loaded: onnx.Loaded, held: dict[str, HeldCircuit]) -> Offer:
        listing = loaded.listing
        circuits = tuple(
            OfferedCircuit(ref, held[ref.manifest.text])
            for ref in listing.circuits
            if ref.manifest.text in held and _is_same(ref, held[ref.manifest.text])
        )
        margin = self._config.price.margin_bps
        allowed = next((offer.tiers for offer in self._config.offers if offer.listing == str(listing.cid)), None)
        tiers = tuple(
            tier
            for tier in ("proved", "trusted")
            if (tier in listing.tiers and (tier == "trusted" or circuits)) and (allowed is None or tier in allowed)
        )
        return Offer(
            listing,
            loaded,
            tiers,
            circuits,
            with_margin(listing.price.base, margin),
            with_margin(listing.price.per_row, margin),
        )


def _is_same(ref: CircuitRef, held: HeldCircuit) -> bool:
    """Is the listed id the one that the router derives from what our prover checked: manifest, code, layout, set-up?"""
    layout = Layout(held.inputs, held.outputs, held.input_visibility == "hashed")
    return ref.id == circuit_id(ref.manifest.digest, held.code_hash, layout, Setup[held.setup.upper()])
