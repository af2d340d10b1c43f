"""Messages over a Stardust node: bytes first, then sending, then knowing.

`prepare` makes the exact bytes, so a caller can store them before anything leaves; `post` sends them as often as
needed; `status` and `read` tell what became of them. iota-sdk does the talking where it exists, plain HTTP
elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType

from prsm_protocol.errors import LedgerError
from prsm_protocol.ledger import sdk_worker
from prsm_protocol.ledger.codec import (
    MAX_BLOCK_BYTES,
    MAX_PARENTS,
    PROTOCOL_VERSION,
    Block,
    TaggedData,
    block_id,
    decode,
    decode_milestone,
    encode,
)
from prsm_protocol.ledger.inclusion import network_id
from prsm_protocol.ledger.messages import (
    Capability,
    Confirmation,
    FeeQuote,
    Message,
    MessageId,
    MessageTooLarge,
    Prepared,
    State,
    TagInvalid,
    message_key,
)
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.sdk_worker import SdkTransport
from prsm_protocol.ledger.transport import AnswerMalformed, NodeInfo, NodeUnhealthy, Transport
from prsm_protocol.types import Waiting, poll

_DATA_LIMIT = MAX_BLOCK_BYTES - 2 - 32 * MAX_PARENTS - 4 - 4 - 1 - 4 - 8  # beside eight parents; less the tag
_STALE_SECONDS = 300


class NetworkMismatch(LedgerError):
    text = "ledger node is of network {got!r}, expected {expected!r}; check ledger.nodes"


class ProtocolMismatch(LedgerError):
    text = "ledger node speaks protocol version {got}, expected {expected}; it is no Stardust node"


class NodeBehind(LedgerError):
    text = "ledger node's last milestone is {milestone_age} s old; it is cut off or its coordinator stands still"


class WorkRequired(LedgerError):
    text = "ledger node demands proof of work (score {score}), which is not done here; use a node with minPowScore 0"


class NoMessage(LedgerError):
    text = "block {id} carries no message (no tagged data)"


class StardustLedger:
    """`DagLedger` over one or several nodes of one Stardust network. Nothing is sent before the first call.

    With `allow_unhealthy` a lone private Hornet works, which never reports health without a neighbour.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        *,
        allow_unhealthy: bool = False,
        network: str | None = None,
        timeout: float = 10.0,
        transport: Transport | None = None,
    ) -> None:
        self.rest = RestTransport(nodes, timeout=timeout)
        self.transport: Transport
        if transport is not None:
            self.transport = transport
        elif sdk_worker.is_available():
            self.transport = SdkTransport(nodes, allow_unhealthy=allow_unhealthy, timeout=timeout)
        else:
            self.transport = self.rest
        self._allow_unhealthy = allow_unhealthy
        self._expected = network
        self._url = nodes[0] if nodes else ""
        self._checked: NodeInfo | None = None
        self._times: dict[int, int] = {}

    def __enter__(self) -> StardustLedger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.transport.close()
        self.rest.close()

    @property
    def network(self) -> str:
        return self._checked_info().network

    @property
    def network_id(self) -> bytes:
        """The 8 bytes that envelopes and receipts name."""
        return network_id(self.network)

    # ── DagLedger ────────────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, tag: bytes, data: bytes) -> Prepared:
        """The message as bytes that hang on the newest blocks. Nothing is sent."""
        if not 1 <= len(tag) <= 64:
            raise TagInvalid(tag=tag)
        limit = _DATA_LIMIT - len(tag)
        if len(data) > limit:
            raise MessageTooLarge(bytes=len(data), limit=limit)
        self._checked_info()
        parents = tuple(sorted(set(self.transport.tips())))[:MAX_PARENTS]
        raw = encode(Block(parents, TaggedData(tag, data)))
        return Prepared(message_key(tag, data), MessageId(block_id(raw)), raw)

    def post(self, prepared: Prepared) -> MessageId:
        """Send the prepared bytes; again and again is the same message."""
        self._checked_info()
        id = self.transport.post(prepared.raw)
        if id != prepared.id:
            raise AnswerMalformed(field="blockId")
        return MessageId(id)

    def reattach(self, prepared: Prepared) -> Prepared:
        """The same message (one key) on fresh parents (a new id), for one that was lost."""
        payload = decode(prepared.raw).payload
        if not isinstance(payload, TaggedData):
            raise NoMessage(id=prepared.id.hex())
        return self.prepare(payload.tag, payload.data)

    def status(self, id: MessageId) -> Confirmation:
        found = self.transport.metadata(id)
        if found.milestone is None:
            return Confirmation(State.LOST if found.should_reattach else State.PENDING)
        at = self._time_of(found.milestone)
        if found.reason is not None:
            return Confirmation(State.CONFLICTING, found.milestone, at, found.reason)
        return Confirmation(State.CONFIRMED, found.milestone, at)

    def read(self, id: MessageId) -> Message:
        raw = self.transport.block(id)
        if block_id(raw) != id:
            raise AnswerMalformed(field=f"block {id.hex()}")
        payload = decode(raw).payload
        if not isinstance(payload, TaggedData):
            raise NoMessage(id=id.hex())
        known = self.status(id)
        key = message_key(payload.tag, payload.data)
        return Message(id, key, payload.tag, payload.data, known.milestone, known.at)

    def fee(self) -> FeeQuote:
        """Data costs nothing on Stardust; whoever runs the network pays for its machines."""
        return FeeQuote(0, "", "nobody")

    def capabilities(self) -> frozenset[Capability]:
        return frozenset({Capability.DATA, Capability.RECEIPTS, Capability.FEELESS})

    def deliver(self, prepared: Prepared, timeout: timedelta = timedelta(seconds=60)) -> tuple[Prepared, Confirmation]:
        """Post and wait until a milestone holds the message; one that was lost on the way is attached again.

        Returns what was confirmed, whose id differs from `prepared` after a new attachment. The key stays.
        """
        deadline = datetime.now(UTC) + timeout
        while True:
            self.post(prepared)
            known = self.wait(prepared.id, max(timedelta(0), deadline - datetime.now(UTC)))
            if known.state is not State.LOST:
                return prepared, known
            prepared = self.reattach(prepared)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def settled(self, id: MessageId) -> Confirmation | None:
        """The status once it is final, else None: what `Steps.wait` asks again and again."""
        found = self.status(id)
        return None if found.state is State.PENDING else found

    def wait(self, id: MessageId, timeout: timedelta = timedelta(seconds=30)) -> Confirmation:
        waiting = Waiting(f"ledger message {id.hex()}", datetime.now(UTC) + timeout, "it is attached again")
        return poll(waiting, lambda: self.settled(id), timedelta(milliseconds=200))

    # ── the node ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def info(self) -> NodeInfo:
        """The node's own words, unchecked: for `prsm doctor`."""
        return self.rest.info()

    def _checked_info(self) -> NodeInfo:
        """Name, protocol and health of the node, looked at before the first use and kept."""
        if self._checked is not None:
            return self._checked
        info = self.rest.info()
        if info.protocol != PROTOCOL_VERSION:
            raise ProtocolMismatch(expected=PROTOCOL_VERSION, got=info.protocol)
        if self._expected is not None and info.network != self._expected:
            raise NetworkMismatch(expected=self._expected, got=info.network)
        if info.min_pow_score > 0:
            raise WorkRequired(score=info.min_pow_score)
        if not self._allow_unhealthy:
            age = int(time.time()) - info.latest_at
            if age > _STALE_SECONDS:
                raise NodeBehind(milestone_age=age)
            if not info.is_healthy:
                raise NodeUnhealthy(url=self._url)
        self._checked = info
        return info

    def _time_of(self, milestone: int) -> int:
        if milestone not in self._times:
            found = decode_milestone(self.transport.milestone(milestone))
            if found.index != milestone:
                raise AnswerMalformed(field=f"milestone {milestone}")
            self._times[milestone] = found.timestamp
        return self._times[milestone]
