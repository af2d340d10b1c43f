"""`prsm distill`: from a table to a listed model that earns, with its teacher's and data's owners paid."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prsm_protocol.cli.common import Json, app, err, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.types import Listing
    from prsm_protocol.workflow.distill import Distilled, Shared
    from prsm_protocol.workflow.home import Home
    from prsm_protocol.workflow.world import World


class InputUnknown(UsageError):
    text = "--input {value!r} is unknown; hashed keeps rows private, public shows them on the chain"


class ConsentMissing(UsageError):
    text = "distilling needs your consent to the quote above; run again with --yes"


class QuoteDeclined(UsageError):
    exit_code = 1
    text = "declined; nothing was paid"


@app.command()
def distill(
    data: Annotated[Path, typer.Option(help="CSV table with labels")],
    target: Annotated[str, typer.Option(help="the column to predict")],
    name: Annotated[str | None, typer.Option(help="name of the listing; default: the file's name")] = None,
    provable: Annotated[
        bool, typer.Option("--provable", help="build a circuit, so that every answer can be proved")
    ] = False,
    input_: Annotated[
        str, typer.Option("--input", help="hashed: rows stay private; public: rows stand on the chain")
    ] = "hashed",
    budget: Annotated[str | None, typer.Option(help="most it may cost, in FTNS; default: the quote")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="accept the quote without asking")] = False,
    as_json: Json = False,
) -> None:
    """Train a teacher, distil a small network from its paid answers, build its circuit, register and list it."""
    from prsm_protocol.content.table import read_table
    from prsm_protocol.distillation.request import prepare
    from prsm_protocol.types import format_ftns, parse_ftns
    from prsm_protocol.workflow.distill import BITS, TEACHER_PRICE
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        if input_ not in ("hashed", "public"):
            raise InputUnknown(value=input_)
        table = read_table(data)
        dataset = prepare(table, target, bits=BITS)  # every complaint about the data before anything is paid
        world = World()
        home = world.home()
        cap = parse_ftns(budget) if budget is not None else None
        rows = len(table.rows)
        cost = TEACHER_PRICE.per_row * (rows + 8)
        kind = f"{len(dataset.classes)} classes" if dataset.classes else "a number"
        err.print(f"{rows} rows, {len(dataset.features)} columns, target {target!r} ({kind})")
        for column in dataset.left_out:
            err.print(f"  left out: column {column!r} (no numbers, always the same, or an identifier)")
        err.print(
            f"quote: teacher's answers {format_ftns(cost)} FTNS"
            + (", circuit's bond 1 FTNS (returns)" if provable else "")
        )
        _consent(yes)
        result = make_models(
            world, home, data.read_bytes(), name or data.stem, target, provable=provable, visibility=input_, budget=cap,
            data_home=home,
        )  # fmt: skip
        _show(result, as_json)


def _consent(yes: bool) -> None:
    from prsm_protocol.cli.common import is_terminal

    if yes:
        return
    if not is_terminal():
        raise ConsentMissing()
    if not typer.confirm("go on?", err=True):
        raise QuoteDeclined()


def make_sample_models(world: World, sample: str) -> dict[str, str]:
    """Listings of a sample's models by name; made here if they are not there yet."""
    return {key: str(value["listing"]) for key, value in sample_models(world, sample)["listings"].items()}


def sample_models(world: World, sample: str) -> dict[str, Any]:
    """The models of a sample, made here: known ones are found again by what they were made from."""
    from prsm_protocol.orchestration import samples

    with tempfile.TemporaryDirectory() as scratch:
        path, target = samples.labelled_csv(sample, Path(scratch))
        data = path.read_bytes()
    return make_models(
        world, world.home("distiller"), data, sample, target, provable=True, visibility="hashed", budget=None,
        data_home=world.home("data-owner"), publish_content=True,
    )  # fmt: skip


