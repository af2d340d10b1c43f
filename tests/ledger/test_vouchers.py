"""A payer and a payee over a real ledger: signed once, posted, read back with receipts, and no side can be cheated."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from prsm_protocol.ledger import inclusion
from prsm_protocol.ledger.archive import Archive
from prsm_protocol.ledger.client import StardustLedger
from prsm_protocol.ledger.inclusion import network_id
from prsm_protocol.ledger.messages import Confirmation, EnvelopeInvalid, Kind, State, seal_envelope, tag_of
from prsm_protocol.ledger.node.process import NodeProcess
from prsm_protocol.ledger.transport import NodeRefused
from prsm_protocol.ledger.usage import Meter, UsageEntry
from prsm_protocol.ledger.voucher_message import SignedVoucher, VoucherMalformed, read_voucher, voucher_message
from prsm_protocol.ledger.vouchers import PriceAboveQuote, UsageNotSeen, VoucherBook, VoucherUnknown
from prsm_protocol.rules.channel.usage import NOTHING_USED, Unit, UsageLine
from prsm_protocol.rules.channel.vouchers import (
    ChannelClosing,
    ChannelTerms,
    ChannelUnknown,
    UsageRootMismatch,
    VoucherOutOfOrder,
    VoucherOverDeposit,
    VoucherSignatureInvalid,
    may_serve,
)
from prsm_protocol.types import FTNS, Wei

CHAIN, CHANNELS = 31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3"
NETWORK = network_id("prsm-local")
DEPOSIT = Wei(FTNS)
LISTING = b"\x0a" * 32


class Key:
    """A channel's signer over a bare private key."""

    def __init__(self, number: int) -> None:
        self._account = Account.from_key(bytes([number]) * 32)
        self.address: str = self._account.address
        self.signed = 0

    def sign_digest(self, digest: bytes) -> bytes:
        self.signed += 1
        return bytes(self._account.unsafe_sign_hash(digest).signature)


PAYER, PAYEE, STRANGER = Key(3), Key(4), Key(5)


def open_book(path: Path) -> VoucherBook:
    return VoucherBook(path, chain_id=CHAIN, channels=CHANNELS, network=NETWORK)


def a_line(amount: int, quantity: int = 1) -> UsageLine:
    return UsageLine(LISTING, Unit.ROWS, quantity, Wei(amount))


def asked(line: UsageLine) -> Wei:
    return line.amount


@pytest.fixture
def terms(request: pytest.FixtureRequest) -> ChannelTerms:
    """A channel of its own for each test: the module's ledger remembers."""
    salt = int.from_bytes(request.node.name.encode()[:32], "big")
    return ChannelTerms(PAYER.address, PAYEE.address, PAYER.address, (), Wei(0), 86_400, salt)


@pytest.fixture
def payer(tmp_path: Path) -> Iterator[VoucherBook]:
    book = open_book(tmp_path / "payer.sqlite")
    yield book
    book.close()


@pytest.fixture
def payee(tmp_path: Path) -> Iterator[VoucherBook]:
    book = open_book(tmp_path / "payee.sqlite")
    yield book
    book.close()


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[Meter]:
    opened = Meter(tmp_path / "meter.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def channel(terms: ChannelTerms, payer: VoucherBook, payee: VoucherBook) -> bytes:
    ids = {payer.open(terms, DEPOSIT), payee.open(terms, DEPOSIT)}
    assert len(ids) == 1
    return ids.pop()


@pytest.fixture
def archive(node: NodeProcess, ledger: StardustLedger, tmp_path: Path) -> Iterator[Archive]:
    opened = Archive(ledger.rest, tmp_path / "archive.sqlite", [tag_of(Kind.VOUCHER)], node.trust)
    yield opened
    opened.close()


# ── the payer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_vouchers_add_up_and_count_from_one(payer, channel):
    first = payer.sign_next(channel, [a_line(10), a_line(5)], PAYER, key="a", quote=asked)
    second = payer.sign_next(channel, [a_line(1)], PAYER, key="b", quote=asked)
    assert (first.voucher.sequence, first.voucher.cumulative, first.lines) == (1, 15, 2)
    assert (second.voucher.sequence, second.voucher.cumulative) == (2, 16)


def test_same_key_returns_the_stored_voucher_and_signs_nothing(payer, channel):
    first = payer.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked)
    before = PAYER.signed
    assert payer.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked) == first
    assert PAYER.signed == before


