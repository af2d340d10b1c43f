"""Each client against its contract: one story a contract, values of the domain in and out."""

from __future__ import annotations

import pytest

from prsm_protocol.chain import Chain, errors
from prsm_protocol.chain.channels import ChannelStatus
from prsm_protocol.chain.client import EventUnknown
from prsm_protocol.chain.escrow import TaskStatus
from prsm_protocol.chain.hub import ResultStatus
from prsm_protocol.chain.signer import PrivateKeySigner
from prsm_protocol.rules import eip712
from prsm_protocol.rules.channel.vouchers import DOMAIN as CHANNELS_DOMAIN
from prsm_protocol.rules.channel.vouchers import ChannelTerms, Voucher, channel_id
from prsm_protocol.rules.eip712 import keccak
from prsm_protocol.rules.market.escrow import DOMAIN as ESCROW_DOMAIN
from prsm_protocol.rules.market.escrow import (
    Assignment,
    Decline,
    JobStatus,
    JobTerms,
    Result,
    job_id,
    started_share,
    task_id,
)
from prsm_protocol.rules.oracle.attestation import Attestation
from prsm_protocol.rules.oracle.circuits import Circuit, circuit_id
from prsm_protocol.rules.oracle.context import context, limbs
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup, Tier
from prsm_protocol.rules.registry.lineage import AnchorKind, Kind, Parent, Registration, Share
from prsm_protocol.rules.registry.royalties import split
from prsm_protocol.testing import VAULT_FTNS, Accounts, Advance, Send
from prsm_protocol.types import FTNS, Wei

BUDGET, PRICE, WINDOW = Wei(10 * FTNS), Wei(2 * FTNS), 60
ROYALTY_BPS, FEE_BPS = 300, 200


def sign(signer: PrivateKeySigner, chain: Chain, domain: str, contract: str, struct: eip712.Struct) -> bytes:
    return signer.sign_digest(eip712.digest(domain, chain.chain_id, contract, struct.struct_hash()))


# ── token and vault ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_vault_takes_deposits_and_gives_them_back(chain: Chain, accounts: Accounts, send: Send) -> None:
    payee, amount = accounts.payee, Wei(5 * FTNS)
    wallet, free = chain.ftns.balance_of(payee.address), chain.vault.free_of(payee.address)
    assert free == VAULT_FTNS * FTNS
    send(payee, chain.ftns.approve(chain.vault.address, amount))
    assert chain.ftns.allowance(payee.address, chain.vault.address) == amount
    event = send(payee, chain.vault.deposit(payee.address, amount)).event("VaultDeposited")
    assert event.fields == {"from": payee.address, "to": payee.address, "amount": amount}
    assert chain.vault.free_of(payee.address) == free + amount
    send(payee, chain.vault.withdraw(amount, payee.address))
    assert chain.ftns.balance_of(payee.address) == wallet


def test_exit_waits_in_the_queue_and_leaves(chain: Chain, accounts: Accounts, send: Send) -> None:
    send(accounts.payee, chain.vault.queue_exit(Wei(FTNS)))
    assert chain.vault.exit_of(accounts.payee.address).amount == FTNS
    send(accounts.payee, chain.vault.complete_exit(accounts.payee.address))  # nothing is halted, so at once
    assert chain.vault.exit_of(accounts.payee.address).amount == 0
    with pytest.raises(errors.VaultNoExit) as refused:
        chain.call(chain.vault.complete_exit(accounts.payee.address))
    assert refused.value.values == {"account": accounts.payee.address}


def test_modules_are_those_of_the_parameters(chain: Chain) -> None:
    assert chain.vault.is_module(chain.escrow.address)
    assert not chain.vault.is_module(chain.hub.address)


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def register(
    chain: Chain, accounts: Accounts, send: Send, advance: Advance, digest: bytes, parents: list[Parent] | None = None
) -> bytes:
    registration = Registration(Kind.MODEL, digest, accounts.owner.address, ROYALTY_BPS, 100)
    send(accounts.owner, chain.provenance.commit(registration, bytes(32), accounts.owner.address))
    advance(2)
    send(accounts.owner, chain.provenance.register(registration, parents or [], bytes(32)))
    return registration.record


