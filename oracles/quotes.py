"""A quote is the signed assignment itself: what the buyer may put on the chain, valid for a minute and kept over restarts.

The same asker asking for the same thing gets the same quote while it is valid, so a repeated request binds capacity once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from oracles.attest import Attester
from oracles.config import NodeConfig
from oracles.inputs import MOST_ROWS
from oracles.next_step import Work
from oracles.offers import Catalogue, Offer, OfferedCircuit
from oracles.policy import DELIVER_GAS, Declined, Query, Situation, judge
from oracles.store import Store, TaskRow
from prsm_protocol.chain import Chain
from prsm_protocol.errors import NodeError
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, job_id
from prsm_protocol.rules.oracle.tiers import Tier, VerdictClass
from prsm_protocol.types import Wei

NO_CIRCUIT = bytes(32)
_TRUSTED_SECONDS = 2
"""High estimate of an integer run with its delivery: milliseconds of work and a block."""
_PROOF_FACTOR = 3
"""A single proof takes this much longer than measured at worst, on a machine that does other things too."""
_QUEUE_FACTOR = 2
"""Of many in a row the slow ones are evened out by the others."""
_DELIVERY_SECONDS = 0.5


class TooManyOpen(NodeError):
    text = "{open} requests for quotes of yours are open, at most {most}; assign them or wait {retry_after} s"


class SaltRepeated(NodeError):
    text = "salt {salt} stands twice in the request; every part needs its own, it makes the task's id unique"


@dataclass(frozen=True)
class Part:
    input_hash: bytes
    salt: int
    rows: int = 1


@dataclass(frozen=True)
class Request:
    """What an asker wants, read and checked for form."""

    asker: str
    terms: JobTerms
    listing: str
    tier: str
    circuit_id: bytes | None
    spec: bytes
    parts: tuple[Part, ...]
    deliver_within: int

    @property
    def key(self) -> str:
        """The same question of the same asker."""
        text = json.dumps(
            [
                self.asker,
                self.terms.to_json(),
                self.listing,
                self.tier,
                (self.circuit_id or b"").hex(),
                self.spec.hex(),
                [[part.input_hash.hex(), str(part.salt), part.rows] for part in self.parts],
                self.deliver_within,
            ]
        )
        return sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Quote:
    assignment: Assignment
    signature: bytes
    task_id: bytes
    seconds: int


class Quotes:
    """Judges requests and signs assignments."""

    def __init__(
        self,
        config: NodeConfig,
        store: Store,
        chain: Chain,
        catalogue: Catalogue,
        attester: Attester,
        *,
        operator: str,
        payee: str,
        facts: Callable[[], Facts],
    ) -> None:
        self._config = config
        self._store = store
        self._chain = chain
        self._catalogue = catalogue
        self._attester = attester
        self._operator = operator
        self._payee = payee
        self._facts = facts

    def give(self, request: Request) -> list[Quote]:
        """Signed assignments for all parts, or the one reason why not."""
        facts = self._facts()
        before = self._store.tasks_of_request(request.key)
        if before and all(row.quote_until > facts.now for row in before):
            return [quote_of(row) for row in before]
        if len({part.salt for part in request.parts}) != len(request.parts):
            raise SaltRepeated(salt=request.parts[0].salt)
        offer = self._catalogue.offer(request.listing)
        circuit = None if request.circuit_id is None else offer.circuit(request.circuit_id)
        self._check_open(request.asker, facts.now)
        seconds = estimate_seconds(request.tier, circuit, self._ahead() + len(request.parts))
        refusal = judge(self._query(request, offer, circuit), self._situation(request, offer, circuit, facts, seconds))
        if refusal is not None:
            raise refusal
        quotes = [self._quote(request, part, offer, circuit, facts, seconds) for part in request.parts]
        with self._store.transaction():
            for quote, part in zip(quotes, request.parts, strict=True):
                self._store.put_task(
                    "0x" + quote.task_id.hex(),
                    request=request.key,
                    asker=request.asker,
                    quote=_to_json(quote, request, part),
                    quote_until=quote.assignment.quote_until,
                )
        return quotes

    def _quote(
        self, request: Request, part: Part, offer: Offer, circuit: OfferedCircuit | None, facts: Facts, seconds: int
    ) -> Quote:
        tier = Tier[request.tier.upper()]
        assignment = Assignment(
            job_id=job_id(facts.chain_id, facts.escrow, request.terms),
            operator=self._operator,
            payee=self._payee,
            records=(offer.listing.record,),
            circuit_id=circuit.ref.id if tier is Tier.PROVED and circuit is not None else NO_CIRCUIT,
            input_hash=part.input_hash,
            spec=request.spec,
            price=Wei(offer.price(part.rows)),
            at_risk=Wei(0),
            tier=int(tier),
            verdict_class=int(VerdictClass.EXACT),
            deliver_within=request.deliver_within,
            window=self._config.quotes.trusted_window_seconds or facts.window_min,
            started_bps=0,
            quote_until=facts.now + self._config.quotes.valid_seconds,
            salt=part.salt,
        )
        return Quote(assignment, self._attester.assignment(assignment), assignment.struct_hash(), seconds)

    def _query(self, request: Request, offer: Offer, circuit: OfferedCircuit | None) -> Query:
        if request.tier == "proved":
            fits = circuit is not None and all(part.rows == circuit.ref.batch_rows for part in request.parts)
        else:
            fits = all(1 <= part.rows <= MOST_ROWS for part in request.parts)
        return Query(
            tier=request.tier,
            parts=len(request.parts),
            rows=sum(part.rows for part in request.parts),
            rows_fit=fits,
            deliver_within=request.deliver_within,
            price=sum(offer.price(part.rows) for part in request.parts),
        )

    def _situation(
        self, request: Request, offer: Offer, circuit: OfferedCircuit | None, facts: Facts, seconds: int
    ) -> Situation:
        coin = self._config.price.ftns_per_coin
        return Situation(
            is_draining=facts.is_draining,
            is_registered=facts.is_registered,
            tiers=offer.tiers,
            circuit_is_held=circuit is not None,
            circuit_is_enabled=circuit is not None and self._chain.router.is_enabled(circuit.ref.id),
            model_is_halted=self._chain.provenance.is_halted(offer.listing.record),
            estimate_seconds=seconds,
            confirm_seconds=2,
            gas_cost=int(DELIVER_GAS.get(request.tier, 0) * facts.gas_price * coin),
            job_free=self._chain.escrow.job(job_id(facts.chain_id, facts.escrow, request.terms)).free,
            open_tasks=self._ahead(),
            most_open_tasks=self._config.quotes.open_tasks,
            most_parts=self._config.quotes.parts,
            gas_is_low=facts.gas_is_low,
        )

    def _ahead(self) -> int:
        """Tasks that still need work here; what is signed waits for the chain alone and takes no capacity."""
        return sum(1 for row in self._store.open_tasks() if row.work not in (Work.SIGNED, Work.UNABLE))

    def _check_open(self, asker: str, now: int) -> None:
        waiting = {
            row.request: row.quote_until
            for row in self._store.open_tasks()
            if row.asker == asker and row.work.value == "quoted" and row.quote_until > now
        }
        most = self._config.quotes.open_per_asker
        if len(waiting) >= most:
            raise TooManyOpen(open=len(waiting), most=most, retry_after=max(1, min(waiting.values()) - now))


@dataclass(frozen=True)
class Facts:
    """What the rest of the node knows at the moment of a quote; `now` is chain time."""

    now: int
    chain_id: int
    escrow: str
    window_min: int
    is_draining: bool
    is_registered: bool
    gas_price: int
    gas_is_low: bool


def estimate_seconds(tier: str, circuit: OfferedCircuit | None, proofs: int) -> int:
    """High estimate until the last of `proofs` results is delivered, one after the other."""
    if tier == "proved" and circuit is not None:
        one = circuit.held.prove_seconds
        return int(_QUEUE_FACTOR * (one + _DELIVERY_SECONDS) * proofs + _PROOF_FACTOR * one) + 5
    return _TRUSTED_SECONDS + proofs // 8


def one_seconds(tier: str, prove_seconds: float) -> int:
    """High estimate of one task from a stored input, used to decline in time."""
    return int(_PROOF_FACTOR * prove_seconds) + 2 if tier == "proved" else 1


def _to_json(quote: Quote, request: Request, part: Part) -> dict[str, object]:
    return {
        "assignment": quote.assignment.to_json(),
        "signature": "0x" + quote.signature.hex(),
        "seconds": quote.seconds,
        "terms": request.terms.to_json(),
        "listing": request.listing,
        "tier": request.tier,
        "rows": part.rows,
    }


def quote_of(row: TaskRow) -> Quote:
    assignment = assignment_of(row)
    seconds = row.quote["seconds"]
    assert isinstance(seconds, int)
    return Quote(assignment, bytes.fromhex(str(row.quote["signature"])[2:]), assignment.struct_hash(), seconds)


def assignment_of(row: TaskRow) -> Assignment:
    found = row.quote["assignment"]
    assert isinstance(found, dict)
    return Assignment.from_json(found)


def terms_of(row: TaskRow) -> JobTerms | None:
    """None for a task that this node does not know and whose job it has not seen."""
    found = row.quote.get("terms")
    return JobTerms.from_json(found) if isinstance(found, dict) else None


__all__ = ["Declined", "Facts", "Part", "Quote", "Quotes", "Request", "assignment_of", "quote_of", "terms_of"]
