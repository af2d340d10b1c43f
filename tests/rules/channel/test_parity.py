"""The mirror and the contract answer alike: ids, digests, who signed, what a settlement pays, and what is left at the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prsm_protocol.chain import Chain
from prsm_protocol.chain import errors as chain_errors
from prsm_protocol.chain.channels import ChannelStatus
from prsm_protocol.rules import eip712
from prsm_protocol.rules.channel.usage import Unit, UsageLine, usage_proof, usage_root, verify_usage
from prsm_protocol.rules.channel.vouchers import ChannelTerms, Settled, Voucher, channel_id, settle
from prsm_protocol.rules.registry.lineage import Kind, Registration
from prsm_protocol.testing import Accounts, Advance, Send
from prsm_protocol.types import FTNS, Wei

ON_CHAIN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DELAY = 3_600
ROYALTY = 750
SALTS = count(2)

bytes32 = st.binary(min_size=32, max_size=32)
address = st.binary(min_size=20, max_size=20).map(eip712.checksum)


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


terms_of_channels = st.builds(
    ChannelTerms,
    address,
    address,
    address,
    st.lists(bytes32, max_size=4).map(tuple),
    uint(96).map(Wei),
    uint(32),
    uint(256),
)


@ON_CHAIN
@given(terms=terms_of_channels)
def test_channel_id_is_the_contracts(chain: Chain, terms: ChannelTerms) -> None:
    assert channel_id(chain.chain_id, chain.channels.address, terms) == chain.channels.channel_id_of(terms)


class Book:
    """One channel on the chain, and beside it what the mirror expects."""

    def __init__(
        self, chain: Chain, accounts: Accounts, send: Send, deposit: int, records: Sequence[bytes], salt: int = 1
    ) -> None:
        self.chain, self.accounts, self.send = chain, accounts, send
        fee = Wei(deposit // 50)
        self.terms = ChannelTerms(
            accounts.payer.address, accounts.payee.address, accounts.steward.address, tuple(records), fee, DELAY, salt
        )
        self.id = channel_id(chain.chain_id, chain.channels.address, self.terms)
        self.deposit, self.settled = deposit, 0
        self.royalty_bps = [ROYALTY] * len(records)
        send(accounts.payer, chain.channels.open(self.terms, Wei(deposit)))

    def voucher(self, sequence: int, cumulative: int) -> tuple[Voucher, bytes]:
        voucher = Voucher(self.id, sequence, Wei(cumulative), bytes(32))
        digest = voucher.digest(self.chain.chain_id, self.chain.channels.address)
        return voucher, self.accounts.steward.sign_digest(digest)

    def expected(self, cumulative: int, by_payee: bool) -> Settled:
        found = settle(
            deposit=self.deposit,
            settled=self.settled,
            cumulative=cumulative,
            fee_bps=self.chain.royalties.fee_bps(),
            royalty_bps=self.royalty_bps,
            settler_fee=self.terms.settler_fee,
            by_payee=by_payee,
        )
        self.settled += found.due
        return found

    def balances(self) -> dict[str, int]:
        vault = self.chain.vault
        return {
            "payee": vault.free_of(self.accounts.payee.address),
            "settler": vault.free_of(self.accounts.relayer.address),
            "royalties": vault.held_by(self.chain.royalties.address),
            "channels": vault.held_by(self.chain.channels.address),
            "payer": vault.free_of(self.accounts.payer.address),
        }

    def settle(self, sequence: int, cumulative: int, by_payee: bool) -> None:
        """Settle, and compare every balance and the channel's book with the mirror."""
        voucher, signature = self.voucher(sequence, cumulative)
        before = self.balances()
        sender = self.accounts.payee if by_payee else self.accounts.relayer
        self.send(sender, self.chain.channels.settle(self.terms, voucher, signature))
        expected = self.expected(cumulative, by_payee)
        after = {name: amount - before[name] for name, amount in self.balances().items()}
        assert after == {
            "payee": expected.payee,
            "settler": expected.settler,
            "royalties": sum(expected.royalties),
            "channels": -expected.due,
            "payer": 0,
        }
        book = self.chain.channels.channel(self.id)
        assert (book.deposit, book.settled) == (self.deposit, self.settled)


