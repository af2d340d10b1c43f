"""Vouchers: digests against a second implementation of EIP-712, each refusal by name, and where settled money goes."""

from __future__ import annotations

import dataclasses

import pytest
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak as reference_keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.rules.channel import vouchers as rules
from prsm_protocol.rules.channel.vouchers import (
    ChannelClosing,
    ChannelState,
    ChannelTerms,
    ChannelTooManyRecords,
    ChannelUnknown,
    UsageRootMismatch,
    Voucher,
    VoucherFalling,
    VoucherOutOfOrder,
    VoucherOverDeposit,
    VoucherSignatureInvalid,
    accept,
    channel_id,
    credit_window,
    may_serve,
    settle,
)
from prsm_protocol.rules.eip712 import SignatureMalformed
from prsm_protocol.types import FTNS, Wei

CHAIN, CHANNELS = 31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3"
SIGNER = Account.from_key(b"\x01" * 32)
STRANGER = Account.from_key(b"\x02" * 32)
PAYER, PAYEE = Account.from_key(b"\x03" * 32).address, Account.from_key(b"\x04" * 32).address
TERMS = ChannelTerms(PAYER, PAYEE, SIGNER.address, (b"\x0a" * 32, b"\x0b" * 32), Wei(7), 86_400, 42)
DEPOSIT = Wei(FTNS)
ROOT = b"\x0c" * 32

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: rules.eip712.checksum(raw))
words = st.binary(min_size=32, max_size=32)
terms = st.builds(
    ChannelTerms,
    addresses,
    addresses,
    addresses,
    st.lists(words, max_size=4).map(tuple),
    st.integers(0, 2**96 - 1).map(Wei),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**256 - 1),
)
vouchers = st.builds(Voucher, words, st.integers(0, 2**64 - 1), st.integers(0, 2**96 - 1).map(Wei), words)


# ── hashes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(vouchers, st.integers(1, 2**64), addresses)
def test_digest_equals_that_of_a_wallet(voucher, chain_id, contract):
    document = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Voucher": [
                {"name": "channelId", "type": "bytes32"},
                {"name": "sequence", "type": "uint64"},
                {"name": "cumulative", "type": "uint96"},
                {"name": "usageRoot", "type": "bytes32"},
            ],
        },
        "primaryType": "Voucher",
        "domain": {"name": "PRSM Channels", "version": "1", "chainId": chain_id, "verifyingContract": contract},
        "message": {
            "channelId": voucher.channel_id,
            "sequence": voucher.sequence,
            "cumulative": voucher.cumulative,
            "usageRoot": voucher.usage_root,
        },
    }
    signable = encode_typed_data(full_message=document)
    assert voucher.digest(chain_id, contract) == reference_keccak(b"\x19\x01" + signable.header + signable.body)
    signature = bytes(SIGNER.sign_message(signable).signature)
    assert rules.recovered_signer(voucher, signature, chain_id, contract) == SIGNER.address


@settings(max_examples=60, deadline=None)
@given(terms, st.integers(0, 2**64), addresses)
def test_channel_id_is_the_hash_of_the_abi_encoding(found, chain_id, contract):
    kinds = ["uint256", "address", "(address,address,address,bytes32[],uint96,uint32,uint256)"]
    assert channel_id(chain_id, contract, found) == reference_keccak(
        encode(kinds, [chain_id, contract, found.values()])
    )


@settings(max_examples=60, deadline=None)
@given(terms, vouchers)
def test_json_forms_return_the_same(found, voucher):
    assert ChannelTerms.from_json(found.to_json()) == found
    assert Voucher.from_json(voucher.to_json()) == voucher


# ── accepting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def fresh() -> ChannelState:
    return ChannelState(CHAIN, CHANNELS, TERMS, DEPOSIT)


def signed(state: ChannelState, sequence: int, cumulative: int, *, by=SIGNER, root: bytes = ROOT):
    voucher = Voucher(state.id, sequence, Wei(cumulative), root)
    return voucher, bytes(by.unsafe_sign_hash(voucher.digest(CHAIN, CHANNELS)).signature)


@pytest.fixture
def paid(fresh: ChannelState) -> ChannelState:
    return accept(fresh, *signed(fresh, 1, 100), ROOT)


