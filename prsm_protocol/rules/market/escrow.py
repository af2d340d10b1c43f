"""A budget, and tasks paid out of it: the structs of Escrow, their ids and its arithmetic.

A wrong struct is an unknown key on the chain, so these ids are the first thing that a client and the contract must
agree on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from prsm_protocol.rules.eip712 import Struct, keccak, members, word
from prsm_protocol.types import Wei

DOMAIN = "PRSM Escrow"
BPS = 10_000


class JobStatus(IntEnum):
    """Where a job stands."""

    NONE = 0
    OPEN = 1
    CLOSED = 2


@dataclass(frozen=True)
class JobTerms(Struct):
    """Who buys, who may assign for them, about which question, for how long."""

    TYPE: ClassVar[str] = "JobTerms(address buyer,address steward,bytes32 question,uint32 openFor,uint256 salt)"

    buyer: str
    steward: str
    question: bytes
    open_for: int
    salt: int


@dataclass(frozen=True)
class Assignment(Struct):
    """One task as its operator's signer signed it: what is done, for how much, how sure, until when."""

    TYPE: ClassVar[str] = (
        "Assignment(bytes32 jobId,address operator,address payee,bytes32[] records,bytes32 circuitId,bytes32 inputHash,"
        "bytes32 spec,uint96 price,uint96 atRisk,uint8 tier,uint8 verdictClass,uint32 deliverWithin,uint32 window,"
        "uint16 startedBps,uint40 quoteUntil,uint256 salt)"
    )

    job_id: bytes
    operator: str
    payee: str
    records: tuple[bytes, ...]
    circuit_id: bytes
    input_hash: bytes
    spec: bytes
    price: Wei
    at_risk: Wei
    tier: int
    verdict_class: int
    deliver_within: int
    window: int
    started_bps: int
    quote_until: int
    salt: int


@dataclass(frozen=True)
class Agreement(Struct):
    """How both sides split a task's price before it is paid."""

    TYPE: ClassVar[str] = "Agreement(bytes32 taskId,uint96 toPayee,uint40 validUntil)"

    task_id: bytes
    to_payee: Wei
    valid_until: int


@dataclass(frozen=True)
class Decline(Struct):
    """An operator's signed word that it cannot serve a task."""

    TYPE: ClassVar[str] = "Decline(bytes32 taskId,uint8 code)"

    task_id: bytes
    code: int


@dataclass(frozen=True)
class Result(Struct):
    """What an operator delivers; the rest of its attestation is rebuilt from the assignment."""

    TYPE: ClassVar[str] = "Result(bytes32 outputHash,bytes32 result,bytes32 execution,uint40 signedAt)"

    output_hash: bytes
    result: bytes
    execution: bytes
    signed_at: int


def job_id(chain_id: int, escrow: str, terms: JobTerms) -> bytes:
    """keccak of the ABI encoding of (chain id, escrow, terms): one job on one contract of one chain."""
    body = [word(kind, value, name) for (kind, name), value in zip(members(terms.TYPE), terms.values(), strict=True)]
    return keccak(word("uint256", chain_id) + word("address", escrow) + b"".join(body))


def task_id(assignment: Assignment) -> bytes:
    """The struct hash of the assignment, which contains the job's id."""
    return assignment.struct_hash()


def started_share(price: int, started_bps: int) -> Wei:
    """What a task that was begun and voided still pays, rounded down."""
    return Wei(price * started_bps // BPS)
