"""`prsm funds` shows every lock with the command that takes it, `prsm claim` takes, `prsm why-paid` explains."""

from __future__ import annotations

from typing import Annotated

import typer

from prsm_protocol.cli.common import As, Ended, Json, app, out, print_json, reporting


@app.command()
def funds(person: As = "asker", as_json: Json = False) -> None:
    """Wallet, free balance and every lock of a home: owner, amount, release, claiming command."""
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow import funds as money
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        home = World().home(person)
        found = money.funds(home.chain, home.address)
        if as_json:
            print_json(
                {"account": home.address, "wallet_wei": str(found.wallet), "free_wei": str(found.free),
                 "locks": [{"id": lock.id, "owner": lock.owner, "amount_wei": str(lock.amount), "held_by": lock.held_by,
                            "purpose": lock.purpose, "releases": lock.releases, "claim": lock.claim, "claimable": lock.claimable}
                           for lock in found.locks]}
            )  # fmt: skip
            return
        out.print(f"{person} {home.address}")
        out.print(f"  wallet  {format_ftns(found.wallet)} FTNS")
        out.print(f"  free    {format_ftns(found.free)} FTNS in the Vault (prsm vault withdraw AMOUNT)")
        for lock in found.locks:
            out.print(
                f"  locked  {format_ftns(lock.amount)} FTNS in {lock.held_by}: {lock.purpose}; released {lock.releases}; {lock.claim}"
            )


@app.command()
def claim(
    lock: Annotated[str | None, typer.Argument(help="a lock's name from `prsm funds`")] = None,
    every: Annotated[bool, typer.Option("--all", help="everything that is due")] = False,
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Take what is due into the Vault balance."""
    from prsm_protocol.errors import UsageError
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow import funds as money
    from prsm_protocol.workflow.world import World

    class LockUnnamed(UsageError):
        text = "name a lock (see `prsm funds`) or say --all"

    with reporting(as_json):
        if lock is None and not every:
            raise LockUnnamed()
        home = World().home(person)
        taken = money.claim(home.chain, home.address, lock, home.sender.transact)
        if as_json:
            print_json({"claimed": [{"id": each.id, "amount_wei": str(each.amount)} for each in taken]})
            return
        for each in taken:
            out.print(f"claimed {format_ftns(each.amount)} FTNS: {each.purpose}")
        if not taken:
            out.print("nothing is due")


@app.command("why-paid")
def why_paid(
    task: Annotated[str, typer.Argument(help="a task's id, 0x…")],
    as_json: Json = False,
) -> None:
    """Price, fee, royalties and net of one task, recomputed; or why nothing was paid."""
    from prsm_protocol.errors import UsageError
    from prsm_protocol.workflow import funds as money
    from prsm_protocol.workflow.world import World

    class TaskIdInvalid(UsageError):
        text = "{task!r} is no task id; it has 32 bytes in hexadecimal"

    with reporting(as_json):
        try:
            raw = bytes.fromhex(task.removeprefix("0x"))
        except ValueError:
            raw = b""
        if len(raw) != 32:
            raise TaskIdInvalid(task=task)
        found = money.why_paid(World().home().chain, raw)
        if as_json:
            print_json({"task": task, "status": found.status, "lines": list(found.lines), "agrees": found.agrees})
        else:
            out.print(f"task {task}: {found.status}")
            for line in found.lines:
                out.print(f"  {line}", markup=False)
        if not found.agrees:
            raise Ended(1)
