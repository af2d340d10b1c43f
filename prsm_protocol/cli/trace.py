"""`prsm trace`: what the record of a run holds, and what of it is given to whom."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prsm_protocol.cli.common import As, Json, app, clean, is_terminal, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.trace.blocks import Attempt, Decision, RunHead
    from prsm_protocol.trace.store import TraceStore
    from prsm_protocol.types import RunId
    from prsm_protocol.workflow.home import Home

trace = typer.Typer(help="records of runs", no_args_is_help=True)
app.add_typer(trace, name="trace")

Run = Annotated[str, typer.Argument(metavar="RUN", help="a run's id (`prsm trace list`)")]
To = Annotated[Path | None, typer.Option("--output", "-o", help="where to write it")]


class RecordMissing(UsageError):
    text = "this home has no record of run {run!r}; `prsm trace list` shows what it has"


class RunFileUnreadable(UsageError):
    exit_code = 1
    text = "{path} cannot be read: {reason}"


class RunFileExists(UsageError):
    exit_code = 1
    text = "{path} exists and is never overwritten; name another place with -o"


class DeletionUnconfirmed(UsageError):
    exit_code = 4
    text = "deleting a record cannot be undone; run again with --yes"


@trace.command("list")
def list_(person: As = "asker", as_json: Json = False) -> None:
    """All records of this home, oldest first."""
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.world import World

    with reporting(as_json), _store(World().home(person)) as store:
        found = [(run, _head(store, run), len(store.events(run))) for run in store.runs()]
        if as_json:
            print_json({"runs": [{"run": run, "events": events, **_head_json(head)} for run, head, events in found]})
            return
        for run, head, events in found:
            if head is None:
                out.print(f"{run}  not sealed yet  {events} events; prsm ask --resume {run}")
            else:
                out.print(f"{run}  {head.state:9}  {head.tier:8}  {format_ftns(head.spent)} FTNS  {events} events")
        if not found:
            out.print("no records yet")


@trace.command()
def show(run: Run, person: As = "asker", as_json: Json = False) -> None:
    """The tree of a run: each node's kind, model, tier and cost, and who decided; then every other decision."""
    from prsm_protocol.workflow.world import World

    with reporting(as_json), _store(World().home(person)) as store:
        wanted = _run(store, run)
        tree = _tree(store, wanted)
        head = _head(store, wanted)
        if as_json:
            print_json({"run": run, **_head_json(head), "decisions": [_decision_json(d) for d in tree.decisions],
                        "nodes": [_node_json(node) for node in tree.nodes]})  # fmt: skip
            return
        _print_head(run, head)
        for node in tree.nodes:
            _print_node(node)
        for decision in tree.decisions:
            sure = "" if decision.confidence_ppm is None else f", {decision.confidence_ppm / 10_000:g} % sure"
            out.print(
                clean(f"{decision.matter}: {decision.chosen} ({decision.by.how} {decision.by.name}{sure})"),
                markup=False,
            )


@trace.command()
def export(run: Run, output: To = None, person: As = "asker", as_json: Json = False) -> None:
    """Write the run's file, as `prsm verify` reads it. It opens everything; see `prsm trace redact`."""
    from prsm_protocol.trace import bundle
    from prsm_protocol.workflow.run import bundle_path
    from prsm_protocol.workflow.world import World

    with reporting(as_json), _store(home := World().home(person)) as store:
        wanted = _run(store, run)
        path = output or Path(f"run-{run}.car")
        if path.exists():
            raise RunFileExists(path=path)
        kept = bundle_path(home, wanted)
        if kept.exists():
            shutil.copyfile(kept, path)
        else:  # the run stopped before it was sealed with its money: what there is, without evidence
            bundle.export(store, wanted, path.parent, fetch=home.fetch).path.replace(path)
        if as_json:
            print_json({"run": run, "path": str(path), "bytes": path.stat().st_size, "with_evidence": kept.exists()})
        else:
            out.print(
                f"{path}: {path.stat().st_size} bytes\ncheck: prsm verify {path} --rpc {home.network.rpc}", markup=False
            )


@trace.command()
def redact(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a run's .car file")],
    keep: Annotated[
        list[str],
        typer.Option(
            help="a kind of payload that stays readable (answer, table, prediction, …) or the beginning of a seal; repeatable"
        ),
    ],
    output: To = None,
    as_json: Json = False,
) -> None:
    """A copy that shows less. No signature changes: the copy verifies, and says what it could not check."""
    from prsm_protocol.trace import bundle
    from prsm_protocol.trace.redact import describe
    from prsm_protocol.trace.redact import redact as redacted

    with reporting(as_json):
        path = output or file.with_name(f"{file.stem}-redacted.car")
        if path.exists():
            raise RunFileExists(path=path)
        try:
            source = bundle.load(file)
        except OSError as error:
            raise RunFileUnreadable(path=file, reason=(error.strerror or str(error)).lower()) from None
        result = redacted(source, keep, path)
        if as_json:
            print_json(
                {"path": str(path), "bytes": result.bytes, "opened": result.opened, "withheld": result.withheld}
            )  # fmt: skip
        else:
            out.print(f"{path}: {describe(result)}", markup=False)


