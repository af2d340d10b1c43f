"""What a bundle says about money and proofs, read from the chain and from the results that were checked on arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prsm_protocol.chain import TransactionReceipt
from prsm_protocol.chain.escrow import TaskStatus
from prsm_protocol.orchestration.nodes import Delivered, input_block
from prsm_protocol.rules.eip712 import address_bytes
from prsm_protocol.trace import dag_cbor
from prsm_protocol.trace.evidence import (
    AnchorEvidence,
    ChannelEvidence,
    Evidence,
    JobEvidence,
    LayoutEvidence,
    TaskEvidence,
    VoucherEvidence,
    struct_map,
)
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.types import Cid, Steps, Wei
from prsm_protocol.workflow.acknowledgements import Acknowledgements
from prsm_protocol.workflow.channels import HomeChannels
from prsm_protocol.workflow.home import Home
from prsm_protocol.workflow.payments import EscrowPayments


@dataclass(frozen=True)
class Payment:
    """One task's money as the chain has it: net to the payee, fee burnt, royalty under its records."""

    task: bytes
    operator: str
    payee: str
    records: tuple[bytes, ...]
    tier: str
    status: str
    price: Wei
    net: Wei
    fee: Wei
    royalty: Wei
    transaction: bytes


def payments_of(home: Home, escrow: EscrowPayments) -> tuple[Payment, ...]:
    """Every task of the job, paid or not."""
    chain = home.chain
    paid = {
        event.fields["task_id"]: event
        for event in chain.escrow.events(chain.deployment.start_block, "latest", {"TaskPaid"})
    }
    found = []
    for assignment, task_id in escrow.assignments():
        task = chain.escrow.task(task_id)
        event = paid.get(task_id)
        net, fee, royalty = (_int(event.fields[name]) if event else 0 for name in ("net", "fee", "royalty"))
        found.append(
            Payment(
                task=task_id,
                operator=assignment.operator,
                payee=assignment.payee,
                records=assignment.records,
                tier=task.tier.name.lower(),
                status=task.status.name.lower(),
                price=assignment.price,
                net=Wei(net),
                fee=Wei(fee),
                royalty=Wei(royalty),
                transaction=event.transaction if event else b"",
            )
        )
    return tuple(found)


def collect(
    home: Home,
    recorder: Recorder,
    escrow: EscrowPayments,
    delivered: Sequence[Delivered],
    acknowledgements: Acknowledgements,
    anchor: TransactionReceipt | None,
    channels: HomeChannels,
    steps: Steps,
) -> Evidence:
    chain = home.chain
    clients = {
        "escrow": chain.escrow,
        "hub": chain.hub,
        "router": chain.router,
        "royalties": chain.royalties,
        "provenance": chain.provenance,
        "channels": chain.channels,
    }
    job = None
    if anchor is not None:
        job = JobEvidence(
            terms=struct_map(escrow.job_terms), open_tx=escrow.transaction("open"), close_tx=escrow.transaction("close")
        )
    paid = {
        payment.task: payment for payment in payments_of(home, escrow) if payment.status == TaskStatus.PAID.name.lower()
    }
    root = None
    if anchor is not None:
        event = anchor.event("DigestAnchored")
        digest = event.fields["digest"]
        assert isinstance(digest, bytes)
        root = AnchorEvidence(digest, address_bytes(home.address), anchor.hash)
    return Evidence(
        chain_id=chain.chain_id,
        contracts={name: address_bytes(client.address) for name, client in clients.items()},
        job=job,
        tasks=tuple(
            _task(home, recorder, result, paid[result.assignment.struct_hash()])
            for result in sorted(delivered, key=lambda each: each.row)
            if result.assignment.struct_hash() in paid
        ),
        channels=_channels(acknowledgements, channels, steps),
        anchor=root,
    )


def _task(home: Home, recorder: Recorder, result: Delivered, payment: Payment) -> TaskEvidence:
    circuit = result.assignment.circuit_id
    layout = verifier = manifest = None
    if any(circuit):
        found = home.chain.router.circuit_of(circuit)
        manifest = Cid.parse(result.manifest)
        verifier = address_bytes(found.verifier)
        layout = LayoutEvidence(
            inputs=found.layout.inputs,
            outputs=found.layout.outputs,
            hashed=found.layout.hashed_input,
            bits=output_bits(home, manifest),
        )
    return TaskEvidence(
        receipt=result.receipt_cid,
        rows=(result.row,),
        assignment=struct_map(result.assignment),
        result=struct_map(result.result),
        signature=result.signature,
        deliver_tx=bytes.fromhex(result.transaction.removeprefix("0x")),
        net=payment.net,
        fee=payment.fee,
        royalty=payment.royalty,
        paid_tx=payment.transaction,
        input=recorder.seal(input_block(result.input_words, result.input_salt)),
        proof=result.proof or None,
        proof_inputs=tuple(word.to_bytes(32, "big") for word in result.proof_inputs),
        proof_outputs=tuple(word.to_bytes(32, "big") for word in result.proof_outputs),
        verifier=verifier,
        layout=layout,
        manifest=manifest,
    )


def output_bits(home: Home, manifest: Cid) -> int:
    """The scale of a circuit's output words, as its manifest says."""
    block = dag_cbor.decode(home.retriever.get(manifest))
    assert isinstance(block, dict)
    return _int(block["output_bits"])


def _channels(acknowledgements: Acknowledgements, channels: HomeChannels, steps: Steps) -> tuple[ChannelEvidence, ...]:
    """The vouchers this run gave, in order, each with the tangle's receipt."""
    found = []
    by_channel: dict[bytes, list[int]] = {}
    for channel, signed in acknowledgements.given:
        by_channel.setdefault(channel.id, []).append(signed.voucher.sequence)
    terms = {channel.id: channel.terms for channel, _ in acknowledgements.given}
    for channel_id, sequences in by_channel.items():
        vouchers = []
        for sequence in sorted(sequences):
            kept = channels.book.voucher(channel_id, sequence).signed
            inclusion = channels.inclusion(channel_id, sequence, steps)
            vouchers.append(
                VoucherEvidence(
                    sequence=sequence,
                    cumulative=kept.voucher.cumulative,
                    usage_root=kept.voucher.usage_root,
                    signature=kept.signature,
                    inclusion=inclusion.encode(),
                )
            )
        found.append(ChannelEvidence(terms=struct_map(terms[channel_id]), vouchers=tuple(vouchers)))
    return tuple(found)


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
