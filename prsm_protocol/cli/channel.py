"""`prsm channel`: the deposits a home pays metered use from, and the payer's own way out of each."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from prsm_protocol.cli.common import As, Json, app, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.workflow.funds import PaidChannel
    from prsm_protocol.workflow.home import Home

channel = typer.Typer(help="payment channels of a home", no_args_is_help=True)
app.add_typer(channel, name="channel")

Name = Annotated[str, typer.Argument(help="a channel's name from `prsm funds` or `prsm channel show`, or its id")]


class ChannelNotFound(UsageError):
    text = "this home opened no channel {name!r}; `prsm channel show` lists them"


class ChannelEnded(UsageError):
    exit_code = 1
    text = "{name} is closed; nothing is left in it"


class ChannelClosingAlready(UsageError):
    exit_code = 1
    text = "{name} is closing already; take the rest with: prsm channel withdraw {name}"


class ChannelNotClosing(UsageError):
    exit_code = 1
    text = "{name} is open; begin with: prsm channel close {name}"


@channel.command()
def show(
    name: Annotated[str | None, typer.Argument(help="only this one")] = None,
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Every channel this home pays through: deposit, settled, and when it closes."""
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.funds import channels_of
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        home = World().home(person)
        found = [_find(home, name)] if name is not None else channels_of(home.chain, home.address)
        if as_json:
            print_json({"account": home.address, "channels": [_json(each) for each in found]})
            return
        for each in found:
            state = each.channel
            out.print(f"{each.name}  {state.status.name.lower()}  to {each.terms.payee}")
            out.print(f"  deposit {format_ftns(state.deposit)} FTNS, settled {format_ftns(state.settled)}")
            if state.closes_at:
                out.print(f"  closes at {state.closes_at} (halt-adjusted clock); prsm channel withdraw {each.name}")
        if not found:
            out.print("no channels yet; a question or a distillation opens them")


@channel.command("top-up")
def top_up(
    name: Name,
    amount: Annotated[str, typer.Argument(help="in FTNS, out of the Vault balance, else out of the wallet")],
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Raise a channel's deposit."""
    from prsm_protocol.types import parse_ftns
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        wei = parse_ftns(amount)
        home = World().home(person)
        found = _open(home, name)
        key = _key(found, "top-up")
        home.fund_vault(key, wei)
        done = home.sender.transact(key, home.chain.channels.top_up(found.terms, wei))
        _say(home, found, as_json, f"topped up by {amount} FTNS", done.hash)


@channel.command()
def close(name: Name, person: As = "asker", as_json: Json = False) -> None:
    """Begin to close: final, and after the delay, in which the payee may still settle, the rest can be withdrawn."""
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        home = World().home(person)
        found = _open(home, name)
        if found.channel.closes_at:
            raise ChannelClosingAlready(name=found.name)
        done = home.sender.transact(_key(found, "close"), home.chain.channels.start_close(found.terms))
        said = f"closing; the rest is free {found.terms.close_delay} s from now: prsm channel withdraw {found.name}"
        _say(home, found, as_json, said, done.hash)


@channel.command()
def withdraw(name: Name, person: As = "asker", as_json: Json = False) -> None:
    """Take the rest of a closing channel once its delay is over."""
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.funds import LockNotDue
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        home = World().home(person)
        found = _open(home, name)
        closes_at, now = found.channel.closes_at, home.chain.escrow.active_time()
        if not closes_at:
            raise ChannelNotClosing(name=found.name)
        if now < closes_at:
            raise LockNotDue(lock=found.name, releases=f"{closes_at - now} s from now")
        done = home.sender.transact(_key(found, "withdraw"), home.chain.channels.withdraw(found.terms))
        rest = found.channel.deposit - found.channel.settled
        _say(home, found, as_json, f"closed; {format_ftns(rest)} FTNS are back in the Vault", done.hash)


def _find(home: Home, name: str) -> PaidChannel:
    from prsm_protocol.workflow.funds import channels_of

    for each in channels_of(home.chain, home.address):
        if name in (each.name, each.id.hex(), "0x" + each.id.hex()):
            return each
    raise ChannelNotFound(name=name)


def _open(home: Home, name: str) -> PaidChannel:
    from prsm_protocol.chain.channels import ChannelStatus

    found = _find(home, name)
    if found.channel.status is not ChannelStatus.OPEN:
        raise ChannelEnded(name=found.name)
    return found


def _key(found: PaidChannel, what: str) -> str:
    return f"{found.name}:{what}:{secrets.token_hex(8)}"


def _json(each: PaidChannel) -> dict[str, object]:
    return {
        "name": each.name,
        "id": "0x" + each.id.hex(),
        "status": each.channel.status.name.lower(),
        "payee": each.terms.payee,
        "deposit_wei": str(each.channel.deposit),
        "settled_wei": str(each.channel.settled),
        "closes_at": each.channel.closes_at or None,
        "close_delay_seconds": each.terms.close_delay,
    }


def _say(home: Home, found: PaidChannel, as_json: bool, text: str, transaction: bytes) -> None:
    if as_json:
        print_json({**_json(_find(home, found.name)), "transaction": "0x" + transaction.hex()})
    else:
        out.print(f"{found.name}: {text} (transaction 0x{transaction.hex()})", markup=False)