@trace.command()
def delete(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Forget a run's record with its secret, its file and the file's blocks. Copies that others hold stay theirs."""
    from prsm_protocol.workflow.run import bundle_path
    from prsm_protocol.workflow.world import World

    with reporting(as_json), _store(home := World().home(person)) as store:
        wanted = _run(store, run)
        if not yes and not (is_terminal() and typer.confirm(f"delete the record of {run} for good?", err=True)):
            raise DeletionUnconfirmed()
        published = [cid for cid, name in home.store.pins() if name == f"run {run}"]
        blocks = sum(home.store.remove(cid) for cid in published)
        bundle_path(home, wanted).unlink(missing_ok=True)
        store.delete(wanted)
        if as_json:
            print_json({"run": run, "deleted": True, "blocks": blocks})
        else:
            out.print(f"deleted the record of {run}; its root stays anchored on the chain")


# ── reading a record ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Node:
    """A node of the tree as it is shown."""

    id: str
    depth: int
    kind: str
    planned_by: Decision | None
    attempts: list[tuple[Attempt, Decision | None]] = field(default_factory=list)


@dataclass
class _Tree:
    nodes: list[_Node]
    decisions: list[Decision]


@contextmanager
def _store(home: Home) -> Iterator[TraceStore]:
    from prsm_protocol.trace.store import open_store

    store = open_store(home.folder / "trace.db")
    try:
        yield store
    finally:
        store.close()


def _run(store: TraceStore, text: str) -> RunId:
    for run in store.runs():
        if run == text:
            return run
    raise RecordMissing(run=text)


def _head(store: TraceStore, run: RunId) -> RunHead | None:
    from prsm_protocol.trace.blocks import RunHead, decode

    cid = store.head(run)
    return None if cid is None else decode(RunHead, store.get(run, cid))


def _tree(store: TraceStore, run: RunId) -> _Tree:
    """Fold the events: splits give nodes, `<node>/<number>/started` the routing, the end the attempt itself."""
    from prsm_protocol.trace.blocks import Attempt, Decision, Event, GraphNode, TaskGraph, TaskSpec, decode
    from prsm_protocol.types import Cid

    graph: dict[str, tuple[GraphNode, Decision | None]] = {}
    decisions: list[Decision] = []
    routes: dict[str, Decision] = {}
    ended: dict[str, list[tuple[Attempt, Decision | None]]] = {}
    for step, cid in store.steps(run):
        body = decode(Event, store.get(run, cid)).body
        if not isinstance(body.subject, Cid):
            continue
        if body.event == "graph_split":
            split = decode(TaskGraph, store.get(run, body.subject))
            by = None if split.decision is None else decode(Decision, store.get(run, split.decision))
            for name, node in split.nodes.items():
                graph.setdefault(name, (node, by))
        elif body.event == "decision_made":
            decisions.append(decode(Decision, store.get(run, body.subject)))
        elif body.event == "attempt_started":
            routes[step.removesuffix("/started")] = decode(Decision, store.get(run, body.subject))
        elif body.event == "attempt_ended":
            attempt = decode(Attempt, store.get(run, body.subject))
            ended.setdefault(attempt.node, []).append((attempt, routes.get(step.removesuffix("/ended"))))

    def below(parent: str | None, depth: int) -> Iterator[_Node]:
        for name, (node, by) in graph.items():
            if node.parent == parent:
                kind = decode(TaskSpec, store.get(run, node.task)).task
                yield _Node(name, depth, kind, by, ended.get(name, []))
                yield from below(name, depth + 1)

    return _Tree(list(below(None, 0)), decisions)


# ── showing it ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _head_json(head: RunHead | None) -> dict[str, object]:
    if head is None:
        return {"state": None}
    return {
        "state": head.state,
        "tier": head.tier,
        "locked_wei": str(head.locked),
        "spent_wei": str(head.spent),
        "refunded_wei": str(head.refunded),
        "merkle_root": "0x" + head.merkle_root.hex(),
        "asker": head.asker,
    }


def _decision_json(decision: Decision) -> dict[str, object]:
    return {
        "matter": decision.matter,
        "chosen": decision.chosen,
        "how": decision.by.how,
        "by": decision.by.name,
        "confidence_ppm": decision.confidence_ppm,
        "options": [{"id": each.id, "score_ppm": each.score_ppm, "why": each.why} for each in decision.options],
    }


def _node_json(node: _Node) -> dict[str, object]:
    return {
        "id": node.id,
        "depth": node.depth,
        "kind": node.kind,
        "planned_by": None if node.planned_by is None else _decision_json(node.planned_by),
        "attempts": [
            {
                "number": attempt.number,
                "outcome": attempt.outcome,
                "tier": attempt.tier,
                "model": None if attempt.model is None else attempt.model.name,
                "actor": attempt.actor,
                "charged_wei": str(attempt.charged),
                "error": None if attempt.error is None else attempt.error.code,
                "decided": None if decision is None else _decision_json(decision),
            }
            for attempt, decision in node.attempts
        ],
    }


def _print_head(run: str, head: RunHead | None) -> None:
    from prsm_protocol.types import format_ftns

    if head is None:
        out.print(f"run {run}: not sealed yet")
        return
    money = f"locked {format_ftns(head.locked)}, spent {format_ftns(head.spent)}, returned {format_ftns(head.refunded)} FTNS"
    out.print(f"run {run}: {head.state}, {head.events} events, {money}, weakest tier {head.tier}")


def _print_node(node: _Node) -> None:
    from prsm_protocol.types import format_ftns

    indent = "  " * node.depth
    planned = "" if node.planned_by is None else f"  planned by {node.planned_by.by.how} {node.planned_by.by.name}"
    out.print(f"{indent}{node.id}  {node.kind}{planned}", markup=False)
    for attempt, decision in node.attempts:
        model = "no model" if attempt.model is None else attempt.model.name
        cost = f"{format_ftns(attempt.charged)} FTNS" if attempt.charged else "free"
        by = "" if decision is None else f"  chosen by {decision.by.how} {decision.by.name}"
        why = "" if attempt.error is None else f"  {attempt.error.code}"
        line = f"{indent}  {attempt.number}. {attempt.outcome}{why}  {model}  {attempt.tier}  {cost}{by}"
        out.print(clean(line), markup=False)