def test_first_voucher_is_accepted(fresh):
    voucher, signature = signed(fresh, 1, 100)
    state = accept(fresh, voucher, signature, ROOT)
    assert (state.last, state.owed, state.next_sequence) == (voucher, 100, 2)


def test_same_voucher_again_changes_nothing(paid):
    assert accept(paid, *signed(paid, 1, 100), ROOT) is paid
    assert accept(paid, *signed(paid, 1, 100), b"\x00" * 32) is paid  # our own count went on meanwhile


def test_voucher_that_adds_nothing_acknowledges(paid):
    assert accept(paid, *signed(paid, 2, 100), ROOT).owed == 100


def test_other_channel_is_unknown(paid, fresh):
    foreign = dataclasses.replace(fresh, terms=dataclasses.replace(TERMS, salt=43))
    with pytest.raises(ChannelUnknown) as caught:
        accept(paid, *signed(foreign, 2, 200), ROOT)
    assert caught.value.values == {"id": foreign.id.hex()}


def test_stranger_cannot_sign(fresh):
    with pytest.raises(VoucherSignatureInvalid) as caught:
        accept(fresh, *signed(fresh, 1, 100, by=STRANGER), ROOT)
    assert caught.value.values == {"signer": SIGNER.address, "recovered": STRANGER.address}


@pytest.mark.parametrize("change", [{"sequence": 2}, {"cumulative": 101}, {"usage_root": bytes(32)}])
def test_signature_covers_every_field(fresh, change):
    voucher, signature = signed(fresh, 1, 100)
    with pytest.raises(VoucherSignatureInvalid):
        accept(fresh, dataclasses.replace(voucher, **change), signature, ROOT)


def test_signature_of_another_chain_or_contract_is_refused(fresh):
    voucher = Voucher(fresh.id, 1, Wei(100), ROOT)
    for digest in (voucher.digest(1, CHANNELS), voucher.digest(CHAIN, PAYEE)):
        with pytest.raises(VoucherSignatureInvalid):
            accept(fresh, voucher, bytes(SIGNER.unsafe_sign_hash(digest).signature), ROOT)


def test_twin_of_a_signature_is_refused(fresh):
    voucher, signature = signed(fresh, 1, 100)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + high.to_bytes(32, "big") + bytes([55 - signature[64]])
    with pytest.raises(SignatureMalformed):
        accept(fresh, voucher, twin, ROOT)


def test_channel_that_is_not_open_is_unknown(fresh):
    with pytest.raises(ChannelUnknown):
        accept(dataclasses.replace(fresh, is_open=False), *signed(fresh, 1, 100), ROOT)


def test_nothing_new_is_accepted_while_closing(paid):
    closing = dataclasses.replace(paid, closes_at=1_000)
    with pytest.raises(ChannelClosing) as caught:
        accept(closing, *signed(closing, 2, 200), ROOT)
    assert caught.value.values == {"closes_at": 1_000}
    assert accept(closing, *signed(closing, 1, 100), ROOT) is closing


@pytest.mark.parametrize(("sequence", "fine"), [(0, False), (1, False), (2, True), (3, False)])
def test_sequence_must_be_the_next(paid, sequence, fine):
    if fine:
        assert accept(paid, *signed(paid, sequence, 200), ROOT).next_sequence == 3
    else:
        with pytest.raises(VoucherOutOfOrder) as caught:
            accept(paid, *signed(paid, sequence, 200), ROOT)
        assert caught.value.values == {"expected": 2, "got": sequence}


@pytest.mark.parametrize(("cumulative", "fine"), [(99, False), (100, True), (101, True)])
def test_amount_never_falls(paid, cumulative, fine):
    if fine:
        assert accept(paid, *signed(paid, 2, cumulative), ROOT).owed == cumulative
    else:
        with pytest.raises(VoucherFalling) as caught:
            accept(paid, *signed(paid, 2, cumulative), ROOT)
        assert caught.value.values == {"last": 100, "got": 99}


@pytest.mark.parametrize(("over", "fine"), [(-1, True), (0, True), (1, False)])
def test_amount_stays_within_the_deposit(fresh, over, fine):
    if fine:
        assert accept(fresh, *signed(fresh, 1, DEPOSIT + over), ROOT)
    else:
        with pytest.raises(VoucherOverDeposit):
            accept(fresh, *signed(fresh, 1, DEPOSIT + over), ROOT)