@pytest.fixture
def record(chain: Chain, accounts: Accounts, send: Send, advance: Advance) -> bytes:
    return register(chain, accounts, send, advance, b"model".ljust(32, b"\0"))


def test_record_is_registered_with_its_parent(
    chain: Chain, accounts: Accounts, send: Send, advance: Advance, record: bytes
) -> None:
    child = register(chain, accounts, send, advance, b"child".ljust(32, b"\0"), [Parent(record, 250)])
    found = chain.provenance.record_of(child)
    assert found is not None
    assert (found.owner, found.royalty_bps, found.kind, found.ancestors) == (
        accounts.owner.address,
        ROYALTY_BPS,
        Kind.MODEL,
        1,
    )
    assert chain.provenance.record_of(bytes(32)) is None
    event = chain.provenance.events(chain.deployment.start_block, names={"RecordRegistered"})[-1]
    assert event.fields["ancestors"] == (Share(record, 250),)


def test_registration_is_refused_when_it_follows_at_once(chain: Chain, accounts: Accounts, send: Send) -> None:
    registration = Registration(Kind.DATA, bytes(32), accounts.owner.address, 0, 0)
    with pytest.raises(errors.ProvenanceCommitmentUnknown):
        chain.call(chain.provenance.register(registration, [], bytes(32)), accounts.owner.address)


def test_anchor_is_dated_once(chain: Chain, accounts: Accounts, send: Send, record: bytes) -> None:
    digest = b"listing".ljust(32, b"\0")
    receipt = send(accounts.owner, chain.provenance.anchor(digest, record, AnchorKind.LISTING, 123))
    assert chain.provenance.anchored_at(digest, accounts.owner.address) == chain.block(receipt.block).timestamp
    assert chain.provenance.anchored_at(digest, accounts.buyer.address) is None
    assert receipt.event("DigestAnchored").fields["size"] == 123
    with pytest.raises(errors.ProvenanceAlreadyAnchored):
        chain.call(chain.provenance.anchor(digest, record, AnchorKind.LISTING, 123), accounts.owner.address)


# ── operators and circuits ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def operator(chain: Chain, accounts: Accounts, send: Send) -> PrivateKeySigner:
    send(accounts.operator, chain.operators.register(accounts.operator_signer.address, b"p" * 32, Wei(50 * FTNS)))
    return accounts.operator


def test_operator_is_registered_with_stake_and_signer(
    chain: Chain, accounts: Accounts, operator: PrivateKeySigner
) -> None:
    assert chain.operators.is_registered(operator.address)
    assert chain.operators.signer_of(operator.address) == accounts.operator_signer.address
    assert chain.operators.operator_of(accounts.operator_signer.address) == operator.address
    assert chain.operators.cover_of(operator.address).free == 50 * FTNS
    assert chain.operators.total_stake() == 50 * FTNS
    assert chain.operators.signer_of(accounts.stranger.address) is None
    assert not chain.operators.is_registered(accounts.stranger.address)


def test_stake_leaves_after_its_delay(chain: Chain, send: Send, advance: Advance, operator: PrivateKeySigner) -> None:
    free = chain.vault.free_of(operator.address)
    send(operator, chain.operators.request_exit(Wei(20 * FTNS)))
    leaving = chain.operators.cover_of(operator.address)
    assert (leaving.stake, leaving.leaving) == (30 * FTNS, 20 * FTNS)
    with pytest.raises(errors.OracleRegistryExitNotReady) as refused:
        chain.call(chain.operators.complete_exit(operator.address))
    assert list(refused.value.values.values()) == [leaving.leaving_at]
    advance(336 * 60)
    send(operator, chain.operators.complete_exit(operator.address))
    assert chain.vault.free_of(operator.address) == free + 20 * FTNS


