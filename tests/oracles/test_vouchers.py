"""Rows of a trusted model, metered, paid by vouchers and settled on a real chain."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from prsm_protocol.chain.anvil import development_account
from prsm_protocol.identity import Identity
from prsm_protocol.ledger.client import StardustLedger
from prsm_protocol.ledger.inclusion import network_id
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.voucher_message import SignedVoucher
from prsm_protocol.ledger.vouchers import VoucherBook
from prsm_protocol.rules import integer_layers
from prsm_protocol.rules.channel.usage import Unit, UsageLine
from prsm_protocol.rules.channel.vouchers import ChannelTerms
from prsm_protocol.types import FTNS, Listing, Wei
from tests.oracles.world import NETWORK, PRICE, ROW, Asker, Operator, Refused, Tangle, World, trusted_hash, until

ROW_COST = PRICE.base + PRICE.per_row
DEPOSIT = Wei(FTNS)


@dataclass
class Payer:
    """The other end of a channel."""

    asker: Asker
    book: VoucherBook
    terms: ChannelTerms
    channel: bytes
    listing: Listing

    @property
    def path(self) -> str:
        return "/v1/channels/0x" + self.channel.hex()

    def lines(self, *counts: int) -> list[UsageLine]:
        assert self.listing.cid is not None
        digest = self.listing.cid.digest
        return [UsageLine(digest, Unit.ROWS, n, Wei(PRICE.base + PRICE.per_row * n)) for n in counts]

    def sign(self, lines: Sequence[UsageLine]) -> SignedVoucher:
        key = secrets.token_hex(8)
        return self.book.sign_next(self.channel, lines, self.asker.wallet, key=key, quote=lambda line: line.amount)

    def rows(self, rows: list[tuple[int, ...]], voucher: SignedVoucher, key: str | None = None) -> dict[str, object]:
        body = {"listing": str(self.listing.cid), "rows": [[str(word) for word in row] for row in rows]}
        headers = {"PRSM-Voucher": json.dumps(voucher.to_json())}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.asker.call("POST", "/v1/rows", body, headers)

    def shown(self) -> dict[str, object]:
        return self.asker.call("GET", self.path)


@pytest.fixture
def payer(world: World, listing: Listing, operator: Operator, asker: Asker, tangle: Tangle, tmp_path: Path) -> Payer:
    """An open channel to the operator, seen by its node."""
    wallet = development_account(1)
    terms = ChannelTerms(
        payer=wallet.address,
        payee=str(operator.addresses["operator"]),
        signer=wallet.address,
        records=(listing.record,),
        settler_fee=Wei(0),
        close_delay=3600,
        salt=secrets.randbits(128),
    )
    world.send(wallet, world.chain.channels.open(terms, DEPOSIT))
    book = VoucherBook(
        tmp_path / "payer.db",
        chain_id=world.chain.chain_id,
        channels=world.chain.channels.address,
        network=network_id(tangle.network),
    )
    found = Payer(asker, book, terms, book.open(terms, DEPOSIT), listing)

    def is_seen() -> bool:
        return httpx.get(operator.url + found.path).status_code == 200

    until(is_seen)
    return found


def test_rows_are_served_metered_settled_and_the_channel_closed(world: World, operator: Operator, payer: Payer) -> None:
    before = world.chain.vault.free_of(payer.terms.payee)

    # 1. The first request owes nothing yet: it is served on credit.
    first = payer.rows([ROW], payer.sign([]))
    assert first["outputs"] == [[str(word) for word in integer_layers.run(NETWORK, ROW)]]
    assert first["receipt"]["charged"] == str(ROW_COST)  # type: ignore[index]
    assert payer.shown()["used_wei"] == str(ROW_COST)

    # 2. The next one brings the voucher over the first.
    voucher = payer.sign(payer.lines(1))
    payer.rows([(1, 2, 3)], voucher)
    assert payer.shown()["cumulative_wei"] == str(ROW_COST)

    # 3. The last use is acknowledged on its own, then the payee settles and closes.
    last = payer.sign(payer.lines(1))
    taken = payer.asker.call("POST", "/v1/vouchers", last.to_json())
    assert (taken["acknowledged_sequence"], taken["cumulative_wei"]) == (3, str(2 * ROW_COST))
    closed = payer.asker.call("POST", payer.path + "/close")
    assert closed["settle_transaction"] is not None
    assert world.chain.channels.channel(payer.channel).status.name == "CLOSED"

    # 4. What the chain credited is what the node says it earned, to the wei.
    paid = 2 * ROW_COST
    credited = world.chain.vault.free_of(payer.terms.payee) - before
    assert credited == paid - paid * 200 // 10_000 - paid * 500 // 10_000
    token = (operator.home / "token").read_text()

    def earned() -> object:
        found = httpx.get(operator.url + "/v1/earnings", headers={"Authorization": f"Bearer {token}"}).json()
        return [e["net_wei"] for e in found["earnings"] if e["subject"] == "0x" + payer.channel.hex()] == [
            str(credited)
        ]

    until(earned)


def test_nobody_is_served_more_than_one_window_ahead(payer: Payer) -> None:
    voucher = payer.sign([])
    payer.rows([ROW], voucher)  # 0.03 of the 0.05 FTNS of credit
    with pytest.raises(Refused) as caught:
        payer.rows([(4, 5, 6)], voucher)
    assert (caught.value.status, caught.value.problem["type"]) == (402, "VoucherTooLow")
    assert payer.shown()["used_wei"] == str(ROW_COST)


def test_same_request_again_is_answered_and_counted_once(payer: Payer) -> None:
    voucher = payer.sign([])
    first = payer.rows([ROW], voucher, "one")
    assert payer.rows([ROW], voucher, "one")["outputs"] == first["outputs"]
    assert payer.shown()["used_wei"] == str(ROW_COST)


def test_voucher_over_other_use_is_refused(payer: Payer) -> None:
    payer.rows([ROW], payer.sign([]))
    with pytest.raises(Refused) as caught:
        payer.asker.call("POST", "/v1/vouchers", payer.sign(payer.lines(2)).to_json())
    assert (caught.value.status, caught.value.problem["type"]) == (409, "UsageRootMismatch")


def test_stranger_with_a_public_voucher_neither_uses_nor_closes_the_channel(world: World, payer: Payer) -> None:
    voucher = payer.sign([])
    payer.rows([ROW], voucher)
    stranger = Payer(
        Asker(world, payer.asker.wallet, payer.asker.url, Identity.generate()),
        payer.book,
        payer.terms,
        payer.channel,
        payer.listing,
    )
    for attempt in (lambda: stranger.rows([ROW], voucher), lambda: stranger.asker.call("POST", payer.path + "/close")):
        with pytest.raises(Refused) as caught:
            attempt()
        assert (caught.value.status, caught.value.problem["type"]) == (403, "NotYours")


def test_voucher_that_only_the_tangle_brought_is_kept_with_its_receipt_and_settled(
    world: World, payer: Payer, tangle: Tangle
) -> None:
    payer.rows([ROW], payer.sign([]))
    signed = payer.sign(payer.lines(1))
    ledger = StardustLedger([tangle.url], allow_unhealthy=True, transport=RestTransport([tangle.url]))
    with ledger:
        for sequence in (1, signed.voucher.sequence):
            payer.book.post(ledger, payer.channel, sequence)
        shown = until(lambda: (now := payer.shown())["cumulative_wei"] == str(ROW_COST) and now["inclusion"] and now)
    assert shown["sequence"] == 2  # type: ignore[index]
    assert payer.asker.call("POST", payer.path + "/settle")["transaction"] is not None
    assert world.chain.channels.channel(payer.channel).settled == ROW_COST


def test_voucher_that_adds_nothing_acknowledges_a_task_that_escrow_pays(world: World, payer: Payer) -> None:
    terms = payer.asker.open_job(Wei(FTNS))
    quotes = payer.asker.quote(terms, payer.listing, [trusted_hash(ROW)])
    payer.asker.assign(terms, quotes)
    payer.asker.send_input(str(quotes[0]["task_id"]), ROW)
    payer.asker.wait_for(str(quotes[0]["task_id"]), "delivered")
    assert payer.listing.cid is not None
    line = UsageLine(payer.listing.cid.digest, Unit.ROWS, 1, Wei(0))
    taken = payer.asker.call("POST", "/v1/vouchers", payer.sign([line]).to_json())
    assert (taken["acknowledged_sequence"], taken["cumulative_wei"]) == (1, "0")
    other = UsageLine(payer.listing.cid.digest, Unit.ROWS, 2, Wei(0))
    with pytest.raises(Refused) as caught:
        payer.asker.call("POST", "/v1/vouchers", payer.sign([other]).to_json())
    assert caught.value.problem["type"] == "UsageRootMismatch"