def test_retry_after_a_crash_signs_nothing_again(payer, channel, tmp_path):
    first = payer.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked)
    again = open_book(tmp_path / "payer.sqlite")
    assert again.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked) == first
    assert again.sign_next(channel, [a_line(1)], PAYER, key="b", quote=asked).voucher.sequence == 2
    again.close()


def test_price_above_the_quote_is_not_signed(payer, channel):
    payer.sign_next(channel, [a_line(10)], PAYER, key="at the quote", quote=lambda _line: Wei(10))
    with pytest.raises(PriceAboveQuote) as caught:
        payer.sign_next(channel, [a_line(10), a_line(11)], PAYER, key="above", quote=lambda _line: Wei(10))
    assert caught.value.values == {"line": 1, "quoted": 10}
    assert payer.state(channel).owed == 10


def test_use_that_was_not_seen_is_not_signed(payer, channel):
    with pytest.raises(UsageNotSeen):
        payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=lambda _line: None)
    assert payer.best(channel) is None


def test_more_than_the_deposit_is_not_signed(payer, channel):
    with pytest.raises(VoucherOverDeposit):
        payer.sign_next(channel, [a_line(DEPOSIT + 1)], PAYER, key="a", quote=asked)
    payer.update(channel, deposit=Wei(DEPOSIT + 1), settled=Wei(0), closes_at=0, is_open=True)
    assert payer.sign_next(channel, [a_line(DEPOSIT + 1)], PAYER, key="a", quote=asked)


def test_wrong_key_signs_nothing_away(payer, channel):
    with pytest.raises(VoucherSignatureInvalid):
        payer.sign_next(channel, [a_line(1)], STRANGER, key="a", quote=asked)
    assert payer.best(channel) is None


def test_unknown_channels_and_vouchers_are_named(payer, channel):
    with pytest.raises(ChannelUnknown):
        payer.sign_next(bytes(32), [], PAYER, key="a", quote=asked)
    with pytest.raises(ChannelUnknown):
        payer.update(bytes(32), deposit=Wei(0), settled=Wei(0), closes_at=0, is_open=True)
    with pytest.raises(VoucherUnknown):
        payer.voucher(channel, 1)


# ── the payee ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_voucher_travels_as_json_and_is_accepted_once(payer, payee, channel):
    signed = payer.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked)
    received = SignedVoucher.from_json(json.loads(json.dumps(signed.to_json())))
    assert received == signed
    assert payee.accept(received, [a_line(10)]).owed == 10
    assert payee.accept(received, [a_line(10)]).owed == 10
    best = payee.best(channel)
    assert best is not None
    assert best.signed.voucher == signed.voucher


def test_voucher_over_other_lines_than_ours_is_refused(payer, payee, channel):
    signed = payer.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked)
    with pytest.raises(UsageRootMismatch):
        payee.accept(signed, [a_line(11)])
    assert payee.best(channel) is None


def test_skipped_voucher_is_refused_until_the_missing_one_came(payer, payee, channel):
    first = payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=asked)
    second = payer.sign_next(channel, [a_line(2)], PAYER, key="b", quote=asked)
    with pytest.raises(VoucherOutOfOrder):
        payee.accept(second, [a_line(2)])
    payee.accept(first, [a_line(1)])
    assert payee.accept(second, [a_line(2)]).owed == 3


def test_nothing_is_accepted_while_closing(payer, payee, channel):
    signed = payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=asked)
    payee.update(channel, deposit=DEPOSIT, settled=Wei(0), closes_at=99, is_open=True)
    with pytest.raises(ChannelClosing):
        payee.accept(signed, [a_line(1)])