def test_circuit_is_announced_under_the_id_that_rules_derive(chain: Chain, accounts: Accounts, send: Send) -> None:
    layout, manifest = Layout(inputs=4, outputs=1, hashed_input=False), b"m" * 32
    circuit = Circuit(verifier=chain.ftns.address, layout=layout, setup=Setup.SINGLE)
    receipt = send(accounts.operator, chain.router.announce(circuit, manifest))
    expected = circuit_id(manifest, keccak(chain.code(chain.ftns.address)), layout, Setup.SINGLE)
    assert receipt.event("CircuitAnnounced").fields["circuit_id"] == expected
    assert chain.router.circuit_of(expected) == circuit
    assert chain.router.is_enabled(expected)
    assert not chain.router.state_of(expected).is_removed
    assert chain.router.bond_of(expected) == (accounts.operator.address, chain.router.announce_bond())
    assert chain.router.verify(expected, b"", [0] * layout.words) is False  # a token is no verifier


def test_context_and_limbs_are_those_of_rules(chain: Chain, accounts: Accounts) -> None:
    request, circuit = b"r" * 32, b"c" * 32
    word = chain.hub.context_of(request, circuit, accounts.operator.address)
    assert word == context(chain.chain_id, chain.hub.address, request, circuit, accounts.operator.address)
    assert list(chain.hub.limbs_of(word)) == list(limbs(word))


# ── escrow ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def terms(chain: Chain, accounts: Accounts) -> JobTerms:
    return JobTerms(accounts.buyer.address, accounts.steward.address, b"q" * 32, 3_600, 1)


@pytest.fixture
def assignment(
    chain: Chain, accounts: Accounts, terms: JobTerms, record: bytes, operator: PrivateKeySigner
) -> Assignment:
    return Assignment(
        job_id=job_id(chain.chain_id, chain.escrow.address, terms),
        operator=operator.address,
        payee=accounts.payee.address,
        records=(record,),
        circuit_id=bytes(32),
        input_hash=b"i" * 32,
        spec=b"s" * 32,
        price=PRICE,
        at_risk=Wei(0),
        tier=Tier.TRUSTED,
        verdict_class=0,
        deliver_within=600,
        window=WINDOW,
        started_bps=1_000,
        quote_until=chain.block().timestamp + 3_600,
        salt=9,
    )


@pytest.fixture
def assigned(chain: Chain, accounts: Accounts, send: Send, terms: JobTerms, assignment: Assignment) -> Assignment:
    send(accounts.buyer, chain.escrow.open(terms, BUDGET))
    signature = sign(accounts.operator_signer, chain, ESCROW_DOMAIN, chain.escrow.address, assignment)
    receipt = send(accounts.steward, chain.escrow.assign(terms, [assignment], [signature]))
    event = receipt.event("TaskAssigned")
    assert event.fields["assignment"] == assignment
    assert event.fields["task_id"] == task_id(assignment)
    return assignment


def deliver(chain: Chain, accounts: Accounts, send: Send, terms: JobTerms, assignment: Assignment) -> Result:
    result = Result(b"o" * 32, b"f" * 32, bytes(32), chain.block().timestamp)
    attestation = Attestation(
        task_id=task_id(assignment),
        request=keccak(assignment.job_id + assignment.salt.to_bytes(32, "big")),
        model_id=assignment.records[0],
        circuit_id=assignment.circuit_id,
        input_hash=assignment.input_hash,
        output_hash=result.output_hash,
        result=result.result,
        execution=result.execution,
        tier=assignment.tier,
        verdict_class=assignment.verdict_class,
        operator=assignment.operator,
        at_risk=assignment.at_risk,
        window=assignment.window,
        signed_at=result.signed_at,
    )
    signature = accounts.operator_signer.sign_digest(attestation.digest(chain.chain_id, chain.hub.address))
    receipt = send(accounts.relayer, chain.escrow.deliver(terms, assignment, result, signature))
    assert receipt.event("ResultAttested").fields["attestation"] == attestation
    return result


