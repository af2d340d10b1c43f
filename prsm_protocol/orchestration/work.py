"""The state of one answer while it is worked out, and how its attempts go on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prsm_protocol.errors import PrsmError
from prsm_protocol.orchestration.budget import Account
from prsm_protocol.orchestration.claims import Source
from prsm_protocol.orchestration.health import Health
from prsm_protocol.orchestration.listings import Network, by_cid, weights
from prsm_protocol.orchestration.nodes import Delivered, Part
from prsm_protocol.orchestration.payments import Payments, SignedQuote
from prsm_protocol.orchestration.question import NO_WEI, Choice, NotDone, Plan, PlanNode, Question, Table
from prsm_protocol.orchestration.recognise import ChatModel
from prsm_protocol.orchestration.record import decision, task_spec
from prsm_protocol.orchestration.router import Candidate, NoEligibleModel, Route, Served
from prsm_protocol.orchestration.tasks.retrieve import Embedder
from prsm_protocol.rules.integer_layers import IntegerNetwork
from prsm_protocol.trace import blocks
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.seal import Ref
from prsm_protocol.types import Cid, Listing, Steps, Wei


@dataclass
class Attempted:
    """What one attempt brought. `open` are tasks whose end only the chain will tell."""

    number: int
    routed: Route
    delivered: dict[int, Delivered] = field(default_factory=dict)
    late: list[Delivered] = field(default_factory=list)
    open: list[tuple[str, Served, Part, SignedQuote]] = field(default_factory=list)
    quoted: Wei = NO_WEI
    error: PrsmError | None = None
    outcome: str = "failed"
    output: Ref | None = None
    verdicts: tuple[blocks.Verdict, ...] = ()


@dataclass
class Work:
    """All that one answer works with. Mutable on purpose: it is the state of one run, owned by one thread."""

    question: Question
    plan: Plan
    steps: Steps
    payments: Payments
    recorder: Recorder
    network: Network
    account: Account
    deadline: datetime
    tables: Mapping[str, Table]
    refs: Mapping[str, tuple[Ref, str]]
    candidates: Sequence[Candidate]
    label_columns: Mapping[str, int | None]
    chat: ChatModel | None = None
    embedder: Embedder | None = None
    health: Health = field(default_factory=Health)
    sources: dict[str, Source] = field(default_factory=dict)
    memo: dict[Cid, Source] = field(default_factory=dict)
    specs: dict[str, Cid] = field(default_factory=dict)
    not_done: list[NotDone] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    deliveries: list[Delivered] = field(default_factory=list)
    used: list[Listing] = field(default_factory=list)
    networks: dict[str, IntegerNetwork] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unsettled: list[tuple[PlanNode, tuple[Attempted, ...]]] = field(default_factory=list)

    def listing(self, cid: str) -> Listing:
        found = by_cid([candidate.listing for candidate in self.candidates], cid)
        if found is None:
            raise NoEligibleModel(task="use", reasons=f"listing {cid[:16]}… is not found any more")
        if found.cid not in [known.cid for known in self.used]:
            self.used.append(found)
            assert found.cid is not None
            self.recorder.put_bytes(self.network.block(found.cid))
            self.recorder.put_bytes(self.network.block(found.weights))
        return found

    def weights(self, listing: Listing) -> IntegerNetwork:
        if listing.weights.text not in self.networks:
            self.networks[listing.weights.text] = weights(listing, self.network.block)
        return self.networks[listing.weights.text]

    def table_digest(self, name: str) -> bytes:
        return self.refs[name][0].digest


def start(work: Work, node: PlanNode, number: int, choice: Choice) -> None:
    routed = work.recorder.put(decision(choice))
    work.recorder.record(f"{node.id}/{number}/started", "attempt_started", routed)


def end(work: Work, attempt: blocks.Attempt) -> Cid:
    cid = work.recorder.put(attempt)
    work.recorder.record(f"{attempt.node}/{attempt.number}/ended", "attempt_ended", cid)
    return cid


def record_reuse(work: Work, node: PlanNode, spec: Cid, source: Source) -> None:
    output = work.recorder.seal(dict(source.output))
    end(
        work,
        blocks.Attempt(spec, node.id, 1, node.kind, work.recorder.signer.did, "reused", source.tier, output=output),
    )
    work.sources[node.id] = source


def record_failure(work: Work, node: PlanNode, number: int, tier: str, error: PrsmError, quoted: Wei = NO_WEI) -> None:
    detail = work.recorder.seal({"v": 1, "kind": "error", "text": str(error)})
    end(
        work,
        blocks.Attempt(
            work.specs[node.id],
            node.id,
            number,
            node.kind,
            work.recorder.signer.did,
            "failed",
            tier,
            error=blocks.AttemptError(error.name, detail),
            quoted=quoted,
        ),
    )


def specs_of(work: Work) -> dict[str, blocks.TaskSpec]:
    return {node.id: task_spec(node, work.recorder, work.refs, work.question.least_tier) for node in work.plan.nodes}