def test_accepted_voucher_outlives_a_crash(payer, payee, channel, tmp_path):
    signed = payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=asked)
    payee.accept(signed, [a_line(1)])
    again = open_book(tmp_path / "payee.sqlite")
    best = again.best(channel)
    assert best is not None
    assert best.signed == signed
    again.close()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"terms": None}, "terms"),
        ({"voucher": []}, "voucher"),
        ({"signature": "0x00"}, "signature"),
        ({"signature": 5}, "signature"),
        ({"signature": "zz" * 65}, "signature"),
        ({"lines": -1}, "lines"),
        ({"lines": True}, "lines"),
    ],
)
def test_malformed_json_is_named(payer, channel, change, field):
    good = payer.sign_next(channel, [], PAYER, key="a", quote=asked).to_json()
    with pytest.raises(VoucherMalformed) as caught:
        SignedVoucher.from_json(good | change)
    assert caught.value.values == {"field": field}


def test_json_without_a_count_of_lines_is_read(payer, channel):
    document = payer.sign_next(channel, [], PAYER, key="a", quote=asked).to_json()
    del document["lines"]
    assert SignedVoucher.from_json(document).lines is None


# ── over the ledger ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_voucher_is_read_back_from_the_ledger_with_a_receipt(payer, payee, meter, channel, ledger, archive, node):
    meter.add(channel, UsageEntry(b"job", 0, a_line(10), 0))
    signed = payer.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked)
    id = payer.post(ledger, channel, 1)
    ledger.wait(id)
    archive.sync()
    found = payee.collect(archive, lambda *what: meter.batch(*what).lines)
    assert (found.accepted, found.receipts, found.refused) == (1, 1, ())
    kept = payee.best(channel)
    assert kept is not None
    assert kept.signed.voucher == signed.voucher
    assert kept.receipt is not None
    assert inclusion.verify(kept.receipt, node.trust).id == id
    assert payee.protected(channel) == 10


def test_receipt_reaches_a_voucher_that_came_directly(payer, payee, channel, ledger, archive):
    signed = payer.sign_next(channel, [a_line(10)], PAYER, key="a", quote=asked)
    payee.accept(signed, [a_line(10)])
    assert payee.protected(channel) == 0
    assert not may_serve(payee.state(channel), 10 + FTNS // 20, payee.protected(channel))
    ledger.wait(payer.post(ledger, channel, 1))
    archive.sync()
    found = payee.collect(archive, lambda *_what: pytest.fail("it is known already"))
    assert (found.accepted, found.receipts) == (0, 1)
    assert payee.protected(channel) == 10
    assert may_serve(payee.state(channel), 10 + FTNS // 20, payee.protected(channel))
    assert payee.collect(archive, lambda *_what: []).receipts == 0


def test_payer_gets_receipts_too(payer, channel, ledger, archive):
    payer.sign_next(channel, [], PAYER, key="a", quote=asked)
    ledger.wait(payer.post(ledger, channel, 1))
    archive.sync()
    assert payer.collect(archive, lambda *_what: []).receipts == 1
    kept = payer.voucher(channel, 1)
    assert kept.receipt is not None
    assert kept.signed.voucher.usage_root == NOTHING_USED


def test_posting_again_after_a_crash_posts_the_same_bytes(payer, channel, ledger, tmp_path):
    payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=asked)
    first = payer.post(ledger, channel, 1)
    again = open_book(tmp_path / "payer.sqlite")
    assert again.post(ledger, channel, 1) == first
    assert again.voucher(channel, 1).message == first
    again.close()


class TooOld(StardustLedger):
    """Refuses one set of bytes, as a node does when their parents lie too deep."""

    refused: bytes = b""

    def post(self, prepared):
        if prepared.raw == self.refused:
            raise NodeRefused(message="400 parent lies more than 15 milestones back")
        return super().post(prepared)


def test_voucher_whose_parents_are_too_old_is_attached_anew(payer, channel, node, archive):
    with TooOld([node.url]) as ledger:
        payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=asked)
        first = payer.post(ledger, channel, 1)
        ledger.wait(first)
        ledger.refused = ledger.transport.block(first)
        second = payer.post(ledger, channel, 1)
        assert second != first
        ledger.wait(second)
    archive.sync()
    assert len(archive.since(tag_of(Kind.VOUCHER, channel))) == 2
    assert payer.collect(archive, lambda *_what: []).receipts == 1


