"""`prsm vault`: money into and out of the Vault, where questions, channels and royalties are paid from and to."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated

import typer

from prsm_protocol.cli.common import As, Json, app, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.types import Wei

vault = typer.Typer(help="free balance in the Vault", no_args_is_help=True)
app.add_typer(vault, name="vault")

Amount = Annotated[str, typer.Argument(help="in FTNS, for example 5 or 0.25")]


class AmountZero(UsageError):
    text = "the amount is zero; say how many FTNS"


class WalletTooLow(UsageError):
    exit_code = 1
    text = "the wallet holds {held} FTNS, {wanted} are to be deposited; deposit less"


class VaultTooLow(UsageError):
    exit_code = 1
    text = "{held} FTNS are free in the Vault, {wanted} are to leave; `prsm funds` shows what is locked and until when"


@vault.command()
def show(person: As = "asker", as_json: Json = False) -> None:
    """Wallet, free balance, and an exit under way."""
    from datetime import UTC, datetime

    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        home = World().home(person)
        chain = home.chain
        wallet, free = chain.ftns.balance_of(home.address), chain.vault.free_of(home.address)
        leaving = chain.vault.exit_of(home.address)
        if as_json:
            exit_json = {"amount_wei": str(leaving.amount), "ready_at": leaving.ready_at} if leaving.amount else None
            print_json(
                {"account": home.address, "wallet_wei": str(wallet), "free_wei": str(free), "exit": exit_json}
            )  # fmt: skip
            return
        out.print(f"{person} {home.address}")
        out.print(f"  wallet  {format_ftns(wallet)} FTNS")
        out.print(f"  free    {format_ftns(free)} FTNS")
        if leaving.amount:
            ready = datetime.fromtimestamp(leaving.ready_at, UTC)
            out.print(
                f"  exit    {format_ftns(leaving.amount)} FTNS at {ready:%Y-%m-%d %H:%M:%S} UTC (prsm claim exit)"
            )


@vault.command()
def deposit(amount: Amount, person: As = "asker", as_json: Json = False) -> None:
    """Move FTNS from the wallet into the Vault."""
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        wei = _amount(amount)
        home = World().home(person)
        held = home.chain.ftns.balance_of(home.address)
        if held < wei:
            raise WalletTooLow(held=format_ftns(held), wanted=format_ftns(wei))
        key = _key("deposit")
        home.sender.transact(f"{key}:approve", home.chain.ftns.approve(home.chain.vault.address, wei))
        done = home.sender.transact(key, home.chain.vault.deposit(home.address, wei))
        _say(as_json, "deposited", wei, done.hash)


@vault.command()
def withdraw(
    amount: Amount,
    to: Annotated[str | None, typer.Option(help="address that gets it; default: the home's wallet")] = None,
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Take FTNS out of the free balance at once."""
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        wei = _amount(amount)
        home = World().home(person)
        _check_free(home.chain.vault.free_of(home.address), wei)
        call = home.chain.vault.withdraw(wei, to or home.address)
        _say(as_json, "withdrawn", wei, home.sender.transact(_key("withdraw"), call).hash)


@vault.command("exit")
def exit_(amount: Amount, person: As = "asker", as_json: Json = False) -> None:
    """Set FTNS aside to leave after the exit delay, whatever is halted then; `prsm claim exit` takes them."""
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        wei = _amount(amount)
        home = World().home(person)
        _check_free(home.chain.vault.free_of(home.address), wei)
        done = home.sender.transact(_key("exit"), home.chain.vault.queue_exit(wei))
        _say(as_json, "set aside", wei, done.hash)


def _amount(text: str) -> Wei:
    from prsm_protocol.types import parse_ftns

    wei = parse_ftns(text)
    if not wei:
        raise AmountZero()
    return wei


def _check_free(held: int, wanted: int) -> None:
    from prsm_protocol.types import format_ftns

    if held < wanted:
        raise VaultTooLow(held=format_ftns(held), wanted=format_ftns(wanted))


def _key(what: str) -> str:
    """A person who says it twice means it twice, so each call of the command has a key of its own."""
    return f"vault:{what}:{secrets.token_hex(8)}"


def _say(as_json: bool, what: str, wei: int, transaction: bytes) -> None:
    from prsm_protocol.types import format_ftns

    if as_json:
        print_json({"done": what, "amount_wei": str(wei), "transaction": "0x" + transaction.hex()})
    else:
        out.print(f"{what}: {format_ftns(wei)} FTNS in transaction 0x{transaction.hex()}")
