"""The engine of one home with its two definitions, *answer* and *distill*, and what each needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prsm_protocol.orchestration.recognise import ChatModel
from prsm_protocol.types import RunId, Steps
from prsm_protocol.workflow.channels import HomeChannels
from prsm_protocol.workflow.engine import DbosEngine, Definition
from prsm_protocol.workflow.engine.port import RunState, Watch
from prsm_protocol.workflow.engine.serializer import Table
from prsm_protocol.workflow.home import Home
from prsm_protocol.workflow.patience import RUN_SECONDS


def record_table() -> Table:
    """Every record and error that a run stores, by its short name."""
    import prsm_protocol.types as types
    from prsm_protocol.chain import errors as chain_errors
    from prsm_protocol.distillation import (
        circuit,
        evaluation,
        export,
        extraction,
        request,
        safety,
        student_search,
        training,
    )
    from prsm_protocol.orchestration import budget, clarify, executor, listings, nodes, orchestrator, question, router
    from prsm_protocol.rules.registry import lineage
    from prsm_protocol.workflow import channels, distill, evidence, payments, run

    table = Table()
    table.register(*orchestrator.STORED)
    table.register(
        lineage.Share, channels.OpenChannel, distill.Shared, distill.Distilled, run.Finished, evidence.Payment
    )
    from prsm_protocol.rules.channel.vouchers import ChannelTerms

    table.register(ChannelTerms, evaluation.Score)
    table.scan([types])
    errors = (circuit, export, extraction, request, safety, student_search, training, budget, clarify, executor, listings, nodes,
              question, router, channels, distill, payments, chain_errors)  # fmt: skip
    table.scan_errors(errors)
    table.register(*(chain_errors.by_name(name) for name in chain_errors.names()))
    return table


def inspected(home: Home) -> list[RunState]:
    """The home's runs without going on with any: nothing is registered, so nothing is recovered."""
    import sqlite3
    from datetime import UTC, datetime

    path = home.folder / "dbos.db"
    if not path.exists():
        return []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT workflow_uuid, status, created_at, inputs FROM workflow_status WHERE name = 'run' ORDER BY created_at"
        ).fetchall()
    table = record_table()
    return [
        RunState(RunId(run), str(table.load(inputs)["args"][0]), status, datetime.fromtimestamp(at / 1000, UTC))
        for run, status, at, inputs in rows
    ]


@contextmanager
def opened(
    home: Home,
    *,
    watch: Watch | None = None,
    report: Callable[[str], None] = lambda _: None,
    chat: Callable[[], ChatModel | None] = lambda: None,
) -> Iterator[DbosEngine]:
    """The home's engine, owning it until the end; unfinished runs go on at once. Within it a silent chain is waited for."""
    home.chain.be_patient(RUN_SECONDS, report)
    engine = DbosEngine(home.folder, record_table(), watch)
    channels = HomeChannels(home)

    def answer(run: RunId, arguments: Mapping[str, Any], steps: Steps) -> object:
        from prsm_protocol.workflow.run import answer_question

        return answer_question(home, run, arguments, steps, channels, chat(), report)

    def distill(run: RunId, arguments: Mapping[str, Any], steps: Steps) -> object:
        from prsm_protocol.workflow.distill import distil

        return distil(home, run, steps, arguments, channels, report)

    engine.register(Definition("answer", answer))
    engine.register(Definition("distill", distill))
    engine.open()
    try:
        yield engine
    finally:
        engine.close()
        channels.close()
