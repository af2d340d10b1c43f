"""`prsm ledger`: the vouchers a home has signed, and the tangle's receipt that a milestone holds one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prsm_protocol.cli.common import As, Json, app, out, print_json, reporting
from prsm_protocol.errors import LedgerError, UsageError

if TYPE_CHECKING:
    from prsm_protocol.workflow.channels import HomeChannels

ledger = typer.Typer(help="vouchers on the feeless ledger", no_args_is_help=True)
app.add_typer(ledger, name="ledger")


class VoucherChannelUnknown(UsageError):
    text = "this home signed no voucher in channel {channel!r}; `prsm ledger show` lists its channels"


class VoucherNotPosted(LedgerError):
    text = "voucher {sequence} of {channel} was never posted to the tangle; the run that signed it posts it when it goes on"


@ledger.command()
def show(
    channel: Annotated[
        str | None, typer.Option(help="only this channel: its name or id, or the id's beginning")
    ] = None,
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """The tangle as its node tells it, and every voucher of this home's channels."""
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.channels import HomeChannels
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        channels = HomeChannels(World().home(person))
        try:
            info = channels.ledger.info()
            wanted = channels.book.channels() if channel is None else [_find(channels, channel)]
            found = {each: _vouchers(channels, each) for each in wanted}
        finally:
            channels.close()
        if as_json:
            node = {"name": info.name, "version": info.version, "network": info.network, "healthy": info.is_healthy,
                    "milestone": info.latest, "milestone_at": info.latest_at}  # fmt: skip
            shown = [{"channel": "0x" + each.hex(), "vouchers": vouchers} for each, vouchers in found.items()]
            print_json({"node": node, "channels": shown})
            return
        health = "healthy" if info.is_healthy else "not healthy"
        out.print(f"{info.name} {info.version}, network {info.network}, {health}, milestone {info.latest}")
        for each, vouchers in found.items():
            out.print(f"channel-{each.hex()[:12]}")
            for voucher in vouchers:
                owed = format_ftns(int(str(voucher["cumulative_wei"])))
                out.print(
                    f"  {voucher['sequence']:4}  {owed} FTNS owed in all  block {voucher['message'] or '(not posted)'}"
                )
        if not found:
            out.print("no vouchers yet; a question or a distillation signs them")


@ledger.command()
def receipt(
    channel: Annotated[str, typer.Argument(help="a channel's name or id, or the id's beginning")],
    sequence: Annotated[int, typer.Argument(min=1, help="the voucher's number")],
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="also write the receipt, in the form of IOTA's inclusion tool")
    ] = None,
    person: As = "asker",
    as_json: Json = False,
) -> None:
    """Read a voucher's receipt from the tangle and check it against the trusted milestone keys."""
    import json
    from datetime import UTC, datetime

    from prsm_protocol.types import Immediate
    from prsm_protocol.workflow.channels import HomeChannels
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        channels = HomeChannels(World().home(person))
        try:
            found = _find(channels, channel)
            if channels.book.voucher(found, sequence).message is None:
                raise VoucherNotPosted(sequence=sequence, channel=f"channel-{found.hex()[:12]}")
            inclusion = channels.inclusion(found, sequence, Immediate())
            included = channels.milestone_of(inclusion)
        finally:
            channels.close()
        if file is not None:
            file.write_text(json.dumps(inclusion.to_json(), indent=1))
        if as_json:
            print_json(
                {"channel": "0x" + found.hex(), "sequence": sequence, "block": "0x" + included.id.hex(),
                 "milestone": included.milestone, "at": included.at, "receipt": inclusion.to_json()}
            )  # fmt: skip
            return
        at = datetime.fromtimestamp(included.at, UTC)
        out.print(
            f"voucher {sequence} of channel-{found.hex()[:12]} is in milestone {included.milestone} of {at:%Y-%m-%d %H:%M:%S} UTC"
        )
        out.print(f"  block 0x{included.id.hex()}; path of {len(inclusion.path)} hashes and milestone signatures hold")


def _find(channels: HomeChannels, name: str) -> bytes:
    wanted = name.lower().removeprefix("channel-").removeprefix("0x")
    found = [each for each in channels.book.channels() if len(wanted) >= 8 and each.hex().startswith(wanted)]
    if len(found) != 1:
        raise VoucherChannelUnknown(channel=name)
    return found[0]


def _vouchers(channels: HomeChannels, channel: bytes) -> list[dict[str, object]]:
    best = channels.book.best(channel)
    last = 0 if best is None else best.signed.voucher.sequence
    kept = [channels.book.voucher(channel, sequence) for sequence in range(1, last + 1)]
    return [
        {
            "sequence": each.signed.voucher.sequence,
            "cumulative_wei": str(each.signed.voucher.cumulative),
            "usage_root": "0x" + each.signed.voucher.usage_root.hex(),
            "message": None if each.message is None else "0x" + each.message.hex(),
        }
        for each in kept
    ]
