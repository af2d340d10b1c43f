"""The blocks of a run's record: frozen dataclasses and their DAG-CBOR form.

Every block is a map with `v` = 1 and `kind`; amounts are 32 bytes. `encode`/`decode` turn a dataclass into a block and
back, `sign` signs the CID of the block without its signature. Payloads (tables, predictions, answers …) are plain maps.

| kind | dataclass | who signs, in which domain |
|---|---|---|
| task_spec, task_graph, attempt, message, decision | same names | nobody: events that link them are signed |
| event | `Event` | the run's key (`Delegation.key`), domain `event`, over the CID of `body` |
| delegation, run_head | `Delegation`, `RunHead` | the asker, domains `delegation`, `head` |
| receipt | `types.Receipt` | the operator's identity, domain `receipt` |
| openings | `Openings` | nobody: each opening fits its seal or not |
| evidence | `evidence.Evidence` | nobody: each value fits the receipts and the chain or not |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from prsm_protocol.trace import dag_cbor
from prsm_protocol.trace.fields import BlockInvalid, from_plain, to_plain
from prsm_protocol.trace.seal import Opening, Ref, Sealed
from prsm_protocol.types import DAG_CBOR, Cid, Receipt, Signer, Wei

T = TypeVar("T")

NO_WEI = Wei(0)

EVENTS = frozenset({
    "run_started", "decision_made", "question_asked", "question_answered", "budget_locked", "graph_split",
    "split_refused", "attempt_started", "attempt_ended", "hedge_started", "breaker_opened", "conflict_found",
    "answer_compiled", "payment_acknowledged", "escrow_released", "escrow_refunded", "halted", "resumed", "run_ended",
})  # fmt: skip
OUTCOMES = frozenset({"accepted", "rejected", "refused", "failed", "cancelled", "reused"})
TIERS = ("trusted", "own", "staked", "proved")


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Input:
    name: str
    ref: Ref
    media_type: str = ""


@dataclass(frozen=True)
class Check:
    """What a result must hold, fixed before anybody works. `path` is a JSON pointer into the output, "" the whole."""

    name: str
    path: str = ""
    arguments: Mapping[str, object] = field(default_factory=dict)
    decides_payment: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """No parent, rank or budget: its CID is the identity by which equal tasks run once."""

    task: str
    goal: Ref
    inputs: tuple[Input, ...]
    output_schema: Cid | None
    acceptance: tuple[Check, ...]
    least_tier: str


@dataclass(frozen=True)
class GraphNode:
    task: Cid
    parent: str | None
    rank: int
    budget: Wei
    deadline_us: int


@dataclass(frozen=True)
class Edge:
    """`type` is data, order or decision; `input` names the input of the target that the data fills."""

    source: str = field(metadata={"key": "from"})
    target: str = field(metadata={"key": "to"})
    type: str = "data"
    input: str | None = None


@dataclass(frozen=True)
class TaskGraph:
    """One split. The run's whole graph is the fold of its splits; a node named again is named with equal fields."""

    root: str
    nodes: Mapping[str, GraphNode]
    edges: tuple[Edge, ...]
    decision: Cid | None


# ── work ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ModelUse:
    name: str
    listing: Cid | None = None
    weights: Cid | None = None
    adapter: Cid | None = None


@dataclass(frozen=True)
class Sampling:
    temperature_ppm: int = 0
    top_p_ppm: int = 1_000_000
    seed: int = 0
    max_tokens: int = 0


@dataclass(frozen=True)
class AttemptError:
    code: str
    detail: Ref | None = None


@dataclass(frozen=True)
class Used:
    """What an attempt used; as `types.Usage`, with times that `models` measures."""

    rows: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    load_us: int = 0
    queue_us: int = 0
    run_us: int = 0


@dataclass(frozen=True)
class Verdict:
    """`measured` is a number or a word in text, never a float."""

    check: str
    passed: bool
    measured: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One try of a node: who worked, what came out, what it cost. `tier` is proved, staked, trusted or own."""

    task: Cid
    node: str
    number: int
    role: str
    actor: str
    outcome: str
    tier: str
    model: ModelUse | None = None
    prompt: Cid | None = None
    sampling: Sampling | None = None
    messages: tuple[Cid, ...] = ()
    output: Ref | None = None
    error: AttemptError | None = None
    usage: Used = Used()
    quoted: Wei = NO_WEI
    charged: Wei = NO_WEI
    receipts: tuple[Cid, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class MessageNode:
    """Stored once; branches are leaves. `origin` is instruction, data or model."""

    parent: Cid | None
    role: str
    origin: str
    content: Ref
    sampled: bool = False


@dataclass(frozen=True)
class DecidedBy:
    """`how` is caller, rule, model or default."""

    how: str
    name: str
    version: str = "1"
    listing: Cid | None = None


@dataclass(frozen=True)
class Option:
    """`why` holds a reason code with numbers, never text of the user's."""

    id: str
    score_ppm: int = 0
    why: object = None