def test_job_is_opened_assigned_delivered_paid_and_closed(
    chain: Chain,
    accounts: Accounts,
    send: Send,
    advance: Advance,
    terms: JobTerms,
    record: bytes,
    assigned: Assignment,
) -> None:
    job, task = job_id(chain.chain_id, chain.escrow.address, terms), task_id(assigned)
    book = chain.escrow.job(job)
    assert (book.free, book.reserved, book.status) == (BUDGET - PRICE, PRICE, JobStatus.OPEN)
    result = deliver(chain, accounts, send, terms, assigned)
    assert chain.escrow.task(task).status is TaskStatus.DELIVERED
    state = chain.hub.status_of(task, assigned.operator)
    assert (state.status, state.tier) == (ResultStatus.PENDING, Tier.TRUSTED)
    with pytest.raises(errors.AttestationHubStillOpen) as refused:
        chain.call(chain.escrow.release(terms, assigned, result), accounts.relayer.address)
    assert refused.value.values == {"final_at": state.final_at}
    advance(WINDOW + 1)
    before = chain.vault.free_of(accounts.payee.address)
    paid = send(accounts.relayer, chain.escrow.release(terms, assigned, result)).event("TaskPaid")
    expected = split(PRICE, [ROYALTY_BPS], fee_bps=FEE_BPS, stack_max_bps=3_000)
    assert paid.fields == {
        "task_id": task,
        "payee": accounts.payee.address,
        "net": expected.payee,
        "fee": expected.fee,
        "royalty": expected.royalty,
    }
    assert chain.vault.free_of(accounts.payee.address) == before + expected.payee
    assert chain.escrow.task(task).status is TaskStatus.PAID
    assert chain.royalties.accrued_for(record) == expected.royalty
    assert chain.royalties.uses_of(record) == 1
    assert chain.royalties.claimable(record, [], 0) == expected.royalty
    send(accounts.stranger, chain.royalties.claim(record, [], 0))
    assert chain.royalties.claimable(record, [], 0) == 0
    closed = send(accounts.steward, chain.escrow.close(terms)).event("EscrowClosed")
    assert closed.fields["refunded"] == BUDGET - PRICE
    assert chain.vault.free_of(accounts.buyer.address) == VAULT_FTNS * FTNS - PRICE


def test_price_returns_when_nothing_is_delivered(
    chain: Chain, accounts: Accounts, send: Send, advance: Advance, terms: JobTerms, assigned: Assignment
) -> None:
    with pytest.raises(errors.EscrowNotLate):
        chain.call(chain.escrow.refund(terms, assigned))
    advance(601)
    refunded = send(accounts.stranger, chain.escrow.refund(terms, assigned)).event("TaskRefunded")
    assert refunded.fields["amount"] == PRICE
    assert chain.escrow.task(task_id(assigned)).status is TaskStatus.REFUNDED


def test_price_returns_at_once_when_the_operator_declines(
    chain: Chain, accounts: Accounts, send: Send, terms: JobTerms, assigned: Assignment
) -> None:
    decline = Decline(task_id(assigned), 3)
    signature = sign(accounts.operator_signer, chain, ESCROW_DOMAIN, chain.escrow.address, decline)
    receipt = send(accounts.stranger, chain.escrow.decline(terms, assigned, 3, signature))
    assert receipt.event("TaskDeclined").fields == {"task_id": task_id(assigned), "code": 3}


def test_started_share_is_paid_when_the_buyer_rejects(
    chain: Chain, accounts: Accounts, send: Send, terms: JobTerms, assigned: Assignment
) -> None:
    deliver(chain, accounts, send, terms, assigned)
    receipt = send(accounts.buyer, chain.escrow.reject(terms, assigned, b"w" * 32))
    paid = receipt.event("TaskPaid").fields
    amounts = [paid["net"], paid["fee"], paid["royalty"]]
    assert sum(int(str(amount)) for amount in amounts) == started_share(PRICE, assigned.started_bps)


def test_assignment_is_refused_with_the_signature_of_a_stranger(
    chain: Chain, accounts: Accounts, send: Send, terms: JobTerms, assignment: Assignment
) -> None:
    send(accounts.buyer, chain.escrow.open(terms, BUDGET))
    signature = sign(accounts.stranger, chain, ESCROW_DOMAIN, chain.escrow.address, assignment)
    with pytest.raises(errors.EscrowSignatureInvalid) as refused:
        chain.call(chain.escrow.assign(terms, [assignment], [signature]), accounts.buyer.address)
    assert refused.value.values == {"account": assignment.operator}