def make_models(
    world: World,
    home: Home,
    data: bytes,
    name: str,
    target: str,
    *,
    provable: bool,
    visibility: str,
    budget: int | None,
    data_home: Home,
    publish_content: bool = False,
) -> dict[str, Any]:
    """Data owner, teacher's owner and the linear model's owner each share what is theirs; then `home` distils."""
    from prsm_protocol.content.table import parse_table
    from prsm_protocol.content.unixfs import add_bytes
    from prsm_protocol.distillation.request import prepare
    from prsm_protocol.types import Immediate
    from prsm_protocol.workflow import distill as flow

    steps = Immediate()
    dataset = prepare(parse_table(data, f"{name}.csv"), target, bits=flow.BITS)
    _say("registering the data")
    shared = flow.share_data(data_home, steps, data, name, "CC-BY-4.0", publish_content=publish_content)
    _say("training the teacher and the linear model on the training rows")
    teacher = flow.make_teacher(
        world.home("teacher-owner"),
        steps,
        dataset,
        shared,
        hidden=flow.TEACHER_HIDDEN,
        name=f"{name} teacher",
        price=flow.TEACHER_PRICE,
    )
    linear = flow.make_teacher(
        world.home("linear-owner"), steps, dataset, shared, hidden=(), name=f"{name} linear", price=flow.LINEAR_PRICE
    )
    cid = add_bytes(home.store, data)
    done = _run(home, name, target, cid, shared, teacher, provable, visibility, budget)
    return {
        "name": name,
        "listings": {
            f"{name}": {"listing": done.listing, "by": home.address},
            f"{name} linear": {"listing": linear.cid, "by": linear.owner},
            f"{name} teacher": {"listing": teacher.cid, "by": teacher.owner},
        },
        "distilled": done,
    }


def _run(
    home: Home,
    name: str,
    target: str,
    data: Any,
    shared: Shared,
    teacher: Listing,
    provable: bool,
    visibility: str,
    budget: int | None,
) -> Distilled:
    from prsm_protocol.types import Progress, RunId
    from prsm_protocol.workflow.engine.port import Watch
    from prsm_protocol.workflow.runtime import opened

    arguments = {
        "name": name, "target": target, "data": data, "shared": shared, "teacher": teacher.cid,
        "provable": provable, "input": visibility, "budget": budget,
    }  # fmt: skip
    # The run's id is made of what is asked, so the same request again returns the same run; after a failure a new one begins.
    seed = json.dumps({key: str(value) for key, value in arguments.items()}, sort_keys=True)

    said: list[str] = []

    def show(_: RunId, progress: Progress) -> None:
        """One line for each thing that is new, so that a plain terminal is not flooded."""
        line = f"{progress.step} {progress.done}/{progress.total} {progress.note}".strip()
        is_news = bool(progress.note) or (progress.total > 0 and progress.done == progress.total)
        if is_news and (not said or said[-1] != line):
            said.append(line)
            _say(line)

    with opened(home, watch=Watch(on_progress=show), report=_say) as engine:
        known = {state.run: state.state for state in engine.runs()}
        runs = (RunId(sha256(f"{seed} {attempt}".encode()).hexdigest()[:32]) for attempt in count())
        run = next(run for run in runs if known.get(run, "NEW") in ("NEW", "PENDING", "SUCCESS"))
        engine.start("distill", arguments, run=run)
        result: Distilled = engine.result(run)  # type: ignore[assignment]
        return result


def _say(text: str) -> None:
    err.print(f"  {text}", style="dim")


def _show(result: dict[str, Any], as_json: bool) -> None:
    from prsm_protocol.types import format_ftns

    done = result["distilled"]
    if as_json:
        print_json({**result, "distilled": {key: value for key, value in asdict(done).items() if key != "record"}})
        return
    right, total = done.student.right, done.student.total
    out.print(f"listed {result['name']}: {done.listing}")
    out.print(
        f"  student  {right} of {total} held-out rows right; its teacher {done.teacher_score.right}; hidden {list(done.shape)}"
    )
    if done.circuit_k:
        out.print(
            f"  circuit  2^{done.circuit_k} rows, {done.verify_gas:,} gas to verify, {done.prove_us / 1e6:.2f} s a proof"
        )
    paid = f"{format_ftns(done.paid_teacher)} FTNS for the teacher's answers"
    out.print(f"  paid     {paid} in {done.vouchers} vouchers (milestone {done.milestone})")
    out.print(f"  model    SHA-256 {done.model_sha256}")
    out.print('next: prsm ask "Which …?" --data cases.csv')
