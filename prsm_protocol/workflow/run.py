"""The durable run of one question: lock, answer, settle, prove, anchor. It owns the money around `orchestration`.

    QUOTED → FUNDED → WORKING → SETTLING → SEALED          any → REFUNDING → FAILED, with the rest back in the Vault

A failure after accepted work pays that work and returns the remainder; nothing stays locked without a release time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prsm_protocol.content.unixfs import add_file
from prsm_protocol.errors import PrsmError
from prsm_protocol.identity import Identity
from prsm_protocol.models.embedding import MiniLM
from prsm_protocol.orchestration import orchestrator
from prsm_protocol.orchestration.nodes import Delivered
from prsm_protocol.orchestration.payments import NoPayments
from prsm_protocol.orchestration.question import Answer, Estimate, NotDone, Question
from prsm_protocol.orchestration.recognise import ChatModel
from prsm_protocol.rules.registry.lineage import AnchorKind
from prsm_protocol.trace import bundle
from prsm_protocol.trace.blocks import RunHead, decode
from prsm_protocol.trace.recorder import Recorder, SecretFilter, delegate
from prsm_protocol.trace.store import open_store
from prsm_protocol.types import Cid, RunId, Steps, Wei
from prsm_protocol.workflow.acknowledgements import Acknowledgements
from prsm_protocol.workflow.channels import HomeChannels
from prsm_protocol.workflow.evidence import Payment, collect, payments_of
from prsm_protocol.workflow.home import Home
from prsm_protocol.workflow.market import ChainNetwork
from prsm_protocol.workflow.payments import EscrowPayments

DELEGATION_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Finished:
    """How a run ended: what was answered, where the money went, and where the record lies."""

    run: RunId
    answer: Answer
    locked: Wei
    spent: Wei
    refunded: Wei
    payments: tuple[Payment, ...]
    trace: Cid
    bundle: str
    events: int
    error: str = ""


def answer_question(
    home: Home,
    run: RunId,
    arguments: Mapping[str, Any],
    steps: Steps,
    channels: HomeChannels,
    chat: ChatModel | None,
    report: Callable[[str], None],
) -> Finished:
    """The durable function. Everything it does twice has one effect."""
    question: Question = arguments["question"]
    estimate: Estimate = arguments["estimate"]
    network = ChainNetwork(home)
    store = open_store(home.folder / "trace.db")
    signer = home.run_identity(run)
    recorder = Recorder(store, run, signer, secrets=SecretFilter(home.secrets()))
    started_us = steps.once("clock/started", _now_us)
    question_ref = orchestrator.question_ref(recorder, question)
    acknowledgements = Acknowledgements(channels)
    escrow = EscrowPayments(home, run, question_ref.digest, steps, acknowledgements)
    payments = NoPayments() if question.local else escrow
    delivered: list[Delivered] = []
    try:
        answer = orchestrator.answer(question, estimate, steps, payments, recorder, network, chat, delivered, MiniLM())
        failure = ""
    except PrsmError as error:
        report(f"failed: {error}; taking back what is locked")
        answer, failure = _failed(error), error.name
    report("settling")
    payments.settle()
    money = escrow.money() if not question.local else (Wei(0), Wei(0), Wei(0))
    if money[0]:
        recorder.record("escrow/released", "escrow_released")
        recorder.record("escrow/refunded", "escrow_refunded")
    recorder.record("run/ended", "run_ended")
    report("sealing the trace")
    head = _head(home, recorder, question, answer, question_ref, money, started_us, steps, signer)
    anchor = None
    if money[0]:
        root = decode(RunHead, store.get(run, head)).merkle_root
        anchor = home.sender.transact(
            f"{run}:anchor",
            home.chain.provenance.anchor(
                root, escrow.job_id, AnchorKind.TRACE, decode(RunHead, store.get(run, head)).events
            ),
        )
    for result in delivered:  # those before a crash too: the same task gives the same voucher
        acknowledgements.acknowledge(result.receipt)
    evidence = (
        None
        if question.local
        else collect(home, recorder, escrow, delivered, acknowledgements, anchor, channels, steps)
    )
    folder = home.folder / "runs"
    folder.mkdir(exist_ok=True)
    exported = bundle.export(store, run, folder, evidence=evidence, fetch=home.fetch)
    trace = add_file(home.store, exported.path).cid
    home.store.pin(trace, f"run {run}")
    return Finished(
        run=run,
        answer=answer,
        locked=money[0],
        spent=money[1],
        refunded=money[2],
        payments=() if question.local else payments_of(home, escrow),
        trace=trace,
        bundle=str(exported.path),
        events=decode(RunHead, store.get(run, head)).events,
        error=failure,
    )


def _head(
    home: Home,
    recorder: Recorder,
    question: Question,
    answer: Answer,
    question_ref: Any,
    money: tuple[Wei, Wei, Wei],
    started_us: int,
    steps: Steps,
    signer: Identity,
) -> Cid:
    """Sign the head with the asker's identity; the run's own key wrote the events, by delegation."""
    known = recorder.store.head(recorder.run)
    if known is not None:
        return known
    not_after = started_us + DELEGATION_SECONDS * 1_000_000
    delegation = recorder.put(delegate(home.identity, recorder.run, signer.did, not_after))
    template = RunHead(
        run=b"",
        asker="",
        question=question_ref,
        state=answer.state,
        answer=orchestrator.answer_ref(recorder, question, answer) if answer.claims or answer.text else None,
        tier=answer.tier,
        events=0,
        merkle_root=b"",
        last=None,
        delegation=delegation,
        locked=money[0],
        spent=money[1],
        refunded=money[2],
        open=Wei(money[0] - money[1] - money[2]),
        previous=None,
        started_us=started_us,
        ended_us=steps.once("clock/ended", _now_us),
    )
    return recorder.head(template, home.identity)


def _failed(error: PrsmError) -> Answer:
    return Answer(
        text="",
        claims=(),
        conflicts=(),
        tables=(),
        not_done=(NotDone("the question", str(error)),),
        tier="own",
        spent=Wei(0),
        state="failed",
    )


def _now_us() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def bundle_path(home: Home, run: RunId) -> Path:
    return home.folder / "runs" / f"run-{run}.car"