def test_root_must_be_our_own_count(fresh):
    with pytest.raises(UsageRootMismatch) as caught:
        accept(fresh, *signed(fresh, 1, 100), bytes(32))
    assert caught.value.values == {"expected": bytes(32).hex(), "got": ROOT.hex()}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 8)), max_size=12))
def test_state_follows_only_vouchers_that_are_next_and_not_lower(steps):
    """Against a shadow in plain numbers: whatever is offered, the amount never falls nor passes the deposit."""
    state = ChannelState(CHAIN, CHANNELS, TERMS, Wei(6))
    shadow = (0, 0)
    for sequence, cumulative in steps:
        allowed = sequence == shadow[0] + 1 and shadow[1] <= cumulative <= 6
        repeated = (sequence, cumulative) == shadow and shadow != (0, 0)
        try:
            state = accept(state, *signed(state, sequence, cumulative), ROOT)
        except (VoucherOutOfOrder, VoucherFalling, VoucherOverDeposit):
            assert not allowed
            assert not repeated
        else:
            assert allowed or repeated
            shadow = (sequence, cumulative)
        assert state.owed == shadow[1]


# ── credit ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("deposit", "window"), [(0, FTNS // 20), (5 * FTNS, FTNS // 20), (6 * FTNS, 6 * FTNS // 100), (FTNS * 100, FTNS)]
)
def test_window_is_the_larger_of_a_twentieth_token_and_a_hundredth(deposit, window):
    assert credit_window(deposit) == window


@pytest.mark.parametrize(("more", "fine"), [(-1, True), (0, True), (1, False)])
def test_work_goes_on_within_one_window_of_what_is_safe(fresh, more, fine):
    window = credit_window(DEPOSIT)
    assert may_serve(fresh, 500 + window + more, 500) is fine


def test_work_stops_at_the_deposit_and_while_closing(fresh):
    assert may_serve(fresh, DEPOSIT, DEPOSIT)
    assert not may_serve(fresh, DEPOSIT + 1, DEPOSIT)
    assert not may_serve(dataclasses.replace(fresh, closes_at=1), 0, 0)


# ── settling ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=300)
@given(
    st.integers(0, 2**96 - 1),
    st.integers(0, 2**96 - 1),
    st.integers(0, 2**96 - 1),
    st.integers(0, 500),
    st.lists(st.integers(0, 750), max_size=4),
    st.integers(0, 2**96 - 1),
    st.booleans(),
)
def test_parts_are_the_due_amount_to_the_wei(deposit, settled, cumulative, fee, royalties, settler_fee, by_payee):
    paid = settle(
        deposit=deposit,
        settled=min(settled, deposit),
        cumulative=cumulative,
        fee_bps=fee,
        royalty_bps=royalties,
        settler_fee=settler_fee,
        by_payee=by_payee,
    )
    assert paid.fee + sum(paid.royalties) + paid.settler + paid.payee == paid.due
    assert paid.payee >= 0
    assert min(settled, deposit) + paid.due <= deposit
    assert paid.settler <= paid.due // 20
    assert not (by_payee and paid.settler)


@pytest.mark.parametrize(
    ("settled", "cumulative", "due"),
    [(0, 0, 0), (0, 40, 40), (40, 40, 0), (40, 39, 0), (40, 100, 60), (40, 101, 60), (100, 500, 0)],
)
def test_due_is_what_a_voucher_adds_as_far_as_the_deposit_reaches(settled, cumulative, due):
    assert settle(deposit=100, settled=settled, cumulative=cumulative, fee_bps=0).due == due


def test_settling_pays_fee_royalties_settler_and_payee():
    paid = settle(
        deposit=10_000,
        settled=0,
        cumulative=10_000,
        fee_bps=200,
        royalty_bps=(500, 250),
        settler_fee=600,
        by_payee=False,
    )
    assert (paid.fee, paid.royalties, paid.settler, paid.payee) == (200, (500, 250), 500, 8_550)


@pytest.mark.parametrize(("count", "fine"), [(3, True), (4, True), (5, False)])
def test_records_are_four_at_most(count, fine):
    if fine:
        settle(deposit=1, settled=0, cumulative=1, fee_bps=0, royalty_bps=[1] * count)
    else:
        with pytest.raises(ChannelTooManyRecords):
            settle(deposit=1, settled=0, cumulative=1, fee_bps=0, royalty_bps=[1] * count)
