"""At most one mined transaction an intent, whatever is repeated, lost or done by others in between."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from prsm_protocol.chain import Call, Chain, Connection, Sender, errors
from prsm_protocol.chain.signer import new_key
from prsm_protocol.journal import EffectConflict, EffectUnknown, Journal, State
from prsm_protocol.testing import Accounts
from prsm_protocol.types import FTNS, Wei


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


@pytest.fixture
def sender(chain: Chain, accounts: Accounts, journal: Journal) -> Sender:
    return Sender(chain, accounts.stranger, journal)


@pytest.fixture
def held_back(chain: Chain) -> Iterator[None]:
    """The node takes transactions and mines none."""
    chain.rpc("evm_setAutomine", False)
    yield
    chain.rpc("evm_setAutomine", True)


def gift(chain: Chain, accounts: Accounts, amount: int = FTNS) -> Call:
    return chain.ftns.transfer(accounts.buyer.address, Wei(amount))


# ── once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_transact_again_gives_the_same_receipt(chain: Chain, accounts: Accounts, sender: Sender) -> None:
    before = chain.ftns.balance_of(accounts.buyer.address)
    receipts = [sender.transact("gift", gift(chain, accounts)) for _ in range(3)]
    assert len({receipt.hash for receipt in receipts}) == 1
    assert chain.ftns.balance_of(accounts.buyer.address) == before + FTNS
    assert receipts[0].sender == accounts.stranger.address
    assert receipts[0].event("Transfer").fields["value"] == FTNS


def test_prepare_stores_before_anything_leaves(
    chain: Chain, accounts: Accounts, sender: Sender, journal: Journal
) -> None:
    prepared = sender.prepare("gift", gift(chain, accounts))
    assert journal.entries()[0].payload == prepared.raw
    assert not chain.knows(prepared.hash)
    assert sender.prepare("gift", gift(chain, accounts)) == prepared


def test_prepare_is_refused_for_another_call_under_the_key(chain: Chain, accounts: Accounts, sender: Sender) -> None:
    sender.prepare("gift", gift(chain, accounts))
    with pytest.raises(EffectConflict):
        sender.prepare("gift", gift(chain, accounts, 2 * FTNS))


def test_prepare_takes_no_nonce_when_the_contract_refuses(
    chain: Chain, accounts: Accounts, sender: Sender, journal: Journal
) -> None:
    with pytest.raises(errors.ERC20InsufficientBalance):
        sender.prepare("gift", gift(chain, accounts, 10**9 * FTNS))
    assert journal.entries() == []


def test_send_and_confirm_are_refused_for_an_unknown_key(sender: Sender) -> None:
    for act in (sender.send, sender.confirm):
        with pytest.raises(EffectUnknown):
            act("never prepared")


def test_nonces_follow_each_other_without_waiting(
    chain: Chain, accounts: Accounts, sender: Sender, held_back: None
) -> None:
    first = chain.transaction_count(accounts.stranger.address)
    nonces = [sender.prepare(f"gift/{i}", gift(chain, accounts)).nonce for i in range(5)]
    assert nonces == list(range(first, first + 5))
    sender.send("gift/4")  # and with it the four before
    chain.rpc("evm_mine")
    for i in range(5):
        assert sender.confirm(f"gift/{i}").succeeded


# ── crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dies_after", ["prepare", "send"])
def test_transaction_is_mined_once_after_kill(
    chain: Chain, accounts: Accounts, tmp_path: Path, dies_after: str
) -> None:
    """A process dies between two steps of one intent; another goes on with the same journal."""
    before = chain.ftns.balance_of(accounts.buyer.address)
    child = os.fork()
    if child == 0:
        own = Connection(chain.url)
        dying = Sender(own, accounts.stranger, Journal(tmp_path / "journal.sqlite"))
        dying.prepare("gift", gift(chain, accounts))
        if dies_after == "send":
            dying.send("gift")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    survivor = Sender(chain, accounts.stranger, Journal(tmp_path / "journal.sqlite"))
    survivor.reconcile()
    receipt = survivor.transact("gift", gift(chain, accounts))
    assert receipt.succeeded
    assert chain.ftns.balance_of(accounts.buyer.address) == before + FTNS


def test_reconcile_settles_what_was_mined_meanwhile(
    chain: Chain, accounts: Accounts, sender: Sender, journal: Journal
) -> None:
    sender.prepare("gift", gift(chain, accounts))
    sender.send("gift")
    assert journal.entries()[0].state is State.SENT
    while chain.receipt(journal.entries()[0].reference) is None:
        pass
    sender.reconcile()
    assert journal.entries()[0].state is State.CONFIRMED


def test_transaction_that_the_node_forgot_is_sent_again(
    chain: Chain, accounts: Accounts, sender: Sender, held_back: None
) -> None:
    prepared = sender.prepare("gift", gift(chain, accounts))
    sender.send("gift")
    chain.rpc("anvil_dropTransaction", "0x" + prepared.hash.hex())
    assert not chain.knows(prepared.hash)
    sender.reconcile()
    chain.rpc("evm_mine")
    assert sender.confirm("gift").hash == prepared.hash


def test_confirmed_transaction_is_found_again_after_a_reorganisation(
    chain: Chain, accounts: Accounts, sender: Sender
) -> None:
    first = sender.transact("gift", gift(chain, accounts))
    chain.rpc("anvil_reorg", 1, [])
    assert chain.receipt(first.hash) is None
    sender.journal.sent(sender.journal.entries()[0].key)
    sender.send("gift")
    assert sender.confirm("gift").hash == first.hash


# ── fees, and others with the key ────────────────────────────────────────────────────────────────────────────────────


def test_replace_raises_both_fees_under_the_same_nonce(
    chain: Chain, accounts: Accounts, sender: Sender, held_back: None
) -> None:
    before = chain.ftns.balance_of(accounts.buyer.address)
    first = sender.prepare("gift", gift(chain, accounts))
    sender.send("gift")
    second = sender.replace("gift")
    assert (second.nonce, second.hash != first.hash) == (first.nonce, True)
    sender.send("gift")
    chain.rpc("evm_mine")
    assert sender.confirm("gift").hash == second.hash
    assert chain.ftns.balance_of(accounts.buyer.address) == before + FTNS


def test_confirm_finds_the_first_bytes_when_those_were_mined(chain: Chain, accounts: Accounts, sender: Sender) -> None:
    first = sender.transact("gift", gift(chain, accounts))
    sender.replace("gift")
    assert sender.confirm("gift").hash == first.hash


def test_replace_is_refused_above_the_limit(chain: Chain, accounts: Accounts, sender: Sender) -> None:
    sender.prepare("gift", gift(chain, accounts))
    with pytest.raises(errors.FeeAboveLimit) as refused:
        sender.replace("gift", largest_fee_wei=10)
    assert refused.value.values["limit"] == 10


def test_prepare_is_refused_when_the_chain_is_too_dear(chain: Chain, accounts: Accounts, journal: Journal) -> None:
    thrifty = Sender(chain, accounts.stranger, journal, largest_fee_wei=1)
    with pytest.raises(errors.FeeAboveLimit):
        thrifty.prepare("gift", gift(chain, accounts))
    assert journal.entries() == []


def test_nonce_used_by_others_is_named_and_the_key_can_be_prepared_anew(
    chain: Chain, accounts: Accounts, sender: Sender, tmp_path: Path
) -> None:
    prepared = sender.prepare("gift", gift(chain, accounts))
    other = Sender(chain, accounts.stranger, Journal(tmp_path / "other.sqlite"))
    other.transact("theirs", gift(chain, accounts, 1))
    with pytest.raises(errors.NonceTaken) as refused:
        sender.send("gift")
    assert refused.value.values == {"nonce": prepared.nonce, "account": accounts.stranger.address}
    assert sender.transact("gift", gift(chain, accounts)).succeeded
    assert sender.prepare("gift", gift(chain, accounts)).nonce == prepared.nonce + 1


def test_account_without_coin_is_told_what_it_needs(chain: Chain, journal: Journal) -> None:
    poor = Sender(chain, new_key(), journal)
    poor.prepare("gift", Call(chain.vault.address, b"", gas=21_000))
    with pytest.raises(errors.GasMoneyTooLow) as refused:
        poor.send("gift")
    assert refused.value.values["balance"] == 0


def test_confirm_gives_up_at_its_timeout_and_can_be_asked_again(
    chain: Chain, accounts: Accounts, sender: Sender, held_back: None
) -> None:
    prepared = sender.prepare("gift", gift(chain, accounts))
    sender.send("gift")
    with pytest.raises(errors.TransactionUnconfirmed) as refused:
        sender.confirm("gift", timeout=0)
    assert refused.value.values["nonce"] == prepared.nonce
    chain.rpc("evm_mine")
    assert sender.confirm("gift").succeeded


def test_confirm_waits_for_its_depth(chain: Chain, accounts: Accounts, sender: Sender) -> None:
    sender.prepare("gift", gift(chain, accounts))
    sender.send("gift")
    with pytest.raises(errors.TransactionUnconfirmed):
        sender.confirm("gift", timeout=0.3, confirmations=3)
    chain.rpc("anvil_mine", "0x2")
    assert sender.confirm("gift", confirmations=3).succeeded


def test_journal_of_another_chain_does_not_answer_for_this_one(
    chain: Chain, accounts: Accounts, sender: Sender, tmp_path: Path
) -> None:
    from prsm_protocol.chain.anvil import start_anvil

    sender.prepare("gift", gift(chain, accounts))
    process = start_anvil(tmp_path / "other", block_time=None)
    try:
        elsewhere = Sender(Connection(process.url), accounts.stranger, sender.journal)
        assert not elsewhere.knows("gift")
        prepared = elsewhere.prepare("gift", Call(accounts.buyer.address, b"", value=1))
        assert prepared.nonce == 0
    finally:
        process.stop()
