"""`prsm ask`: plan and price first, then consent, then work; the answer with its citations, its money and its record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from prsm_protocol.cli.common import Ended, Json, app, clean, err, is_terminal, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.orchestration.question import Estimate, Question
    from prsm_protocol.types import RunId
    from prsm_protocol.workflow.home import Home
    from prsm_protocol.workflow.run import Finished


class ConsentNeeded(UsageError):
    exit_code = 4
    text = "the plan costs up to {amount} FTNS and nobody is here to agree; run again with --yes, or with --dry-run to look only"


class AskDeclined(UsageError):
    exit_code = 1
    text = "declined; nothing was locked and nothing was paid"


class QuestionMissing(UsageError):
    text = "say what you want to know, or give --sample or --resume"


@app.command()
def ask(
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="the question")] = None,
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="a table (CSV), text, Markdown or PDF; may be repeated")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="use a sample's held-out rows: breast-cancer, wine, digits")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="say the kind yourself: predict, compare, explain, retrieve, calculate, write")
    ] = None,
    budget: Annotated[str, typer.Option(help="most it may cost, in FTNS")] = "5",
    trust: Annotated[str, typer.Option(help="weakest tier you accept: proved, staked, trusted")] = "trusted",
    prefer: Annotated[str, typer.Option(help="cheap, balanced, best or fast")] = "balanced",
    deadline: Annotated[int, typer.Option(help="seconds until what is not done is left out")] = 600,
    public_data: Annotated[bool, typer.Option("--public-data", help="rows may stand on the chain")] = False,
    local: Annotated[bool, typer.Option("--local", help="everything on this machine; nobody is paid")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="drop sentences that nothing supports")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="plan and price, nothing else")] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="go on with an interrupted run; nothing is paid twice")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="accept the estimate without asking")] = False,
    as_json: Json = False,
) -> None:
    """Ask a question. Nothing is locked before you have seen plan and price."""
    from prsm_protocol.orchestration import question as questions
    from prsm_protocol.types import parse_ftns
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        world = World()
        if resume is not None:
            home = world.home()
            _finish(home, _follow(home, resume, None), as_json)
            return
        paths = list(data or [])
        if sample is not None:
            from prsm_protocol.orchestration import samples

            folder = world.state / "samples" / sample
            paths += samples.write_sample(sample, folder)
            text = text or samples.question_for(sample)
        if text is None:
            raise QuestionMissing()
        asked = questions.read(
            text, paths, budget=parse_ftns(budget), least_tier=trust, deadline=timedelta(seconds=deadline), task=task,
            preference=prefer, public_data=public_data, local=local, strict=strict,
        )  # fmt: skip
        home = world.home()
        estimate = _estimate(home, asked)
        _show_estimate(estimate, dry_run and as_json)
        if dry_run:
            if as_json:
                print_json(_estimate_json(estimate))
            return
        _consent(estimate, yes)
        _finish(home, _follow(home, None, {"question": asked, "estimate": estimate}), as_json)


def chat_model() -> Any:
    """The configured model, else the local one if it is installed, else none: rules decide then."""
    try:
        from prsm_protocol.models.catalogue import chat
    except ImportError:
        return None
    return chat()


def _estimate(home: Home, asked: Question) -> Estimate:
    from prsm_protocol.orchestration import orchestrator
    from prsm_protocol.workflow.market import ChainNetwork

    return orchestrator.estimate(asked, ChainNetwork(home), chat_model())


def _show_estimate(estimate: Estimate, quiet: bool) -> None:
    from prsm_protocol.types import format_ftns

    if quiet:
        return
    err.print(estimate.line(), markup=False)
    if estimate.high:
        low, likely, high = (format_ftns(amount) for amount in (estimate.low, estimate.likely, estimate.high))
        err.print(f"price: {low} to {high} FTNS, likely {likely}; tier {estimate.tier}; about {estimate.seconds} s")
    else:
        err.print(f"price: nothing (own steps); about {estimate.seconds} s")
    for note in estimate.notes:
        err.print(f"note: {clean(note)}", markup=False)


def _estimate_json(estimate: Estimate) -> dict[str, object]:
    return {
        "plan": [
            {"id": node.id, "kind": node.kind, "after": node.after, "paid": node.paid} for node in estimate.plan.nodes
        ],
        "low_wei": str(estimate.low),
        "likely_wei": str(estimate.likely),
        "high_wei": str(estimate.high),
        "tier": estimate.tier,
        "seconds": estimate.seconds,
        "notes": list(estimate.notes),
    }


def _consent(estimate: Estimate, yes: bool) -> None:
    from prsm_protocol.types import format_ftns

    if yes or not estimate.high:
        return
    if not is_terminal():
        raise ConsentNeeded(amount=format_ftns(estimate.high))
    if not typer.confirm(f"lock up to {format_ftns(estimate.high)} FTNS and go on?", err=True):
        raise AskDeclined()


def _follow(home: Home, resume: str | None, arguments: dict[str, Any] | None) -> Finished:
    """Start or go on with a run and watch it to its end. Ctrl-C leaves it; `--resume` goes on."""
    from prsm_protocol.types import Progress as Done
    from prsm_protocol.types import RunId, Waiting, new_run_id
    from prsm_protocol.workflow.engine.port import Watch
    from prsm_protocol.workflow.runtime import opened

    run = RunId(resume) if resume is not None else new_run_id()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("working", total=None)

        def progress(_: RunId, done: Done) -> None:
            bars.update(
                bar, description=clean(f"{done.step} {done.note}")[:60], completed=done.done, total=done.total or None
            )

        def waiting(_: RunId, what: Waiting | None) -> None:
            if what is not None:
                bars.update(bar, description=clean(f"waiting for {what.for_what}")[:60])

        def report(what: str) -> None:
            if err.is_terminal:
                bars.update(bar, description=clean(what)[:60])
            else:
                err.print(clean(what), markup=False)

        with opened(home, watch=Watch(progress, waiting), report=report, chat=chat_model) as engine:
            try:
                if arguments is not None:
                    engine.start("answer", arguments, run=run)
                    err.print(f"run {run}", style="dim")
                result: Finished = engine.result(run)  # type: ignore[assignment]
                return result
            except KeyboardInterrupt:
                err.print(f"interrupted; the run is kept. Go on with: prsm ask --resume {run}")
                raise Ended(130) from None


def _finish(home: Home, done: Finished, as_json: bool) -> None:
    if as_json:
        print_json(finished_json(home, done))
    else:
        show(home, done)
    code = {"answered": 0, "partial": 4}.get(done.answer.state, 1)
    if code:
        raise Ended(code)


def finished_json(home: Home, done: Finished) -> dict[str, object]:
    answer = done.answer
    return {
        "run": done.run,
        "state": answer.state,
        "answer": answer.text,
        "claims": [
            {
                "id": claim.id,
                "text": claim.text,
                "value": claim.value,
                "support": claim.support,
                "tier": claim.tier,
                "citations": [
                    {"attempt": str(each.attempt), "path": each.path}
                    if each.attempt
                    else {"document": each.document.hex(), "page": each.page, "start": each.start, "end": each.end}
                    for each in claim.citations
                ],
            }
            for claim in answer.claims
        ],
        "conflicts": [
            {"subject": each.subject, "attribute": each.attribute, "values": each.values, "sides": each.sides}
            for each in answer.conflicts
        ],
        "not_done": [{"what": each.what, "why": each.why} for each in answer.not_done],
        "tier": answer.tier,
        "locked": str(done.locked),
        "spent": str(done.spent),
        "refunded": str(done.refunded),
        "payments": [
            {
                "task": "0x" + each.task.hex(),
                "operator": each.operator,
                "payee": each.payee,
                "records": ["0x" + record.hex() for record in each.records],
                "tier": each.tier,
                "status": each.status,
                "price_wei": str(each.price),
                "net_wei": str(each.net),
                "fee_wei": str(each.fee),
                "royalty_wei": str(each.royalty),
                "transaction": "0x" + each.transaction.hex(),
            }
            for each in done.payments
        ],
        "trace": str(done.trace),
        "bundle": done.bundle,
        "events": done.events,
        "rpc": home.network.rpc,
        "error": done.error or None,
    }


def show(home: Home, done: Finished) -> None:
    """The answer as a person reads it: text, tables, what was not done, money, and how to check it."""
    from prsm_protocol.types import format_ftns

    answer = done.answer
    out.print(clean(answer.text), markup=False)
    for table in answer.tables:
        _table(table, out.print)
    for missing in answer.not_done:
        out.print(f"not done: {clean(missing.what)}: {clean(missing.why)}", markup=False)
    if done.locked:
        locked, spent, back = (format_ftns(amount) for amount in (done.locked, done.spent, done.refunded))
        out.print(f"\nlocked {locked} FTNS, spent {spent}, returned {back}; weakest tier {answer.tier}")
    out.print(f"trace {done.trace}\ncheck: prsm verify {done.bundle} --rpc {home.network.rpc}", markup=False)


def _table(table: Any, print_: Callable[..., None]) -> None:
    from rich.table import Table

    shown = Table(title=clean(table.name), title_justify="left", box=None, pad_edge=False)
    for column in table.columns:
        shown.add_column(clean(str(column)))
    for row in table.rows[:40]:
        shown.add_row(*[clean(str(cell)) for cell in row])
    print_(shown)
    if len(table.rows) > 40:
        print_(f"… and {len(table.rows) - 40} more rows (all in --json and in the trace)")