@dataclass(frozen=True)
class Decision:
    """`matter` is kind, plan, split, route, parallel, clarify, budget, conflict or replace."""

    matter: str
    by: DecidedBy
    options: tuple[Option, ...]
    chosen: str | None
    confidence_ppm: int | None = None
    assumptions: tuple[Ref, ...] = ()


# ── the chain of events ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class EventBody:
    run: bytes
    seq: int
    prev: Cid | None
    event: str
    subject: Ref | None
    wall_us: int
    mono_us: int
    actor: str


@dataclass(frozen=True)
class Event:
    """Signed over the CID of the body; `prev` and the Merkle tree name the CID of the whole block."""

    body: EventBody
    signature: bytes = b""


@dataclass(frozen=True)
class Delegation:
    """The asker lets a fresh key write this run until `not_after_us`, so the asker's own key need not lie open."""

    run: bytes
    asker: str
    key: str
    not_after_us: int
    signature: bytes = b""


@dataclass(frozen=True)
class RunHead:
    """A run as the asker vouches for it; a later head (`settled`) extends an earlier one. `state` is answered, partial,
    refused, failed, cancelled or settled; `locked` = `spent` + `refunded` + `open`."""

    run: bytes
    asker: str
    question: Ref
    state: str
    answer: Ref | None
    tier: str
    events: int
    merkle_root: bytes
    last: Cid | None
    delegation: Cid | None
    locked: Wei
    spent: Wei
    refunded: Wei
    open: Wei
    previous: Cid | None
    started_us: int
    ended_us: int
    signature: bytes = b""


@dataclass(frozen=True)
class Openings:
    """`withheld` names links whose blocks were left out on purpose."""

    openings: tuple[Opening, ...]
    withheld: tuple[Cid, ...] = ()


# ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

KINDS: dict[type, str] = {
    TaskSpec: "task_spec",
    TaskGraph: "task_graph",
    Attempt: "attempt",
    MessageNode: "message",
    Decision: "decision",
    Event: "event",
    Delegation: "delegation",
    RunHead: "run_head",
    Receipt: "receipt",
    Openings: "openings",
}


def to_map(value: object, *, signed: bool = True) -> dict[str, object]:
    """The block's map; without `signature` it is what is signed."""
    block: dict[str, object] = {"v": 1, "kind": KINDS[type(value)], **to_plain(value)}
    if not signed:
        block.pop("signature", None)
    return block


def encode(value: object) -> bytes:
    return dag_cbor.encode(to_map(value))


def cid_of(value: object) -> Cid:
    return Cid.of(encode(value), DAG_CBOR)


def decode(kind: type[T], data: bytes) -> T:
    """Read a block of this kind; a stranger's block is checked field by field."""
    block = dag_cbor.decode(data)
    name = KINDS[kind]
    if not isinstance(block, dict) or block.get("v") != 1 or block.get("kind") != name:
        raise BlockInvalid(kind=name, field="kind", reason="or version is another")
    return from_plain(kind, block, name)


def kind_of(data: bytes) -> str:
    """The block's kind, "" if it has none."""
    block = dag_cbor.decode(data)
    kind = block.get("kind") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else ""


def signed_message(value: object) -> bytes:
    """The CID bytes that are signed: of an event its body's, of other blocks that of the block without signature."""
    plain = to_plain(value.body) if isinstance(value, Event) else to_map(value, signed=False)
    return Cid.of(dag_cbor.encode(plain), DAG_CBOR).bytes


_DOMAINS: dict[type, str] = {Event: "event", Delegation: "delegation", RunHead: "head", Receipt: "receipt"}


def domain_of(value: object) -> str:
    return _DOMAINS[type(value)]


def sign(value: T, signer: Signer) -> T:
    """The block with its signature; a receipt also gets its `by`."""
    unsigned = replace(value, by=signer.did) if isinstance(value, Receipt) else value
    signature = signer.sign(domain_of(unsigned), signed_message(unsigned))
    return replace(unsigned, signature=signature)  # type: ignore[type-var]


def receipt_block(receipt: Receipt) -> bytes:
    return encode(receipt)


def receipt_from_block(data: bytes) -> Receipt:
    return decode(Receipt, data)


__all__ = [
    "EVENTS", "OUTCOMES", "TIERS", "Attempt", "AttemptError", "Check", "DecidedBy", "Decision", "Delegation", "Edge",
    "Event", "EventBody", "GraphNode", "Input", "MessageNode", "ModelUse", "Opening", "Openings", "Option", "Receipt",
    "Ref", "RunHead", "Sampling", "Sealed", "TaskGraph", "TaskSpec", "Used", "Verdict", "cid_of", "decode",
    "domain_of", "encode", "kind_of", "receipt_block", "receipt_from_block", "sign", "signed_message", "to_map",
]  # fmt: skip
