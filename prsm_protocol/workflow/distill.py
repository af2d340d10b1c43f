"""From a request to a listing: joins distillation, the prover, the chain and the metered channel in one durable run.

Data and teacher are registered first, each by its own owner; the student's record names both as parents, found from what was
used. A crash costs at most the step it hit, and nothing is paid twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from prsm_protocol.content.table import parse_table
from prsm_protocol.content.unixfs import add_bytes
from prsm_protocol.distillation import circuit as circuits
from prsm_protocol.distillation import export, extraction, provenance, publish, safety
from prsm_protocol.distillation.evaluation import Evaluation, Score, score, score_answers
from prsm_protocol.distillation.request import Dataset, prepare
from prsm_protocol.distillation.student_search import search
from prsm_protocol.distillation.training import digest, quantise, train
from prsm_protocol.errors import WorkflowError
from prsm_protocol.orchestration.listings import NodeOffer
from prsm_protocol.rules.channel.usage import Unit, UsageLine
from prsm_protocol.rules.integer_layers import IntegerNetwork, from_block
from prsm_protocol.rules.registry.lineage import Kind, Parent, Share, flatten
from prsm_protocol.rules.rows import Part
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import (
    DAG_CBOR,
    FTNS,
    Cid,
    CircuitRef,
    CircuitReport,
    Listing,
    Price,
    Progress,
    Retry,
    RunId,
    Steps,
    Waiting,
    Wei,
    format_ftns,
)
from prsm_protocol.workflow.channels import HomeChannels, OpenChannel
from prsm_protocol.workflow.home import Home
from prsm_protocol.workflow.market import ChainNetwork

BITS = 10
"""Fixed-point scale of words: a thousandth of a spread, and the largest word still fits the circuit's 32-bit decomposition."""
TEACHER_HIDDEN = (64, 64)
TEACHER_PRICE = Price(Wei(0), Wei(FTNS // 1000))
STUDENT_PRICE = Price(Wei(0), Wei(FTNS // 20))
LINEAR_PRICE = Price(Wei(0), Wei(FTNS // 50))
SEED = 20_26
OFFER_SECONDS = 60
CIRCUIT_ROWS = 400
"""Rows a circuit is calibrated and checked on; the held-out ones among them are what its agreement is measured on."""


class DistillBudgetTooLow(WorkflowError):
    text = "the budget is {budget} FTNS, distilling needs up to {needed}: {lines}"


class TeacherNotServed(WorkflowError):
    text = "no node serves teacher {teacher} as a metered model now; start a node that follows listings"


@dataclass(frozen=True)
class Shared:
    """A registered artifact: its record and its ancestors as the chain flattened them."""

    record: bytes
    artifact: Cid
    lineage: tuple[Share, ...]

    def as_parent(self, share_bps: int) -> Parent:
        return Parent(self.record, share_bps, self.lineage)


@dataclass(frozen=True)
class Distilled:
    """What a run of distilling ends with."""

    listing: Cid
    record: bytes
    teacher: Cid
    model_sha256: str
    weights: Cid
    student: Score
    teacher_score: Score
    shape: tuple[int, ...]
    circuit_k: int
    circuit_rows: int
    verify_gas: int
    prove_us: int
    circuit_peak_bytes: int
    paid_teacher: Wei
    royalty: Wei
    vouchers: int
    milestone: int


def load(home: Home, data: Cid, name: str, target: str) -> Dataset:
    """The same table, the same words: recomputed rather than stored."""
    return prepare(parse_table(home.retriever.file(data), name), target, bits=BITS)


# ── sharing what a student is made from ──────────────────────────────────────────────────────────────────────────────


def share_data(home: Home, steps: Steps, data: bytes, name: str, licence: str, *, publish_content: bool) -> Shared:
    """Register a table as a DATA record of this home. Its content is stored only where its owner publishes it."""
    key = f"data:{sha256(data).hexdigest()[:16]}"
    artifact = provenance.make(
        home.store,
        home.identity,
        home.address,
        kind=Kind.DATA,
        name=name,
        files={name: data} if publish_content else {},
        content_sha256=sha256(data).digest(),
        licence=licence,
        parents=(),
        created_us=0,
        royalty_bps=0,
        derivative_bps=provenance.DATA_DERIVATIVE_BPS,
    )
    publish.register(home.chain, home.sender, steps, key, artifact)
    return Shared(artifact.record, artifact.cid, ())


def share_model(
    home: Home,
    steps: Steps,
    data: Dataset,
    network: IntegerNetwork,
    parents: Sequence[Parent],
    *,
    name: str,
    tiers: tuple[str, ...],
    price: Price,
    circuits_: tuple[CircuitRef, ...] = (),
    trained_on: Cid,
    result: Score,
    derivative_bps: int,
    licence: str = "CC-BY-4.0",
) -> Listing:
    """Export, register with its parents, sign and anchor a listing. Repeating it with the same weights changes nothing."""
    model, weights = export.to_onnx(network), export.to_weights(network)
    export.check(network, model, [data.words[row] for row in data.rows_of(Part.VALIDATION)])
    key = f"model:{sha256(weights).hexdigest()[:16]}"
    evaluation = home.store.put(
        dag_cbor.encode(
            {
                "v": 1,
                "kind": "evaluation",
                "rows": "held_out",
                "right": result.right,
                "total": result.total,
                "by": home.identity.did,
            }
        ),
        DAG_CBOR,
    )
    artifact = provenance.make(
        home.store,
        home.identity,
        home.address,
        kind=Kind.MODEL,
        name=name,
        files={"model.onnx": model, "weights.cbor": weights},
        content_sha256=sha256(model).digest(),
        licence=licence,
        parents=tuple(parents),
        created_us=0,
        royalty_bps=provenance.MODEL_ROYALTY_BPS,
        derivative_bps=derivative_bps,
    )
    record = publish.register(home.chain, home.sender, steps, key, artifact)
    listing = Listing(
        name=name,
        record=record,
        owner=home.address,
        kinds=("predict",),
        features=data.features,
        classes=data.classes,
        target=data.target,
        bits=data.bits,
        model=add_bytes(home.store, model),
        weights=home.store.put(weights, DAG_CBOR),
        price=price,
        tiers=tiers,
        circuits=circuits_,
        licence=licence,
        may_distill=derivative_bps > 0,
        trained_on=(trained_on,),
        evaluations=(evaluation,),
        endpoints=(),
        ancestors=tuple(share.record for share in flatten(artifact.parents)),
        target_mean=data.target_mean,
        target_spread=data.target_spread,
    )
    return publish.list_it(home.chain, home.sender, home.store, home.identity, f"{key}:{len(circuits_)}", listing)


def make_teacher(
    home: Home, steps: Steps, data: Dataset, shared: Shared, *, hidden: tuple[int, ...], name: str, price: Price
) -> Listing:
    """Train on the training rows' labels alone and list as *trusted*: a teacher, or with no hidden layer a linear model."""
    network = quantise(train(data, hidden, seed=SEED), data.bits)
    return share_model(
        home,
        steps,
        data,
        network,
        [shared.as_parent(provenance.DATA_DERIVATIVE_BPS)],
        name=name,
        tiers=("trusted",),
        price=price,
        trained_on=shared.artifact,
        result=score(data, network, Part.HELD_OUT),
        derivative_bps=provenance.TEACHER_DERIVATIVE_BPS,
    )


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class MeteredTeacher:
    """`extraction.Teacher` over a node's metered route. Each batch is a durable step; the voucher that goes with it covers the
    batch before, so the node is never more than one batch ahead of what was signed."""

    def __init__(
        self, channels: HomeChannels, channel: OpenChannel, offer: NodeOffer, listing: Cid, steps: Steps
    ) -> None:
        self._channels = channels
        self._channel = channel
        self._offer = offer
        self._listing = listing
        self._steps = steps
        self._unsigned: list[UsageLine] = []

    def ask(self, part: str, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        before = list(self._unsigned)
        answers = self._steps.once(f"teacher/{part}", lambda: self._buy(part, rows, before), Retry(attempts=4))
        self._unsigned = [UsageLine(self._listing.digest, Unit.ROWS, len(rows), self._offer.price(len(rows)))]
        return answers

    def _buy(self, part: str, rows: Sequence[Sequence[int]], before: Sequence[UsageLine]) -> list[list[int]]:
        signed = self._channels.sign(self._channel, f"before {part}", before)
        answer = self._channels.ask_rows(
            self._offer.url, self._listing, rows, signed, f"{self._channel.id.hex()}:{part}"
        )
        return [[int(word) for word in words] for words in answer["outputs"]]

    def finish(self) -> int:
        """Sign for the last batch and hand the voucher over; returns its sequence."""

        def last() -> int:
            signed = self._channels.sign(self._channel, "last", self._unsigned)
            self._channels.hand_over(self._offer.url, signed)
            return signed.voucher.sequence

        return self._steps.once("teacher/last-voucher", last, Retry(attempts=4))


def quote(data: Dataset, offer: NodeOffer, provable: bool, bond: Wei) -> list[tuple[str, Wei]]:
    """What it may cost, line by line; every line is a ceiling."""
    rows = len(data.words) + extraction.PROBES
    lines = [(f"teacher's answers: {rows} rows", offer.price(rows))]
    if provable:
        lines.append(("circuit's bond (returns after its hold)", bond))
    return lines


def distil(
    home: Home,
    run: RunId,
    steps: Steps,
    arguments: Mapping[str, Any],
    channels: HomeChannels,
    report: Callable[[str], None],
) -> Distilled:
    """The durable run: extraction, student, evaluation, circuit, record, listing."""
    name, target, data_cid = str(arguments["name"]), str(arguments["target"]), arguments["data"]
    data = load(home, data_cid, f"{name}.csv", target)
    shared: Shared = arguments["shared"]
    teacher = _teacher(home, arguments["teacher"])
    provable, visibility = bool(arguments["provable"]), str(arguments["input"])
    network = ChainNetwork(home)

    report("waiting for a node that serves the teacher")
    offer = steps.once("offer", lambda: _offer(network, steps, teacher))
    lines = quote(data, offer, provable, home.chain.router.announce_bond())
    needed = sum(amount for _, amount in lines)
    if arguments["budget"] is not None and needed > arguments["budget"]:
        shown = ", ".join(f"{what} {format_ftns(amount)}" for what, amount in lines)
        raise DistillBudgetTooLow(budget=format_ftns(arguments["budget"]), needed=format_ftns(needed), lines=shown)

    report("asking the teacher")
    channel = steps.once(
        "channel", lambda: channels.open(f"{run}:teacher", _payee(offer), (teacher.record,), lines[0][1])
    )
    metered = MeteredTeacher(channels, channel, offer, _cid(teacher), steps)
    answers = extraction.extract(data, metered, steps.report)
    sequence = metered.finish()
    milestone = steps.once(
        "inclusion", lambda: channels.milestone_of(channels.inclusion(channel.id, sequence, steps)).milestone
    )
    paid = steps.once("settle", lambda: channels.settle_and_close(offer.url, channel, steps))

    report("training students")
    weights = steps.once("student", lambda: _student(home, data, answers, steps))
    student = from_block(_map(home.store.get(weights)))
    evaluation = Evaluation(
        score_answers(data, answers, Part.HELD_OUT),
        score(data, student, Part.HELD_OUT),
        len(data.rows_of(Part.HELD_OUT)),
    )
    safety.gate(data, student, teacher.may_distill, evaluation)
    model = export.to_onnx(student)

    refs: tuple[CircuitRef, ...] = ()
    built: circuits.BuiltCircuit | None = None
    if provable:
        report("building the circuit")
        prover = circuits.Prover(home.network.prover, Path(home.network.prover_token_file))
        found = steps.once("circuit", lambda: _build(prover, name, data, model, visibility, steps))
        built = circuits.BuiltCircuit(found, prover.verifier(found.manifest))
        # The manifest names what a circuit is; whoever checks a proof later reads it by its id.
        home.store.put_many([(found.manifest, prover.file(found.manifest, "manifest.cbor"))])
        home.fund_vault(f"{run}:bond", home.chain.router.announce_bond())
        refs = (steps.once("announce", lambda: publish.announce(home.chain, home.sender, f"{run}:circuit", built)),)

    report("registering and listing")
    parents = [
        Parent(teacher.record, provenance.TEACHER_DERIVATIVE_BPS, _lineage(teacher, shared)),
        shared.as_parent(provenance.DATA_DERIVATIVE_BPS),
    ]
    listing = steps.once(
        "listing",
        lambda: _cid(
            share_model(
                home, steps, data, student, parents, name=name, tiers=("proved", "trusted") if refs else ("trusted",),
                price=STUDENT_PRICE, circuits_=refs, trained_on=shared.artifact, result=evaluation.student,
                derivative_bps=provenance.TEACHER_DERIVATIVE_BPS,
            )
        ),
    )  # fmt: skip
    report("waiting for nodes to serve it")
    steps.once("served", lambda: _served(network, steps, listing, bool(refs)))
    record = next(each.record for each in network.listings() if each.cid == listing)
    done = built.report if built is not None else None
    return Distilled(
        listing=listing,
        record=record,
        teacher=_cid(teacher),
        model_sha256=sha256(model).hexdigest(),
        weights=weights,
        student=evaluation.student,
        teacher_score=evaluation.teacher,
        shape=tuple(len(layer.bias) for layer in student.layers[:-1]),
        circuit_k=done.k if done else 0,
        circuit_rows=done.rows if done else 0,
        verify_gas=done.verify_gas if done else 0,
        prove_us=done.prove_us if done else 0,
        circuit_peak_bytes=done.peak_bytes if done else 0,
        paid_teacher=paid,
        royalty=home.chain.royalties.accrued_for(teacher.record),
        vouchers=sequence,
        milestone=milestone,
    )


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _teacher(home: Home, cid: Cid) -> Listing:
    found = next((each for each in ChainNetwork(home).listings() if each.cid == cid), None)
    if found is None:
        raise TeacherNotServed(teacher=cid)
    return found


def _offer(network: ChainNetwork, steps: Steps, teacher: Listing) -> NodeOffer:
    """The cheapest node that serves the teacher as a metered model; nodes need a moment to follow a new listing."""

    def find() -> NodeOffer | None:
        offers = [o for o in network.offers() if o.listing == str(teacher.cid) and "trusted" in o.tiers]
        return min(offers, key=lambda o: (o.price(1), o.url)) if offers else None

    deadline = datetime.now(UTC) + timedelta(seconds=OFFER_SECONDS)
    return steps.wait(
        Waiting(f"a node that serves teacher {teacher.name}", deadline, "the run ends, nothing is paid"), find
    )


def _served(network: ChainNetwork, steps: Steps, listing: Cid, proved: bool) -> int:
    """How many nodes offer the new listing, once one does."""
    wanted = "proved" if proved else "trusted"

    def find() -> int | None:
        return sum(o.listing == str(listing) and wanted in o.tiers for o in network.offers()) or None

    deadline = datetime.now(UTC) + timedelta(seconds=OFFER_SECONDS)
    return steps.wait(Waiting("a node to offer the new listing", deadline, "it is listed all the same"), find)


def _payee(offer: NodeOffer) -> str:
    return offer.operator


def _student(home: Home, data: Dataset, answers: dict[int, list[int]], steps: Steps) -> Cid:
    found = search(
        data, extraction.as_tensor(data, answers), seed=SEED,
        on_trial=lambda note: steps.report(Progress("student", 0, 0, "", note)),
    )  # fmt: skip
    steps.report(Progress("student", 1, 1, "", f"chosen {digest(found.network)[:12]}"))
    return home.store.put(export.to_weights(found.network), DAG_CBOR)


def _build(
    prover: circuits.Prover, name: str, data: Dataset, model: bytes, visibility: str, steps: Steps
) -> CircuitReport:
    rows = [*data.rows_of(Part.HELD_OUT), *data.rows_of(Part.VALIDATION), *data.rows_of(Part.TRAIN)][:CIRCUIT_ROWS]
    labels = "value" if not data.is_classifier else "sign" if data.outputs == 1 else "argmax"
    safe = "".join(c if c.isalnum() else "_" for c in name.lower())
    built = prover.build(
        f"{safe}_{sha256(model).hexdigest()[:8]}_{visibility}",
        model,
        [data.words[row] for row in rows],
        bits=data.bits,
        input_visibility=visibility,
        labels_from=labels,
        report=steps.report,
    )
    return built.report


def _lineage(teacher: Listing, shared: Shared) -> tuple[Share, ...]:
    """The teacher's ancestors as registered: the data it was trained on, if it names any."""
    return (Share(shared.record, provenance.DATA_DERIVATIVE_BPS),) if teacher.ancestors else ()


def _cid(listing: Listing) -> Cid:
    assert listing.cid is not None
    return listing.cid


def _map(block: bytes) -> dict[str, object]:
    value = dag_cbor.decode(block)
    assert isinstance(value, dict)
    return value
