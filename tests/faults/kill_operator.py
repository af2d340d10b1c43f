"""Kill an operator's node in the middle of a job, again and again, in ten different states, and count the money.

    python tests/faults/kill_operator.py --runs 10 [--state FOLDER] [--seconds-down 0]

Each run asks one question, kills the node that holds its work with SIGKILL when its store shows the wanted state, and waits for
the question's end: an answer, from the other node where need be, or the budget back. Money is read from the chain: what was
deposited is what was paid and refunded, and no job stays open. The node starts again after the run, or already `--seconds-down`
seconds after its death, as a service manager would do it. One line a run, then one JSON object; exit 1 on any loss.

Left out: killing two nodes at once, and the machine's own death.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # an installed package is called `tests` too

from flows.real_world import NODES, Asking, RealWorld, until

from prsm_protocol.chain.escrow import TaskStatus
from prsm_protocol.rules.market.escrow import JobStatus

ROWS = 3
"""Two nodes: one gets two rows, the other one; the victim then often has a delivered and an open one."""
WATCH_SECONDS = 90
END_SECONDS = 400


@dataclass(frozen=True)
class State:
    """When to kill: as soon as `tasks` of the victim's tasks are at `work` or behind it, and `wait` seconds more."""

    name: str
    work: str
    tasks: int = 1
    wait: float = 0.0


STATES = (
    State("before its tasks are assigned", "quoted"),
    State("when it has seen the assignment", "assigned"),
    State("when the first input is stored", "input"),
    State("when all inputs are stored", "input", 2),
    State("when the model has run", "output"),
    State("in the middle of the first proof", "output", 1, 0.7),
    State("with a proof made and not signed", "proof"),
    State("with a result signed and not sent", "signed"),
    State("right after a delivery was broadcast", "deliver"),
    State("in the middle of the second proof", "deliver", 1, 1.2),
)
ORDER = ("quoted", "assigned", "input", "output", "proof", "signed", "deliver")


@dataclass(frozen=True)
class Outcome:
    """What became of one run."""

    state: str
    node: str
    seen: dict[str, int]
    code: int
    answered: bool
    rows: int
    seconds: float
    deposited: int
    paid: int
    refunded: int
    locked: int
    paid_tasks: int
    refunded_tasks: int
    lost: str


def one_run(world: RealWorld, number: int, state: State, seconds_down: float | None = None) -> Outcome:
    """Ask, kill at `state`, wait for the end, count."""
    before = world.wealth()
    table = world.table("killed", ROWS)
    begun = time.monotonic()
    asking = world.ask("Which cases are malignant?", "--data", str(table), "--task", "predict", "--budget", "5")
    run = until(asking.run, WATCH_SECONDS, "the run's id")
    victim, seen = _kill_at(world, asking, run, state, number)
    if seconds_down is not None:
        threading.Event().wait(seconds_down)
        world.start_again(victim)
    ended = asking.ended(END_SECONDS)
    seconds = time.monotonic() - begun
    if seconds_down is None:
        world.start_again(victim)
    job = world.job_of(run)
    book = world.book(job)
    answer = json.loads(ended.out) if ended.out.startswith("{") else {}
    rows = answer.get("rows", len({each["task"] for each in answer.get("payments", []) if each["status"] == "paid"}))
    lost = _loss(world, job, before, answer)
    return Outcome(
        state=state.name, node=victim, seen=seen, code=ended.code, answered=answer.get("state") == "answered", rows=rows,
        seconds=round(seconds, 1), deposited=book.deposited, paid=book.paid, refunded=book.refunded, locked=book.locked,
        paid_tasks=sum(1 for each in book.tasks.values() if each is TaskStatus.PAID),
        refunded_tasks=sum(1 for each in book.tasks.values() if each is TaskStatus.REFUNDED), lost=lost,
    )  # fmt: skip


def _kill_at(world: RealWorld, asking: Asking, run: str, state: State, number: int) -> tuple[str, dict[str, int]]:
    """Kill the first node that is far enough; both hold work, so chance and load decide which one it is."""
    wanted = ORDER.index(state.work)
    order = NODES if number % 2 else tuple(reversed(NODES))

    def look() -> str | None:
        if asking.process.poll() is not None:
            return order[0]  # the run was faster than we: the kill then hits an idle node, and `seen` says so
        job = world.job_of(run)
        for node in order if job else ():
            far = [
                work for work in world.node_work(node, job).values() if work in ORDER and ORDER.index(work) >= wanted
            ]
            # a node may hold fewer tasks than the state names
            if far and len(far) >= min(state.tasks, len(world.node_work(node, job))):
                return node
        return None

    victim = until(look, WATCH_SECONDS, f"a node {state.name}", 0.01)
    threading.Event().wait(state.wait)
    world.kill(victim)
    seen: dict[str, int] = {}
    for work in world.node_work(victim, world.job_of(run)).values():
        seen[work] = seen.get(work, 0) + 1
    return victim, seen


def _loss(world: RealWorld, job: bytes, before: int, answer: dict[str, object]) -> str:
    """What is wrong with the money, in words; empty when nothing is."""
    book = world.book(job)
    after = world.wealth()
    if world.chain.escrow.job(job).status is not JobStatus.CLOSED:
        return f"job 0x{job.hex()} is still open"
    if book.open_tasks or book.locked:
        return f"{book.locked} wei stay locked in {book.open_tasks} tasks"
    if book.balance:
        return f"{book.balance} wei of the deposit are neither paid nor refunded"
    if before - after != book.paid:
        return f"the asker has {before - after} wei less, and paid {book.paid} wei"
    if not answer:
        return "the command printed no answer"
    if answer["spent"] != str(book.paid) or answer["refunded"] != str(book.refunded):
        return f"the answer says spent {answer['spent']}, refunded {answer['refunded']}; the chain says otherwise"
    if answer["state"] != "answered" and book.paid:
        return f"{book.paid} wei were paid and the question is {answer['state']}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument(
        "--state", type=Path, help="state folder of a world with the sample's models; default: a new one"
    )
    parser.add_argument("--seconds-down", type=float, help="start the node again so long after its death")
    chosen = parser.parse_args()
    folder = chosen.state or Path(tempfile.mkdtemp(prefix="prsm-kill-"))
    world = RealWorld(folder)
    outcomes: list[Outcome] = []
    try:
        world.up()
        for number in range(chosen.runs):
            outcome = one_run(world, number, STATES[number % len(STATES)], chosen.seconds_down)
            outcomes.append(outcome)
            verdict = f"LOST {outcome.lost}" if outcome.lost else "nothing lost"
            print(
                f"{number + 1:3} {outcome.node} killed {outcome.state}: "
                f"{'answered' if outcome.answered else 'refunded'} after {outcome.seconds} s, "
                f"{outcome.paid_tasks} paid, {outcome.refunded_tasks} refunded, {verdict}",
                flush=True,
            )
    finally:
        if chosen.state is None:
            world.down()
    lost = [outcome for outcome in outcomes if outcome.lost]
    print(json.dumps({"runs": len(outcomes), "lost": len(lost), "outcomes": [asdict(outcome) for outcome in outcomes]}))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
