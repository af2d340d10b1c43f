"""The story of the main job, through the command line, on a real world.

1. Plan and price are shown, and nothing is locked.
2. One question is answered, proved and paid; its answer has what it promised.
3. The money, read from the chain: deposited = paid + refunded to the wei, every row paid once and proved, royalties due.
4. The metered channel of the distillation settled for real, and the tangle's receipt of its last voucher holds offline.
5. A stranger checks the run with one file of Python; whatever is changed in it, the check fails.
6. Funds, claims and explanations agree with the chain.
7. A second `prsm up` changes nothing.
8. A proof is good for one request, one operator and one hub, and for nothing else.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from oracles.keys import open_keys, passphrase
from prsm_protocol.chain import errors
from prsm_protocol.chain.client import Call
from prsm_protocol.chain.escrow import TaskStatus
from prsm_protocol.chain.signer import PrivateKeySigner
from prsm_protocol.ledger.archive import Archive
from prsm_protocol.ledger.inclusion import Inclusion, Trust, network_id, verify
from prsm_protocol.ledger.messages import Kind, tag_of
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.voucher_message import read_voucher
from prsm_protocol.orchestration.nodes import HttpNode
from prsm_protocol.rules.channel.vouchers import ChannelTerms
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, Result
from prsm_protocol.rules.oracle.attestation import Attestation, Proof
from prsm_protocol.rules.oracle.tiers import Tier
from tests.flows.real_world import NODES, SAMPLE, Ended, RealWorld

KEYS = ("answer", "claims", "tier", "spent", "payments", "trace", "bundle", "rpc")
ROWS = 8
PLACES = 200
WITH_CHAIN = 20


@dataclass(frozen=True)
class Asked:
    """The one question of this story, and what its answer says."""

    ended: Ended
    answer: dict[str, Any]
    job: bytes
    wealth_before: int

    @property
    def bundle(self) -> Path:
        return Path(self.answer["bundle"])

    @property
    def rpc(self) -> str:
        return str(self.answer["rpc"])


@pytest.fixture(scope="session")
def asked(world: RealWorld) -> Asked:
    before = world.wealth()
    ended = world.prsm("ask", "--sample", SAMPLE, "--budget", "5", "--yes", "--json")
    assert ended.code == 0, ended.err
    answer = ended.json()
    return Asked(ended, answer, world.job_of(answer["run"]), before)


@pytest.fixture(scope="session")
def script(world: RealWorld) -> Path:
    """The verifier as a stranger gets it: printed into a file, away from the package."""
    path = world.state / "stranger" / "v.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(world.prsm("verify", "--print-script").out)
    return path


def stranger_checks(script: Path, bundle: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(bundle), *options], capture_output=True, text=True, check=False,
        cwd=script.parent,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


# ── 1. before anything is locked ─────────────────────────────────────────────────────────────────────────────────────


def test_1_plan_and_price_are_shown_and_nothing_is_locked(world: RealWorld) -> None:
    before = (world.jobs(), world.wealth(), world.chain.transaction_count(world.home().address))
    done = world.prsm("ask", "--sample", SAMPLE, "--dry-run", "--json")
    assert done.code == 0, done.err
    estimate = done.json()
    assert {node["kind"] for node in estimate["plan"] if node["paid"]} == {"predict"}
    assert 0 < int(estimate["low_wei"]) <= int(estimate["likely_wei"]) <= int(estimate["high_wei"]) <= 5 * 10**18
    assert estimate["tier"] == "proved"
    unasked = world.prsm("ask", "--sample", SAMPLE, "--json")  # nobody is here to agree
    assert unasked.code == 4
    assert "--yes" in unasked.err
    assert "price: " in unasked.err
    assert (world.jobs(), world.wealth(), world.chain.transaction_count(world.home().address)) == before


# ── 2. the answer ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_2_answer_has_what_it_promised(asked: Asked) -> None:
    answer = asked.answer
    assert [key for key in KEYS if key not in answer] == []
    assert (answer["state"], answer["tier"], answer["error"]) == ("answered", "proved", None)
    assert "predicted malignant" in answer["answer"]
    assert len(answer["payments"]) == ROWS
    assert all(claim["citations"] for claim in answer["claims"])
    assert f"run {answer['run']}" in asked.ended.err


# ── 3. the money ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_3_every_row_is_proved_and_paid_once_and_the_rest_is_back(world: RealWorld, asked: Asked) -> None:
    book = world.check_money(asked.job)
    assert book.deposited == book.paid + book.refunded
    assert list(book.tasks.values()) == [TaskStatus.PAID] * ROWS
    assert {world.chain.escrow.task(task).tier for task in book.tasks} == {Tier.PROVED}
    answer = asked.answer
    assert (int(answer["locked"]), int(answer["spent"]), int(answer["refunded"])) == (
        book.deposited,
        book.paid,
        book.refunded,
    )
    assert {bytes.fromhex(payment["task"][2:]) for payment in answer["payments"]} == set(book.tasks)
    assert asked.wealth_before - world.wealth() == book.paid


@pytest.mark.parametrize("owner", ["data-owner", "teacher-owner"])
def test_3_royalties_are_due_to_whoever_made_it_possible(world: RealWorld, asked: Asked, owner: str) -> None:
    found = world.prsm("funds", "--as", owner, "--json").json()
    due = [int(lock["amount_wei"]) for lock in found["locks"] if lock["held_by"] == "Royalties" and lock["claimable"]]
    assert sum(due) > 0
    royalties = sum(int(payment["royalty_wei"]) for payment in asked.answer["payments"])
    assert royalties > 0


# ── 4. the metered channel ───────────────────────────────────────────────────────────────────────────────────────────


def test_4_teacher_was_paid_by_vouchers_that_the_tangle_holds(world: RealWorld) -> None:
    home = world.home("distiller")
    chain = world.chain
    start = chain.deployment.start_block
    opened = {
        event.fields["channel_id"]: event.fields["terms"]
        for event in chain.channels.events(start, "latest", {"ChannelOpened"})
        if event.fields["payer"] == home.address
    }
    settled = [
        event
        for event in chain.channels.events(start, "latest", {"VoucherSettled"})
        if event.fields["channel_id"] in opened
    ]
    last = settled[-1]
    channel, cumulative = last.fields["channel_id"], last.fields["cumulative"]
    assert isinstance(channel, bytes)
    assert isinstance(cumulative, int)
    terms = opened[channel]
    assert isinstance(terms, ChannelTerms)
    assert cumulative > 0
    assert chain.channels.channel(channel).settled == cumulative

    address = home.network.ledger
    trust = Trust.of(address.keys, address.threshold, address.network)
    tag = tag_of(Kind.VOUCHER, channel)
    kept = Archive(RestTransport([]), home.folder / f"archive-{channel.hex()[:16]}.db", [tag], trust)  # no node to ask
    try:
        messages = kept.since(tag)
        vouchers = {
            message.id: read_voucher(network_id(address.network), message.tag, message.data, terms)
            for message in messages
        }
        found = next(id for id, signed in vouchers.items() if signed.voucher.sequence == last.fields["sequence"])
        receipt = Inclusion.decode(kept.receipt(found).encode())
    finally:
        kept.close()
    assert vouchers[found].voucher.cumulative == cumulative
    assert verify(receipt, trust).id == found
    strangers = Trust.of(
        tuple(f"0x{number:02x}" + "11" * 31 for number, _ in enumerate(address.keys)),
        address.threshold,
        address.network,
    )
    with pytest.raises(Exception, match=r"signature|key|milestone"):
        verify(receipt, strangers)


# ── 5. a stranger's check ────────────────────────────────────────────────────────────────────────────────────────────


def test_5_stranger_finds_everything_true(asked: Asked, script: Path) -> None:
    assert stranger_checks(script, asked.bundle, "--rpc", asked.rpc)[0] == 0
    code, said = stranger_checks(script, asked.bundle)
    assert code == 4
    assert "not checked" in said


Check = Callable[[Path, bool], int]


@pytest.fixture(scope="session")
def short(world: RealWorld) -> Path:
    """The record of a shorter run, with every kind of evidence and little to recompute."""
    table = str(world.table("short", 2))
    done = world.prsm("ask", "Which cases are malignant?", "--data", table, "--task", "predict", "--yes", "--json")
    assert done.code == 0, done.err
    return Path(done.json()["bundle"])


@pytest.fixture
def check(asked: Asked, short: Path, script: Path) -> Check:
    """The same script in this process: four hundred interpreters would take minutes."""
    main = cast("Callable[[list[str]], int]", runpy.run_path(str(script), run_name="verifier")["main"])

    def run(bundle: Path, with_chain: bool) -> int:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return main([str(bundle), *(["--rpc", asked.rpc] if with_chain else [])])

    assert (run(short, True), run(short, False)) == (0, 4)
    return run


@pytest.mark.parametrize("change", ["byte", "bit"])
def test_5_one_change_anywhere_is_found(short: Path, check: Check, tmp_path: Path, change: str) -> None:
    whole = short.read_bytes()
    path = tmp_path / "changed.car"
    unnoticed = []
    for place in range(PLACES):
        at = place * len(whole) // PLACES
        data = bytearray(whole)
        data[at] ^= 0xFF if change == "byte" else 1 << place % 8
        path.write_bytes(data)
        code = check(path, place % (PLACES // WITH_CHAIN) == 0)
        if code not in (1, 2):
            unnoticed.append((at, code))
    assert unnoticed == []


def test_5_redacted_copy_is_true_as_far_as_it_shows(
    world: RealWorld, asked: Asked, script: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "redacted.car"
    done = world.prsm("trace", "redact", str(asked.bundle), "--keep", "answer", "-o", str(copy))
    assert done.code == 0, done.err
    assert stranger_checks(script, copy, "--rpc", asked.rpc)[0] == 4
    assert stranger_checks(script, copy)[0] == 4


# ── 6. funds ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_6_claim_credits_the_vault_with_what_was_due(world: RealWorld, asked: Asked) -> None:
    home = world.home("teacher-owner")
    due = {
        lock["id"]: int(lock["amount_wei"])
        for lock in world.prsm("funds", "--as", "teacher-owner", "--json").json()["locks"]
        if lock["claimable"]
    }
    before = world.chain.vault.free_of(home.address)
    done = world.prsm("claim", "--all", "--as", "teacher-owner", "--json")
    assert done.code == 0, done.err
    claimed = {lock["id"]: int(lock["amount_wei"]) for lock in done.json()["claimed"]}
    assert claimed == due
    assert sum(due.values()) > 0
    assert world.chain.vault.free_of(home.address) - before == sum(due.values())
    assert world.prsm("claim", "--all", "--as", "teacher-owner", "--json").json()["claimed"] == []


def test_6_why_paid_agrees_with_every_payment(world: RealWorld, asked: Asked) -> None:
    for payment in asked.answer["payments"][:2]:
        done = world.prsm("why-paid", payment["task"], "--json")
        assert done.code == 0, done.err
        found = done.json()
        assert (found["status"], found["agrees"]) == ("paid", True)
    assert world.prsm("why-paid", "0x" + "ab" * 32, "--json").json()["status"] == "unknown"


# ── 7. once more up ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_7_second_up_changes_nothing(world: RealWorld, asked: Asked) -> None:
    before = [(each.name, each.pid, each.began) for each in world.local.started()]
    wealth = world.wealth()
    done = world.prsm("up", "--models", SAMPLE, "--json")
    assert done.code == 0, done.err
    found = done.json()
    assert (found["was_running"], found["rpc"]) == (True, asked.rpc)
    assert [(each.name, each.pid, each.began) for each in world.local.started()] == before
    assert world.wealth() == wealth


# ── 8. a proof elsewhere ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Delivery:
    """What stood in a delivery that was paid, and the signing keys of both operators, which the test borrows."""

    terms: JobTerms
    assignment: Assignment
    attestation: Attestation
    signature: bytes
    proof: Proof
    signers: dict[str, PrivateKeySigner]

    @property
    def result(self) -> Result:
        a = self.attestation
        return Result(a.output_hash, a.result, a.execution, a.signed_at)


@pytest.fixture(scope="session")
def delivery(world: RealWorld, asked: Asked) -> Delivery:
    task = bytes.fromhex(asked.answer["payments"][0]["task"][2:])
    terms = next(e.fields["terms"] for e in world.events("EscrowOpened") if e.fields["job_id"] == asked.job)
    assignment = next(e.fields["assignment"] for e in world.events("TaskAssigned") if e.fields["task_id"] == task)
    assert isinstance(terms, JobTerms)
    assert isinstance(assignment, Assignment)
    signers = {}
    for name in NODES:
        folder = world.local.folder / name
        keys = open_keys(folder, passphrase(folder))
        signers[keys.operator] = keys.signer
    address = next(
        url for url in world.local.network().gateways[1:] if HttpNode(url, world.home().identity).about()["operator"] == assignment.operator
    )  # fmt: skip
    document = cast("dict[str, Any]", HttpNode(address, world.home().identity).result(task))
    proof = Proof(
        bytes.fromhex(document["proof"][2:]),
        tuple(int(word) for word in document["proof_inputs"]),
        tuple(int(word) for word in document["output_words"]),
    )
    signature = bytes.fromhex(document["signature"][2:])
    return Delivery(terms, assignment, Attestation.from_json(document["attestation"]), signature, proof, signers)


def attest(
    world: RealWorld, delivery: Delivery, changed: Attestation, proof: Proof | None = None, hub: str | None = None
) -> None:
    """Ask the hub, as the escrow would, to accept this proof for these words, truly signed by the operator they name."""
    chain = world.chain
    at = hub or chain.hub.address
    signature = delivery.signers[changed.operator].sign_digest(changed.digest(chain.chain_id, at))
    item = chain.hub.abi.function("attest", 3)
    message = {
        "from": chain.escrow.address,
        "to": at,
        "data": "0x" + item.encode((changed, signature, proof or delivery.proof)).hex(),
        "gas": hex(5_000_000),
    }
    overrides = {at: {"code": "0x" + chain.code(chain.hub.address).hex()}} if hub else {}
    chain.rpc("eth_call", message, "latest", overrides)


ANOTHER_TASK = b"\xab" * 32


def test_8_proof_holds_for_its_own_context(world: RealWorld, delivery: Delivery) -> None:
    """The control: the very call that the next tests change is accepted."""
    attest(world, delivery, replace(delivery.attestation, task_id=ANOTHER_TASK))


def test_8_proof_of_another_request_is_refused(world: RealWorld, delivery: Delivery) -> None:
    words = replace(delivery.attestation, task_id=ANOTHER_TASK, request=b"\xcd" * 32)
    refused_proof(world, delivery, words)


def test_8_proof_of_another_operator_is_refused(world: RealWorld, delivery: Delivery) -> None:
    other = next(operator for operator in delivery.signers if operator != delivery.attestation.operator)
    refused_proof(world, delivery, replace(delivery.attestation, task_id=ANOTHER_TASK, operator=other))


def test_8_proof_for_another_hub_is_refused(world: RealWorld, delivery: Delivery) -> None:
    second = "0x" + "5a" * 20
    refused_proof(world, delivery, replace(delivery.attestation, task_id=ANOTHER_TASK), second)


def test_8_proof_with_another_output_is_refused(world: RealWorld, delivery: Delivery) -> None:
    words = replace(delivery.attestation, task_id=ANOTHER_TASK)
    other = replace(delivery.proof, outputs=(delivery.proof.outputs[0] + 1, *delivery.proof.outputs[1:]))
    with pytest.raises(errors.ContractError) as refused:
        attest(world, delivery, words, other)
    assert refused.value.name == "AttestationHubOutputMismatch"


def test_8_delivery_is_paid_once_and_stays_with_its_operator(world: RealWorld, delivery: Delivery) -> None:
    chain, stranger = world.chain, world.home("linear-owner").address

    def deliver(assignment: Assignment) -> Call:
        return chain.escrow.deliver(delivery.terms, assignment, delivery.result, delivery.signature, delivery.proof)

    with pytest.raises(errors.ContractError) as again:
        chain.call(deliver(delivery.assignment), stranger)
    assert again.value.name == "EscrowTaskNotOpen"
    other = next(operator for operator in delivery.signers if operator != delivery.assignment.operator)
    with pytest.raises(errors.ContractError) as elsewhere:
        chain.call(deliver(replace(delivery.assignment, operator=other)), stranger)
    assert elsewhere.value.name == "EscrowTaskNotOpen"


def refused_proof(world: RealWorld, delivery: Delivery, words: Attestation, hub: str | None = None) -> None:
    with pytest.raises(errors.ContractError) as refused:
        attest(world, delivery, words, hub=hub)
    assert refused.value.name == "AttestationHubProofRejected"
    assert refused.value.values["circuit_id"] == delivery.attestation.circuit_id