class Losing(StardustLedger):
    """Says of one message that no milestone will take it."""

    lost: bytes = b""

    def status(self, id):
        return Confirmation(State.LOST) if id == self.lost else super().status(id)


def test_voucher_that_was_lost_is_attached_anew(payer, channel, node):
    with Losing([node.url]) as ledger:
        payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=asked)
        ledger.lost = payer.post(ledger, channel, 1)
        assert payer.post(ledger, channel, 1) != ledger.lost
        assert payer.voucher(channel, 1).message != ledger.lost


def test_vouchers_that_overtook_each_other_are_all_read(payer, payee, channel, ledger, archive):
    lines = {1: [a_line(1)], 2: [a_line(2)]}
    first = payer.sign_next(channel, lines[1], PAYER, key="a", quote=asked)
    payer.sign_next(channel, lines[2], PAYER, key="b", quote=asked)
    ledger.wait(payer.post(ledger, channel, 2))
    archive.sync()
    ahead = payee.collect(archive, lambda _channel, sequence, _count: lines[sequence])
    assert (ahead.accepted, len(ahead.refused)) == (0, 1)
    payee.accept(first, lines[1])
    assert payee.collect(archive, lambda _channel, sequence, _count: lines[sequence]).accepted == 1
    assert payee.protected(channel) == 3


def test_noise_and_forgeries_under_the_channels_tag_are_passed_over(payer, payee, channel, ledger, archive):
    tag = tag_of(Kind.VOUCHER, channel)
    good = payer.sign_next(channel, [a_line(1)], PAYER, key="a", quote=asked)
    forged = dataclasses.replace(good, voucher=dataclasses.replace(good.voucher, cumulative=Wei(9)))
    swapped = dataclasses.replace(good, signature=STRANGER.sign_digest(good.voucher.digest(CHAIN, CHANNELS)))
    messages = [b"noise", voucher_message(NETWORK, forged)[1], voucher_message(NETWORK, swapped)[1]]
    for data in messages:
        ledger.post(ledger.prepare(tag, data))
    payee.accept(good, [a_line(1)])
    ledger.wait(payer.post(ledger, channel, 1))
    archive.sync()
    found = payee.collect(archive, lambda *_what: [a_line(1)])
    assert (found.accepted, found.receipts, len(found.refused)) == (0, 1, 3)
    assert payee.state(channel).owed == 1
    assert payee.collect(archive, lambda *_what: []).refused == ()


def test_voucher_of_another_network_is_not_read(payer, channel):
    signed = payer.sign_next(channel, [], PAYER, key="a", quote=asked)
    tag, data = voucher_message(b"another!", signed)
    with pytest.raises(EnvelopeInvalid):
        read_voucher(NETWORK, tag, data, signed.terms)


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0},
        {"sequence": True},
        {"cumulative": bytes(31)},
        {"cumulative": b"\x01" + bytes(31)},
        {"root": bytes(33)},
        {"signature": bytes(64)},
        {"lines": "one"},
        {"more": 1},
    ],
)
def test_malformed_bodies_are_refused(payer, channel, change):
    signed = payer.sign_next(channel, [], PAYER, key="a", quote=asked)
    tag = tag_of(Kind.VOUCHER, channel)
    body = {"sequence": 1, "cumulative": bytes(32), "root": bytes(32), "signature": bytes(65), "lines": None}
    assert read_voucher(NETWORK, tag, seal_envelope(NETWORK, tag, body, None), signed.terms).lines is None
    with pytest.raises(VoucherMalformed):
        read_voucher(NETWORK, tag, seal_envelope(NETWORK, tag, body | change, None), signed.terms)
