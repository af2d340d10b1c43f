"""What a bundle carries about money and proofs, so that a stranger can compare it with the chain.

Nobody signs this block: each value must fit a signed receipt, or what the chain says. `workflow` fills it, `verify.py`
reads it. Byte strings: addresses 20, hashes and words 32, amounts and salts 32 (big endian), signatures 65 (r ‖ s ‖ v).

- `contracts`: names escrow, hub, router, royalties, provenance, channels → address. The receipts' job id binds the
  escrow, since it hashes chain id and escrow; the escrow names hub and royalties, the hub names the router.
- `job`: the escrow's terms with the transactions that opened, topped up and closed it.
- `tasks`: one block `task_evidence` for each receipt whose work the escrow paid (`pack` links them). `rows` are the
  table rows of the part, in the order of the input words. `input` is the Ref of the payload
  {"v":1,"kind":"input","words":[…],"salt":[…]} (32 bytes each), the one whose SHA-256 is
  `Receipt.input`. `proof_inputs` and `proof_outputs` are those of `deliver`; a trusted task has no proof, and its
  `proof_outputs` are its output words all the same. `net`, `fee` and `royalty` are those of TaskPaid in `paid_tx`.
- `channels`: payer and payee's vouchers in order, with the settlement if there was one.
- `anchor`: `digest` is a head's Merkle root, anchored with kind TRACE and the job id as subject.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from prsm_protocol.trace import dag_cbor
from prsm_protocol.trace.blocks import KINDS, cid_of, decode, encode, to_map
from prsm_protocol.trace.fields import BlockInvalid, from_plain
from prsm_protocol.trace.seal import Ref
from prsm_protocol.types import Cid, Wei

WORD_FIELDS = frozenset({"price", "at_risk", "salt", "settler_fee", "cumulative", "to_payee"})
"""Integers that may exceed CBOR's: 32 bytes in blocks."""


@dataclass(frozen=True)
class JobEvidence:
    """`terms`: buyer, steward, question, open_for, salt (`struct_map` of the client's JobTerms)."""

    terms: Mapping[str, object]
    open_tx: bytes
    top_ups: tuple[bytes, ...] = ()
    close_tx: bytes | None = None


@dataclass(frozen=True)
class LayoutEvidence:
    """The circuit's own words, without the limbs of the context; `bits` is the scale of the output words."""

    inputs: int
    outputs: int
    hashed: bool
    bits: int


@dataclass(frozen=True)
class TaskEvidence:
    receipt: Cid
    rows: tuple[int, ...]
    assignment: Mapping[str, object]
    result: Mapping[str, object]
    signature: bytes
    deliver_tx: bytes
    net: Wei
    fee: Wei
    royalty: Wei
    paid_tx: bytes | None = None
    input: Ref | None = None
    proof: bytes | None = None
    proof_inputs: tuple[bytes, ...] = ()
    proof_outputs: tuple[bytes, ...] = ()
    verifier: bytes | None = None
    layout: LayoutEvidence | None = None
    manifest: Cid | None = None


@dataclass(frozen=True)
class VoucherEvidence:
    """`inclusion` is the tangle's receipt as `ledger` made it; the verifier keeps it and does not read it."""

    sequence: int
    cumulative: Wei
    usage_root: bytes
    signature: bytes
    inclusion: object = None


@dataclass(frozen=True)
class ChannelEvidence:
    """`terms`: payer, payee, signer, records, settler_fee, close_delay, salt. `settled` is the cumulative sum that
    VoucherSettled names in `settle_tx`."""

    terms: Mapping[str, object]
    vouchers: tuple[VoucherEvidence, ...]
    settle_tx: bytes | None = None
    settled: Wei | None = None


@dataclass(frozen=True)
class AnchorEvidence:
    digest: bytes
    by: bytes
    tx: bytes


@dataclass(frozen=True)
class Evidence:
    chain_id: int
    contracts: Mapping[str, bytes]
    job: JobEvidence | None
    tasks: tuple[TaskEvidence, ...] = ()
    channels: tuple[ChannelEvidence, ...] = ()
    anchor: AnchorEvidence | None = None


KINDS[Evidence] = "evidence"
KINDS[TaskEvidence] = "task_evidence"


def pack(value: Evidence) -> tuple[bytes, dict[Cid, bytes]]:
    """(the evidence block, the blocks of its tasks): proofs have kilobytes each, so they do not share one block."""
    tasks = {cid_of(task): encode(task) for task in value.tasks}
    links = [cid_of(task) for task in value.tasks]
    return dag_cbor.encode({**to_map(dataclasses.replace(value, tasks=())), "tasks": links}), tasks


def unpack(data: bytes, get: Callable[[Cid], bytes]) -> Evidence:
    block = dag_cbor.decode(data)
    links = block.get("tasks") if isinstance(block, dict) else None
    if not isinstance(block, dict) or block.get("kind") != "evidence" or not isinstance(links, list):
        raise BlockInvalid(kind="evidence", field="tasks", reason="is not a list of links")
    tasks = tuple(decode(TaskEvidence, get(link)) for link in links)
    return dataclasses.replace(from_plain(Evidence, {**block, "tasks": []}, "evidence"), tasks=tasks)


def struct_map(value: object) -> dict[str, object]:
    """A signed struct of `rules` (JobTerms, Assignment, Result, ChannelTerms …) as a block's map."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise BlockInvalid(kind="evidence", field=type(value).__name__, reason="is no struct")
    return {f.name: _plain(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)}


def _plain(name: str, value: object) -> object:
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, tuple | list):
        return [_plain(name, entry) for entry in value]
    if isinstance(value, int):
        number = value.value if isinstance(value, IntEnum) else value
        return number.to_bytes(32, "big") if name in WORD_FIELDS else number
    raise BlockInvalid(kind="evidence", field=name, reason=f"is {type(value).__name__}")
