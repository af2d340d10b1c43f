"""Messages on the ledger: tags, the signed envelope, and the Protocol that every feeless ledger here fulfils.

A message is a tag and data. The tag is `prsm/<kind>/<scope>`, so that one prefix finds a kind or one scope of it;
the data is an envelope that names its network and, except where its body carries a signature of its own, its
sender.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NewType, Protocol

from prsm_protocol.errors import ContentError, LedgerError, TraceError
from prsm_protocol.ledger.codec import MAX_TAG_BYTES, blake2b
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid, Signer

MessageId = NewType("MessageId", bytes)
"""32 bytes: the block that carries the message."""
MessageKey = NewType("MessageKey", bytes)
"""32 bytes: the message itself, however often it is attached."""

BODY_LIMIT = 30_000  # a block has 32,768 bytes; the rest is parents, tag and envelope
DOMAIN = "ledger-message"


class Kind(Enum):
    """What a message is about; the scope's form in brackets."""

    VOUCHER = "voucher"  # 32-byte channel; the body carries the payer's own signature
    USAGE = "usage"  # 32-byte channel
    ACCESS = "access"  # 32-byte record
    ORDERS = "orders"  # market
    NOTICE = "notice"  # topic


class TagInvalid(LedgerError):
    text = "tag {tag!r} is not prsm/<kind>/<scope> of at most 64 bytes"


class EnvelopeInvalid(LedgerError):
    text = "envelope breaks a rule: {rule}; the message is not kept"


class MessageTooLarge(LedgerError):
    text = "message has {bytes} bytes, the limit is {limit}; put the content into the store and send its CID"


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def tag_of(kind: Kind, scope: bytes = b"") -> bytes:
    tag = b"prsm/" + kind.value.encode() + b"/" + scope
    if len(tag) > MAX_TAG_BYTES:
        raise TagInvalid(tag=tag)
    return tag


def split_tag(tag: bytes) -> tuple[Kind, bytes]:
    """Kind and scope. The scope is raw bytes and may hold anything, a slash included."""
    start, _, rest = tag.partition(b"/")
    name, slash, scope = rest.partition(b"/")
    kinds = {each.value.encode(): each for each in Kind}
    if start != b"prsm" or not slash or name not in kinds or len(tag) > MAX_TAG_BYTES:
        raise TagInvalid(tag=tag)
    return kinds[name], scope


def message_key(tag: bytes, data: bytes) -> MessageKey:
    return MessageKey(blake2b(bytes([len(tag)]) + tag + data))


# ── envelopes ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message's data says. `by` and `signature` are None where the body signs for itself (vouchers)."""

    network: bytes
    kind: Kind
    body: object
    by: str | None = None
    signature: bytes | None = None


def seal_envelope(network: bytes, tag: bytes, body: object, signer: Signer | None) -> bytes:
    """The data of a message under `tag`. The signature covers the tag, so it cannot be moved under another."""
    kind, _ = split_tag(tag)
    if (signer is None) != (kind is Kind.VOUCHER):
        raise EnvelopeInvalid(rule="a voucher carries no outer signature, every other kind does")
    size = len(dag_cbor.encode(body))
    if size > BODY_LIMIT:
        raise MessageTooLarge(bytes=size, limit=BODY_LIMIT)
    fields: dict[str, object] = {"v": 1, "network": network, "kind": kind.value, "body": body}
    if signer is None:
        return dag_cbor.encode(fields)
    fields["by"] = signer.did
    signature = signer.sign(DOMAIN, Cid.of(dag_cbor.encode(fields | {"tag": tag}), DAG_CBOR).bytes)
    return dag_cbor.encode(fields | {"sig": signature})


def open_envelope(
    network: bytes, tag: bytes, data: bytes, verify: Callable[[str, str, bytes, bytes], bool]
) -> Envelope:
    """The envelope in `data`, checked; `verify` is `identity.verify` (did, domain, message, signature)."""
    kind, _ = split_tag(tag)
    try:
        fields = dag_cbor.decode(data)
    except (TraceError, ContentError) as error:
        raise EnvelopeInvalid(rule=str(error)) from None
    outer = {"v", "network", "kind", "body"} | (set() if kind is Kind.VOUCHER else {"by", "sig"})
    if not isinstance(fields, dict) or set(fields) != outer:
        raise EnvelopeInvalid(rule=f"its fields are exactly {sorted(outer)}")
    if fields["v"] != 1 or fields["kind"] != kind.value:
        raise EnvelopeInvalid(rule="version 1, and the kind of its tag")
    if fields["network"] != network:
        raise EnvelopeInvalid(rule=f"network {network.hex()}")
    if kind is Kind.VOUCHER:
        return Envelope(network, kind, fields["body"])
    by, signature = fields["by"], fields.pop("sig")
    if not isinstance(by, str) or not isinstance(signature, bytes):
        raise EnvelopeInvalid(rule="'by' is text and 'sig' is bytes")
    if not verify(by, DOMAIN, Cid.of(dag_cbor.encode(fields | {"tag": tag}), DAG_CBOR).bytes, signature):
        raise EnvelopeInvalid(rule=f"signed by {by}")
    return Envelope(network, kind, fields["body"], by, signature)


# ── the ledger's port ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message as the exact bytes that will be posted: store them before sending, post them as often as needed."""

    key: MessageKey
    id: MessageId
    raw: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A message read back; `milestone` and `at` (unix seconds) are None until it is confirmed."""

    id: MessageId
    key: MessageKey
    tag: bytes
    data: bytes
    milestone: int | None = None
    at: int | None = None
    cursor: int | None = None


class State(Enum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    CONFLICTING = "conflicting"  # only messages that move the ledger's own coin can be
    LOST = "lost"  # too old to be referenced: attach it again


@dataclass(frozen=True, slots=True)
class Confirmation:
    state: State
    milestone: int | None = None
    at: int | None = None
    reason: int | None = None


@dataclass(frozen=True, slots=True)
class FeeQuote:
    """What a post costs, in which coin, and who pays."""

    amount: int
    coin: str
    payer: str


class Capability(Enum):
    DATA = "data"
    TRANSFER = "transfer"
    RECEIPTS = "receipts"
    FEELESS = "feeless"


class DagLedger(Protocol):
    """A ledger that carries messages. `post` is idempotent: the same bytes again are the same message."""

    def prepare(self, tag: bytes, data: bytes) -> Prepared: ...

    def post(self, prepared: Prepared) -> MessageId: ...

    def status(self, id: MessageId) -> Confirmation: ...

    def read(self, id: MessageId) -> Message: ...

    def fee(self) -> FeeQuote: ...

    def capabilities(self) -> frozenset[Capability]: ...
