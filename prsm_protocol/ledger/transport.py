"""The seam to a Stardust node: what is asked of it, and what can go wrong on the way.

Two implementations: `sdk_worker.SdkTransport` (iota-sdk in a process of its own) and `rest.RestTransport` (plain
HTTP).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from prsm_protocol.errors import LedgerError


class LedgerUnavailable(LedgerError):
    exit_code = 6
    text = "ledger node {url} did not answer within {seconds} s; check that it runs (`prsm up` starts the local one)"


class LedgerBusy(LedgerError):
    text = "ledger node is busy or not ready; wait {retry_after} s and try again"


class NodeUnhealthy(LedgerError):
    text = "ledger node {url} says it is not healthy; wait, or for a lone private node set ledger.allow_unhealthy"


class NodeRefused(LedgerError):
    text = "ledger node refused the request: {message}"


class MessageNotFound(LedgerError):
    text = "ledger node has no block {id}; it was never posted there, or the node pruned it (ask an archive)"


class MilestoneNotFound(LedgerError):
    text = "ledger node has no milestone {index}; it is not yet issued, or the node pruned it"


class SdkFailed(LedgerError):
    text = "iota-sdk failed: {message}"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    name: str
    version: str
    network: str
    protocol: int
    min_pow_score: int
    below_max_depth: int
    is_healthy: bool
    latest: int
    latest_at: int  # unix seconds
    pruned: int  # the last milestone that is gone


@dataclass(frozen=True, slots=True)
class Metadata:
    """`milestone` is None until one references the block; `reason` is set for a conflicting transaction."""

    milestone: int | None
    reason: int | None
    should_reattach: bool


class Transport(Protocol):
    """Every call may be repeated without harm: a post of the same bytes is the same block."""

    @property
    def name(self) -> str: ...

    def info(self) -> NodeInfo: ...

    def tips(self) -> list[bytes]: ...

    def post(self, raw: bytes) -> bytes: ...

    def block(self, id: bytes) -> bytes: ...

    def metadata(self, id: bytes) -> Metadata: ...

    def milestone(self, index: int) -> bytes:
        """The raw payload."""
        ...

    def close(self) -> None: ...


# ── a node's JSON ────────────────────────────────────────────────────────────────────────────────────────────────────


class AnswerMalformed(LedgerError):
    text = "ledger node's answer lacks {field!r}; it is not a Stardust node of core/v2"


def info_from_json(value: object) -> NodeInfo:
    status, protocol = _object(value, "status"), _object(value, "protocol")
    latest = _object(status, "latestMilestone")
    return NodeInfo(
        name=_text(value, "name"),
        version=_text(value, "version"),
        network=_text(protocol, "networkName"),
        protocol=_number(protocol, "version"),
        min_pow_score=_number(protocol, "minPowScore"),
        below_max_depth=_number(protocol, "belowMaxDepth"),
        is_healthy=bool(status["isHealthy"]),
        latest=_number(latest, "index"),
        latest_at=_number(latest, "timestamp", 0),
        pruned=_number(status, "pruningIndex"),
    )


def metadata_from_json(value: object) -> Metadata:
    fields = value if isinstance(value, dict) else {}
    if "blockId" not in fields:
        raise AnswerMalformed(field="blockId")
    milestone = fields.get("referencedByMilestoneIndex")
    is_conflicting = fields.get("ledgerInclusionState") == "conflicting"
    return Metadata(
        milestone=None if milestone is None else _number(fields, "referencedByMilestoneIndex"),
        reason=_number(fields, "conflictReason", 0) if is_conflicting else None,
        should_reattach=bool(fields.get("shouldReattach", False)),
    )


def ids_from_json(value: object, field: str) -> list[bytes]:
    items = value.get(field) if isinstance(value, dict) else None
    if not isinstance(items, list):
        raise AnswerMalformed(field=field)
    return [id_from_text(each, field) for each in items]


def id_from_text(value: object, field: str) -> bytes:
    try:
        id = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else b""
    except ValueError:
        id = b""
    if len(id) != 32:
        raise AnswerMalformed(field=field)
    return id


def _object(value: object, field: str) -> dict[str, object]:
    found = value.get(field) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise AnswerMalformed(field=field)
    return found


def _text(value: object, field: str) -> str:
    found = value.get(field) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise AnswerMalformed(field=field)
    return found


def _number(value: dict[str, object], field: str, default: int | None = None) -> int:
    found = value.get(field, default)
    if not isinstance(found, int) or isinstance(found, bool):
        raise AnswerMalformed(field=field)
    return found
