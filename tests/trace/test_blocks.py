"""Dataclasses to blocks and back; strangers' blocks are checked field by field."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prsm_protocol.identity import Identity, verify
from prsm_protocol.trace import blocks, dag_cbor, evidence
from prsm_protocol.trace.fields import BlockInvalid
from prsm_protocol.trace.seal import Sealed
from prsm_protocol.types import DAG_CBOR, Cid, Receipt, Usage, VoucherRef, Wei

LINK, SEALED = Cid.of(b"x"), Sealed(bytes(32), 7)
SPEC = blocks.TaskSpec("predict", SEALED, (blocks.Input("table", LINK, "text/csv"),), None,
                       (blocks.Check("labels", "/labels", {"labels": ["a"]}, True),), "proved")  # fmt: skip
GRAPH = blocks.TaskGraph(
    "root", {"root": blocks.GraphNode(LINK, None, 3, Wei(10**30), 5)}, (blocks.Edge("a", "b", "data", "x"),), LINK
)
ATTEMPT = blocks.Attempt(
    LINK, "n", 1, "router", "did:key:z", "failed", "own", model=blocks.ModelUse("m", LINK), sampling=blocks.Sampling(),
    output=SEALED, error=blocks.AttemptError("Broken", SEALED), quoted=Wei(2**90), receipts=(LINK,),
    verdicts=(blocks.Verdict("rows", True, "3"),),
)  # fmt: skip
DECISION = blocks.Decision(
    "kind", blocks.DecidedBy("rule", "words"), (blocks.Option("a", 5, {"code": 1}),), None, None, (SEALED,)
)
MESSAGE = blocks.MessageNode(None, "user", "data", SEALED)
EVENT = blocks.Event(blocks.EventBody(bytes(16), 0, None, "run_started", SEALED, 1, 2, "did:key:z"), b"s")
DELEGATION = blocks.Delegation(bytes(16), "did:a", "did:b", 9, b"s")
HEAD = blocks.RunHead(bytes(16), "did:a", SEALED, "answered", LINK, "own", 1, bytes(32), LINK, None, Wei(3), Wei(2), Wei(1), Wei(0),
                      None, 1, 2, b"s")  # fmt: skip
RECEIPT = Receipt(bytes(32), bytes(32), LINK, bytes(32), bytes(32), Usage(rows=2), Wei(2**80), "proved", LINK, None, bytes(32), "0x0",
                  VoucherRef(bytes(32), 3, Wei(2**70)), "did:key:z", b"s")  # fmt: skip
OPENINGS = blocks.Openings((blocks.Opening(bytes(32), bytes(32), LINK),), (LINK,))


@pytest.mark.parametrize("block", [SPEC, GRAPH, ATTEMPT, DECISION, MESSAGE, EVENT, DELEGATION, HEAD, RECEIPT, OPENINGS])
def test_block_comes_back_equal(block: object) -> None:
    data = blocks.encode(block)
    assert blocks.decode(type(block), data) == block
    assert blocks.kind_of(data) == blocks.KINDS[type(block)]
    assert blocks.cid_of(block) == Cid.of(data, DAG_CBOR)


def test_amounts_take_32_bytes() -> None:
    block = dag_cbor.decode(blocks.encode(ATTEMPT))
    assert isinstance(block, dict)
    assert block["quoted"] == (2**90).to_bytes(32, "big")


def test_receipt_has_its_own_pair_of_functions() -> None:
    assert blocks.receipt_from_block(blocks.receipt_block(RECEIPT)) == RECEIPT


@pytest.mark.parametrize(
    ("field", "value"),
    [("node", 3), ("number", "1"), ("quoted", bytes(31)), ("receipts", LINK), ("output", 5), ("usage", [])],
)
def test_wrong_type_names_the_field(field: str, value: object) -> None:
    block = {**blocks.to_map(ATTEMPT), field: value}
    with pytest.raises(BlockInvalid) as refused:
        blocks.decode(blocks.Attempt, dag_cbor.encode(block))
    assert refused.value.values["kind"] == "attempt"
    assert refused.value.values["field"] == field


def test_missing_field_and_other_kind_are_refused() -> None:
    block = blocks.to_map(DELEGATION)
    del block["key"]
    with pytest.raises(BlockInvalid) as refused:
        blocks.decode(blocks.Delegation, dag_cbor.encode(block))
    assert refused.value.values["field"] == "key"
    with pytest.raises(BlockInvalid):
        blocks.decode(blocks.Delegation, blocks.encode(HEAD))


def test_unknown_keys_are_no_error() -> None:
    block = {**blocks.to_map(DELEGATION), "later": 1}
    assert blocks.decode(blocks.Delegation, dag_cbor.encode(block)) == DELEGATION


@pytest.mark.parametrize(
    ("block", "domain"), [(EVENT, "event"), (DELEGATION, "delegation"), (HEAD, "head"), (RECEIPT, "receipt")]
)
def test_signature_holds_in_its_domain_only(block: object, domain: str) -> None:
    signer = Identity.generate()
    signed = blocks.sign(block, signer)
    message = blocks.signed_message(signed)
    assert blocks.domain_of(block) == domain
    assert verify(signer.did, domain, message, signed.signature)  # type: ignore[attr-defined]
    assert not verify(signer.did, "other", message, signed.signature)  # type: ignore[attr-defined]


def test_receipt_names_its_signer() -> None:
    signer = Identity.generate()
    assert blocks.sign(replace(RECEIPT, by=""), signer).by == signer.did


def test_evidence_comes_back_with_its_tasks() -> None:
    task = evidence.TaskEvidence(LINK, (1, 2), {"price": bytes(32)}, {"signed_at": 5}, bytes(65), bytes(32), Wei(1), Wei(2), Wei(3),
                                 proof=b"proof", layout=evidence.LayoutEvidence(4, 1, True, 10), input=SEALED)  # fmt: skip
    whole = evidence.Evidence(
        31337, {"escrow": bytes(20)}, None, (task,), (), evidence.AnchorEvidence(bytes(32), bytes(20), bytes(32))
    )
    root, parts = evidence.pack(whole)
    assert evidence.unpack(root, parts.__getitem__) == whole