# ── channels ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_channel_is_opened_settled_and_closed(chain: Chain, accounts: Accounts, send: Send, record: bytes) -> None:
    terms = ChannelTerms(
        payer=accounts.payer.address,
        payee=accounts.payee.address,
        signer=accounts.payer.address,
        records=(record,),
        settler_fee=Wei(0),
        close_delay=60,
        salt=5,
    )
    opened = send(accounts.payer, chain.channels.open(terms, Wei(3 * FTNS))).event("ChannelOpened")
    assert opened.fields["terms"] == terms
    identity = channel_id(chain.chain_id, chain.channels.address, terms)
    assert opened.fields["channel_id"] == identity == chain.channels.channel_id_of(terms)
    voucher = Voucher(identity, 1, Wei(FTNS), b"u" * 32)
    signature = sign(accounts.payer, chain, CHANNELS_DOMAIN, chain.channels.address, voucher)
    settled = send(accounts.payee, chain.channels.settle(terms, voucher, signature)).event("VoucherSettled")
    assert (settled.fields["cumulative"], settled.fields["paid"]) == (FTNS, FTNS)
    assert chain.channels.channel(identity).settled == FTNS
    send(accounts.payee, chain.channels.close(terms))
    assert chain.channels.channel(identity).status is ChannelStatus.CLOSED
    assert chain.vault.free_of(accounts.payer.address) == VAULT_FTNS * FTNS - FTNS


def test_voucher_of_a_stranger_is_refused_and_skipped_in_a_batch(chain: Chain, accounts: Accounts, send: Send) -> None:
    payer, payee = accounts.payer.address, accounts.payee.address
    terms = ChannelTerms(payer, payee, payer, (), Wei(0), 60, 6)
    send(accounts.payer, chain.channels.open(terms, Wei(FTNS)))
    identity = chain.channels.channel_id_of(terms)
    voucher = Voucher(identity, 1, Wei(FTNS), bytes(32))
    signature = sign(accounts.stranger, chain, CHANNELS_DOMAIN, chain.channels.address, voucher)
    with pytest.raises(errors.ChannelsSignatureInvalid) as refused:
        chain.call(chain.channels.settle(terms, voucher, signature), payee)
    assert refused.value.values == {"signer": payer, "recovered": accounts.stranger.address}
    receipt = send(accounts.payee, chain.channels.settle_many([(terms, voucher, signature)]))
    assert receipt.event("VoucherSkipped").fields["reason"] == errors.ChannelsSignatureInvalid.selector


def test_rest_returns_to_the_payer_after_the_delay(
    chain: Chain, accounts: Accounts, send: Send, advance: Advance
) -> None:
    payer = accounts.payer.address
    terms = ChannelTerms(payer, accounts.payee.address, payer, (), Wei(0), 60, 7)
    send(accounts.payer, chain.channels.open(terms, Wei(FTNS)))
    send(accounts.payer, chain.channels.top_up(terms, Wei(FTNS)))
    send(accounts.payer, chain.channels.start_close(terms))
    with pytest.raises(errors.ChannelsStillOpen):
        chain.call(chain.channels.withdraw(terms), payer)
    advance(61)
    closed = send(accounts.stranger, chain.channels.withdraw(terms)).event("ChannelClosed")
    assert closed.fields["returned"] == 2 * FTNS


# ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_events_come_by_name_and_in_order(chain: Chain, accounts: Accounts, send: Send) -> None:
    first = chain.block().number + 1
    for amount in (1, 2):
        send(accounts.payee, chain.vault.withdraw(Wei(amount), accounts.payee.address))
    found = chain.vault.events(first, names={"VaultWithdrawn"})
    assert [event.fields["amount"] for event in found] == [1, 2]
    assert {event.name for event in chain.events(first)} == {"VaultWithdrawn", "Transfer"}
    assert [event.block for event in found] == sorted(event.block for event in found)


def test_events_are_refused_under_a_name_that_the_contract_does_not_have(chain: Chain) -> None:
    with pytest.raises(EventUnknown) as refused:
        chain.vault.events(0, names={"VaultImagined"})
    assert refused.value.values == {"contract": "Vault", "names": "VaultImagined"}
