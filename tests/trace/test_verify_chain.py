"""V11 against the real contracts: a job is opened, worked off, paid, closed and anchored on a development chain."""

from __future__ import annotations

from typing import Any

import pytest

from prsm_protocol.chain import Chain
from prsm_protocol.rules import eip712
from prsm_protocol.rules.eip712 import keccak
from prsm_protocol.rules.market.escrow import DOMAIN, Assignment, JobTerms, Result, job_id, task_id
from prsm_protocol.rules.oracle.attestation import Attestation
from prsm_protocol.rules.oracle.tiers import Tier
from prsm_protocol.rules.registry.lineage import AnchorKind, Kind, Registration
from prsm_protocol.testing import Accounts, Advance, Send, accounts, advance, anvil, chain, deployment, send
from prsm_protocol.trace import evidence, verify
from prsm_protocol.types import FTNS, Wei

__all__ = ["accounts", "advance", "anvil", "chain", "deployment", "send"]

BUDGET, PRICE, WINDOW = Wei(10 * FTNS), Wei(2 * FTNS), 60
QUESTION, ROOT = b"q" * 32, b"r" * 32
RECEIPT = verify.link_of(b"receipt")


class Told(verify.Run):
    """A run as its file tells it, with nothing but what the chain is compared with."""

    def __init__(
        self, head: dict[str, Any], told: dict[str, Any], receipt: dict[str, Any], task: dict[str, Any]
    ) -> None:
        self.head, self.evidence, self.channels = head, told, told["channels"]
        self.heads = [(RECEIPT, head)]
        self._receipt, self._task = receipt, task

    def receipts(self) -> dict[verify.Link, Any]:
        return {RECEIPT: self._receipt}

    def proven(self) -> dict[verify.Link, Any]:
        return {RECEIPT: self._task}


def raw(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def amount(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def told(chain: Chain, accounts: Accounts, send: Send, advance: Advance) -> Told:
    """What happened, told as it happened."""
    registration = Registration(Kind.MODEL, b"model".ljust(32, b"\0"), accounts.owner.address, 300, 100)
    send(accounts.owner, chain.provenance.commit(registration, bytes(32), accounts.owner.address))
    advance(2)
    send(accounts.owner, chain.provenance.register(registration, [], bytes(32)))
    send(accounts.operator, chain.operators.register(accounts.operator_signer.address, b"p" * 32, Wei(50 * FTNS)))
    terms = JobTerms(accounts.buyer.address, accounts.steward.address, QUESTION, 3600, 1)
    job = job_id(chain.chain_id, chain.escrow.address, terms)
    assignment = Assignment(
        job_id=job, operator=accounts.operator.address, payee=accounts.payee.address, records=(registration.record,),
        circuit_id=bytes(32), input_hash=b"i" * 32, spec=b"s" * 32, price=PRICE, at_risk=Wei(0), tier=Tier.TRUSTED,
        verdict_class=0, deliver_within=600, window=WINDOW, started_bps=0,
        quote_until=chain.block().timestamp + 3600, salt=2**200,
    )  # fmt: skip
    task = task_id(assignment)
    opened = send(accounts.buyer, chain.escrow.open(terms, BUDGET))
    digest = eip712.digest(DOMAIN, chain.chain_id, chain.escrow.address, task)
    send(accounts.steward, chain.escrow.assign(terms, [assignment], [accounts.operator_signer.sign_digest(digest)]))
    result = Result(b"o" * 32, b"f" * 32, bytes(32), chain.block().timestamp)
    attestation = Attestation(
        task_id=task, request=keccak(job + assignment.salt.to_bytes(32, "big")), model_id=registration.record,
        circuit_id=bytes(32), input_hash=assignment.input_hash, output_hash=result.output_hash, result=result.result,
        execution=bytes(32), tier=Tier.TRUSTED, verdict_class=0, operator=assignment.operator, at_risk=Wei(0),
        window=WINDOW, signed_at=result.signed_at,
    )  # fmt: skip
    signature = accounts.operator_signer.sign_digest(attestation.digest(chain.chain_id, chain.hub.address))
    delivered = send(accounts.relayer, chain.escrow.deliver(terms, assignment, result, signature))
    advance(WINDOW + 1)
    paid = send(accounts.relayer, chain.escrow.release(terms, assignment, result))
    closed = send(accounts.steward, chain.escrow.close(terms))
    anchored = send(accounts.buyer, chain.provenance.anchor(ROOT, job, AnchorKind.TRACE, 7))
    amounts = {key: amount(int(str(paid.event("TaskPaid").fields[key]))) for key in ("net", "fee", "royalty")}
    clients = {
        "escrow": chain.escrow, "hub": chain.hub, "router": chain.router, "royalties": chain.royalties,
        "provenance": chain.provenance, "channels": chain.channels,
    }  # fmt: skip
    head = {"question": verify.Link(verify.link_of(b"")[:4] + QUESTION), "merkle_root": ROOT, "locked": amount(BUDGET),
            "spent": amount(PRICE), "refunded": amount(BUDGET - PRICE), "open": amount(0)}  # fmt: skip
    whole = {
        "chain_id": chain.chain_id,
        "contracts": {name: raw(client.address) for name, client in clients.items()},
        "job": {"terms": evidence.struct_map(terms), "open_tx": opened.hash, "top_ups": [], "close_tx": closed.hash},
        "channels": [],
        "anchor": {"digest": ROOT, "by": raw(accounts.buyer.address), "tx": anchored.hash},
    }
    receipt = {"job": job, "task": task, "charged": amount(PRICE)}
    shown = {
        "assignment": evidence.struct_map(assignment),
        "deliver_tx": delivered.hash,
        "paid_tx": paid.hash,
        **amounts,
    }
    return Told(head, whole, receipt, shown)


def look(told: Told, chain: Chain) -> verify.Check:
    check = verify.Check("V11")
    verify.carry_out(check, lambda one: verify.check_chain(told, one, verify.Chain(chain.url), None))
    return check


def test_real_payments_and_anchor_hold_and_lies_about_them_are_found(told: Told, chain: Chain) -> None:
    check = look(told, chain)
    assert (check.wrong, check.open) == ([], [])
    assert {"payments", "anchors", "assigned tasks"} <= set(check.counted)
    told._task["fee"] = amount(1)
    assert any("the file says otherwise" in reason for reason in look(told, chain).wrong)
    told._task["fee"] = amount(PRICE * 200 // 10_000)
    assert look(told, chain).wrong == []
    told.head["locked"] = amount(BUDGET + 1)
    assert any("the chain locked" in reason for reason in look(told, chain).wrong)
    told.head["locked"] = amount(BUDGET)
    told.evidence["anchor"]["by"] = bytes(20)
    assert any("is not anchored" in reason for reason in look(told, chain).wrong)
    told.evidence["contracts"]["hub"] = told.evidence["contracts"]["escrow"]
    assert any("names another hub" in reason for reason in look(told, chain).wrong)