@pytest.fixture
def record(chain: Chain, accounts: Accounts, send: Send, advance: Advance) -> bytes:
    registration = Registration(Kind.MODEL, b"\x0d" * 32, accounts.owner.address, ROYALTY, 0)
    salt = bytes(32)
    send(accounts.owner, chain.provenance.commit(registration, salt, accounts.owner.address))
    advance(10)
    send(accounts.owner, chain.provenance.register(registration, [], salt))
    return chain.provenance.record_id_of(Kind.MODEL, b"\x0d" * 32)


@pytest.fixture
def book(chain: Chain, accounts: Accounts, send: Send, record: bytes) -> Book:
    return Book(chain, accounts, send, 10 * FTNS + 7, [record])


def test_each_settlement_pays_what_the_mirror_says(book: Book) -> None:
    """Ascending, repeated, older, one wei, at and above the deposit; by the payee and by a stranger."""
    amounts = [1, 19, 20, 21, 20, 0, 10**18 + 3, 10**18 + 3, 10 * FTNS + 6, 10 * FTNS + 7, 10 * FTNS + 8, 2**96 - 1]
    for sequence, amount in enumerate(amounts, 1):
        book.settle(sequence, amount, by_payee=sequence % 2 == 0)
    assert book.settled == book.deposit


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12 * FTNS), st.booleans()), min_size=1, max_size=6))
def test_random_settlements_pay_what_the_mirror_says(book: Book, steps: list[tuple[int, bool]]) -> None:
    """Each example has a channel of its own: rolling the chain back would leave the sender's numbers behind."""
    fresh = Book(book.chain, book.accounts, book.send, 10 * FTNS, book.terms.records, salt=next(SALTS))
    for sequence, (cumulative, by_payee) in enumerate(steps, 1):
        fresh.settle(sequence, cumulative, by_payee)


def test_channel_without_records_pays_fee_and_payee_alone(chain: Chain, accounts: Accounts, send: Send) -> None:
    book = Book(chain, accounts, send, FTNS, [])
    book.settle(1, FTNS // 3, by_payee=True)
    book.settle(2, FTNS, by_payee=False)


def test_voucher_above_the_deposit_stays_good_after_a_top_up(book: Book) -> None:
    book.settle(1, 20 * FTNS, by_payee=True)
    book.send(book.accounts.payer, book.chain.channels.top_up(book.terms, Wei(5 * FTNS)))
    book.deposit += 5 * FTNS
    book.settle(1, 20 * FTNS, by_payee=True)


def test_batch_ends_where_single_calls_end_and_skips_the_bad_one(book: Book) -> None:
    good, bad, last = book.voucher(1, FTNS), book.voucher(2, 3 * FTNS), book.voucher(3, 2 * FTNS)
    calls = [(book.terms, *good), (book.terms, bad[0], good[1]), (book.terms, *last)]
    book.send(book.accounts.payee, book.chain.channels.settle_many(calls))
    book.expected(FTNS, True)
    book.expected(2 * FTNS, True)
    assert book.chain.channels.channel(book.id).settled == book.settled == 2 * FTNS


def test_forged_voucher_is_refused_by_name_with_the_recovered_address(book: Book) -> None:
    voucher, _ = book.voucher(1, FTNS)
    digest = voucher.digest(book.chain.chain_id, book.chain.channels.address)
    forged = book.accounts.stranger.sign_digest(digest)
    with pytest.raises(chain_errors.ChannelsSignatureInvalid) as caught:
        book.send(book.accounts.payee, book.chain.channels.settle(book.terms, voucher, forged))
    values = caught.value.values
    assert (values["signer"], values["recovered"]) == (book.terms.signer, book.accounts.stranger.address)


def test_what_was_settled_and_what_returns_is_the_deposit(book: Book) -> None:
    book.settle(1, 4 * FTNS, by_payee=True)
    before = book.balances()["payer"]
    book.send(book.accounts.payee, book.chain.channels.close(book.terms))
    assert book.balances()["payer"] - before == book.deposit - book.settled
    assert book.chain.channels.channel(book.id).status is ChannelStatus.CLOSED


def test_usage_proof_is_that_of_sorted_pairs(book: Book) -> None:
    """The loop that OpenZeppelin's library runs on chain: a line is provable to any contract that uses it."""
    lines = [UsageLine(b"\x0a" * 32, Unit.ROWS, number, Wei(number)) for number in range(11)]
    root = usage_root(book.id, 1, lines)
    for index, line in enumerate(lines):
        assert verify_usage(root, line.leaf(book.id, 1, index), usage_proof(book.id, 1, lines, index))
