"""`prsm demo`: one question from nothing to a verified answer, in a state folder of its own that the next demo replaces."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from prsm_protocol.cli.common import Ended, Json, app, clean, err, out, print_json, reporting

if TYPE_CHECKING:
    from prsm_protocol.workflow.home import Home
    from prsm_protocol.workflow.run import Finished
    from prsm_protocol.workflow.world import World


@dataclass
class Stage:
    name: str
    seconds: float
    peak_bytes: int


@dataclass
class Stages:
    """Seconds and peak resident memory of each stage: ours, and the largest of the world's processes and their workers."""

    world: World
    done: list[Stage] = field(default_factory=list)
    workers: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        err.print(f"[bold]{name}[/]")
        begun = time.monotonic()
        yield
        self.done.append(Stage(name, time.monotonic() - begun, max(self._peak(), self.workers)))
        err.print(f"  {name}: {self.done[-1].seconds:.1f} s", style="dim")

    def _peak(self) -> int:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return max([own, *(_high_water(each.pid) for each in self.world.started())])


def _high_water(pid: int) -> int:
    """Peak resident bytes of a process, where the kernel tells (0 elsewhere)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0


@app.command()
def demo(
    sample: Annotated[str, typer.Option(help="breast-cancer, wine or digits")] = "breast-cancer",
    keep: Annotated[bool, typer.Option("--keep", help="leave the world running afterwards")] = False,
    as_json: Json = False,
) -> None:
    """Make a world, make two models, ask a question about rows they never saw, and check the answer as a stranger would."""
    from prsm_protocol.orchestration import samples
    from prsm_protocol.settings import settings
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        question = samples.question_for(sample)
        world = World(settings().state / "demo")
        world.down(purge=True)
        stages = Stages(world)
        try:
            code = _run(world, stages, sample, question, as_json)
        finally:
            if not keep:
                world.down()
        if keep:
            out.print(
                f"\nThe world runs on: PRSM_STATE={world.state} prsm ask … ; end it with PRSM_STATE={world.state} prsm down"
            )
        else:
            out.print("\nThe world was stopped; KEEP=1 (or --keep) leaves it running. Its record stays:")
            out.print(f"  {world.state}")
        if code:
            raise Ended(code)


def _run(world: World, stages: Stages, sample: str, question: str, as_json: bool) -> int:
    from prsm_protocol.cli.ask import finished_json, show
    from prsm_protocol.models.bundled import fetch, pins

    for name in pins():
        fetch(name)
    with stages.stage("world"):
        world.up(lambda text: err.print(f"  starting {text}", style="dim"))
    with stages.stage("models"):
        made = _models(world, sample)
        stages.workers = made["distilled"].circuit_peak_bytes
    home = world.home()
    _show_models(made)
    with stages.stage("question"):
        asked = _ask(world, home, sample, question)
    out.print(f"\n[bold]{question}[/]")
    show(home, asked)
    _tree(asked)
    _money(world, asked)
    with stages.stage("verification"):
        code, text = _verify(home, asked)
    out.print("\n[bold]Checked by the standalone script[/] (it imports nothing of this package)")
    out.print(text, markup=False)
    _stages(stages)
    out.print("\n[bold]Try next[/]")
    out.print('  prsm up --models wine && prsm ask --sample wine "Which cultivar is each?" --budget 5')
    out.print("  prsm distill --data yours.csv --target COLUMN --provable")
    if as_json:
        print_json({**finished_json(home, asked), "stages": [vars(stage) for stage in stages.done], "verified": code})
    return code


def _models(world: World, sample: str) -> dict[str, Any]:
    from prsm_protocol.cli.distill import sample_models

    return sample_models(world, sample)


def _show_models(made: dict[str, Any]) -> None:
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.distill import SEED

    done = made["distilled"]
    out.print(f"\n[bold]Models made here[/] (seed {SEED})")
    for name, entry in made["listings"].items():
        out.print(f"  {name}: listing {entry['listing']}")
    out.print(f"  student's ONNX file  SHA-256 {done.model_sha256}")
    out.print(
        f"  held-out rows right  student {done.student.right}, teacher {done.teacher_score.right}, of {done.student.total}"
    )
    out.print(f"  circuit              2^{done.circuit_k} rows, verification {done.verify_gas:,} gas")
    paid = format_ftns(done.paid_teacher)
    out.print(
        f"  teacher's answers    {paid} FTNS settled on chain by {done.vouchers} vouchers, the last under milestone {done.milestone}"
    )


def _ask(world: World, home: Home, sample: str, text: str) -> Finished:
    from prsm_protocol.cli.ask import _estimate, _follow, _show_estimate
    from prsm_protocol.orchestration import question as questions
    from prsm_protocol.orchestration import samples
    from prsm_protocol.types import parse_ftns

    paths = samples.write_sample(sample, world.state / "samples" / sample)
    asked = questions.read(text, list(paths), budget=parse_ftns("5"), deadline=timedelta(seconds=600))
    estimate = _estimate(home, asked)
    _show_estimate(estimate, quiet=False)
    return _follow(home, None, {"question": asked, "estimate": estimate})


def _tree(asked: Finished) -> None:
    from rich.tree import Tree

    tree = Tree(f"run {asked.run}: {asked.answer.state}, weakest tier {asked.answer.tier}")
    for claim in asked.answer.claims:
        branch = tree.add(f"[{claim.tier}] {clean(claim.text)}".replace("[", r"\["))
        for citation in claim.citations[:2]:
            branch.add(
                f"attempt {str(citation.attempt)[:20]}… {citation.path}"
                if citation.attempt
                else f"page {citation.page}"
            )
    out.print()
    out.print(tree)


def _money(world: World, asked: Finished) -> None:
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow import funds

    table = Table(title="Money", title_justify="left", box=None, pad_edge=False)
    for column in ("who", "for", "FTNS"):
        table.add_column(column, justify="right" if column == "FTNS" else "left")
    paid: dict[str, int] = {}
    for payment in asked.payments:
        paid[payment.operator] = paid.get(payment.operator, 0) + payment.net
    for operator, amount in paid.items():
        table.add_row(f"operator {operator[:10]}…", "proved predictions", format_ftns(amount))
    table.add_row("burnt", "protocol fee", format_ftns(sum(payment.fee for payment in asked.payments)))
    for person in ("distiller", "teacher-owner", "data-owner"):
        home = world.home(person)
        owed = sum(lock.amount for lock in funds.funds(home.chain, home.address).locks if lock.held_by == "Royalties")
        table.add_row(person, "royalties, claimable now", format_ftns(owed))
    table.add_row("asker", "returned from the budget", format_ftns(asked.refunded))
    out.print()
    out.print(table)


def _verify(home: Home, asked: Finished) -> tuple[int, str]:
    from prsm_protocol.cli.verify import script

    command = [sys.executable, "-I", str(script()), asked.bundle, "--rpc", home.network.rpc]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _stages(stages: Stages) -> None:
    table = Table(title="Stages", title_justify="left", box=None, pad_edge=False)
    for column in ("stage", "seconds", "peak MB of any process"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in stages.done:
        table.add_row(stage.name, f"{stage.seconds:.1f}", f"{stage.peak_bytes / 1e6:.0f}")
    table.add_row("whole", f"{sum(stage.seconds for stage in stages.done):.1f}", "")
    out.print()
    out.print(table)
