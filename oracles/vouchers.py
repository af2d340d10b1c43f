"""Metered use: rows of a trusted model, paid by cumulative vouchers and settled on the chain.

What is served is written down before it is answered, the best voucher is kept, and nobody gets more than one credit window
ahead of what they signed. Vouchers come over HTTP or are read back from the tangle; the chain decides what a channel is.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from oracles import inputs, quotes
from oracles.config import NodeConfig
from oracles.listener import Head
from oracles.offers import Catalogue, Offer
from oracles.outbox import Outbox
from oracles.policy import Declined, Reason
from oracles.problems import NotYours
from oracles.runners import onnx
from oracles.store import IntentRow, Store
from oracles.telemetry import Log
from prsm_protocol.chain import Chain
from prsm_protocol.chain.channels import ChannelStatus
from prsm_protocol.chain.client import Call
from prsm_protocol.content import Store as Blocks
from prsm_protocol.errors import NodeError, PrsmError
from prsm_protocol.identity import Identity
from prsm_protocol.ledger.archive import Archive
from prsm_protocol.ledger.inclusion import Trust
from prsm_protocol.ledger.messages import Kind, tag_of
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.usage import Meter, UsageEntry
from prsm_protocol.ledger.voucher_message import SignedVoucher, read_voucher
from prsm_protocol.ledger.vouchers import VoucherBook
from prsm_protocol.rules.channel import vouchers as rules
from prsm_protocol.rules.channel.usage import Unit, UsageLine, usage_root
from prsm_protocol.rules.channel.vouchers import ChannelTerms, ChannelUnknown, VoucherOutOfOrder
from prsm_protocol.trace import blocks as trace_blocks
from prsm_protocol.types import DAG_CBOR, Cid, Receipt, Usage, VoucherRef, Wei

SETTLE_SECONDS = 15.0
"""How long a request to settle waits for the transaction before it answers without one."""


class VoucherTooLow(NodeError):
    text = "vouchers cover {have} wei, {need} wei are needed; sign the next one over the use so far and send it again"


class ReplyOfAnother(NodeError):
    text = "idempotency key {key!r} was used for other rows; choose a new one"


@dataclass(frozen=True)
class Served:
    """Rows answered: output words, the receipt, and the channel as it stands now."""

    outputs: list[list[str]]
    receipt: Receipt
    channel: dict[str, object]


class Vouchers:
    """Channels whose payee this node's operator is."""

    def __init__(
        self,
        config: NodeConfig,
        store: Store,
        chain: Chain,
        blocks: Blocks,
        catalogue: Catalogue,
        outbox: Outbox,
        identity: Identity,
        *,
        home: Path,
        operator: str,
        payee: str,
        head: Callable[[], Head | None],
        log: Log,
    ) -> None:
        self._config = config
        self._store = store
        self._chain = chain
        self._blocks = blocks
        self._catalogue = catalogue
        self._outbox = outbox
        self._identity = identity
        self._operator = operator
        self._payee = payee
        self._head = head
        self._log = log
        self._read: dict[bytes, int] = {}
        self._lock = threading.RLock()
        trust = _trust(config)
        self._network = trust.network if trust is not None else bytes(8)
        self._meter = Meter(home / "usage.db")
        self._book = VoucherBook(
            home / "vouchers.db", chain_id=chain.chain_id, channels=chain.channels.address, network=self._network
        )
        self._archive = None
        if trust is not None:
            source = RestTransport([config.ledger.url])
            self._archive = Archive(source, home / "archive.db", [tag_of(Kind.VOUCHER)], trust)

    def close_files(self) -> None:
        self._book.close()
        self._meter.close()
        if self._archive is not None:
            self._archive.close()

    # ── serving ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def serve_rows(
        self, asker: str, listing: str, rows: Sequence[Sequence[int]], signed: SignedVoucher, key: str | None
    ) -> Served:
        """Rows of a trusted model for a voucher; the same request again is answered again and counted once."""
        offer = self._catalogue.offer(listing)
        if "trusted" not in offer.tiers:
            raise Declined(reason=Reason.TIER_NOT_OFFERED.value, why="metered rows are served of trusted listings")
        words = [word for row in rows for word in row]
        for row in rows:
            inputs.check_shape(row, expected=len(offer.listing.features), bits=offer.listing.bits)
        cost = Wei(offer.price(len(rows)))
        body = sha256(json.dumps([asker, listing, [list(row) for row in rows]]).encode()).digest()
        job = body if key is None else sha256(f"{asker}\0{key}".encode()).digest()
        with self._lock:
            channel = self._accept(signed)
            self.bind("0x" + channel.hex(), asker)
            entry = self._line(offer, job, len(rows), cost)
            is_new = not self._is_metered(channel, job, body)
            if is_new:
                self._check_credit(channel, cost)
            started = time.monotonic()
            outputs = onnx.run_rows(offer.loaded, words)
            run_us = int((time.monotonic() - started) * 1_000_000)
            if is_new:
                self._store.put_file("0x" + channel.hex(), "body/" + job.hex(), body)
                self._meter.add(channel, entry)
            receipt = self._receipt(offer, channel, job, words, outputs, cost, run_us, len(rows))
        width = offer.loaded.network.outputs
        return Served(
            [[str(word) for word in outputs[at : at + width]] for at in range(0, len(outputs), width)],
            receipt,
            self.show("0x" + channel.hex()),
        )

    def _is_metered(self, channel: bytes, job: bytes, body: bytes) -> bool:
        before = self._store.file("0x" + channel.hex(), "body/" + job.hex())
        if before is not None and before != body:
            raise ReplyOfAnother(key=job.hex()[:16])
        return before is not None

    def _check_credit(self, channel: bytes, cost: int) -> None:
        """One window ahead of what is signed, and never above the deposit: beyond it no voucher could pay."""
        state = self._book.state(channel)
        used = self._meter.used(channel) + cost
        window = max(self._config.channels.credit_wei, int(rules.credit_window(state.deposit)))
        if state.closes_at:
            raise rules.ChannelClosing(closes_at=state.closes_at)
        if used - state.owed > window:
            raise VoucherTooLow(have=str(state.owed), need=str(used - window))
        if used > state.deposit:
            raise rules.VoucherOverDeposit(cumulative=used, deposit=state.deposit)

    def _line(self, offer: Offer, job: bytes, rows: int, cost: Wei) -> UsageEntry:
        return UsageEntry(job, 0, UsageLine(offer.cid.digest, Unit.ROWS, rows, cost), time.time_ns() // 1000)

    def _receipt(
        self,
        offer: Offer,
        channel: bytes,
        job: bytes,
        words: Sequence[int],
        outputs: Sequence[int],
        cost: Wei,
        run_us: int,
        rows: int,
    ) -> Receipt:
        """Signed by the node's identity; `job` is the channel and `task` the request, since no escrow knows either."""
        best = self._book.best(channel)
        voucher = None if best is None else best.signed.voucher
        receipt = Receipt(
            job=channel,
            task=job,
            listing=offer.cid,
            input=inputs.digest_of(inputs.input_block(inputs.TaskInput(tuple(words), None))),
            output=inputs.digest_of(inputs.output_block(inputs.field_words(outputs))),
            usage=Usage(rows=rows, run_us=run_us),
            charged=cost,
            tier="trusted",
            proof=None,
            public_values=None,
            circuit=None,
            operator=self._operator,
            voucher=None if voucher is None else VoucherRef(channel, voucher.sequence, Wei(voucher.cumulative)),
        )
        signed = trace_blocks.sign(receipt, self._identity)
        self._blocks.put(trace_blocks.receipt_block(signed), DAG_CBOR)
        return signed

    # ── vouchers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, signed: SignedVoucher, asker: str | None) -> dict[str, object]:
        """Accept a voucher and acknowledge it under the node's identity."""
        with self._lock:
            channel = self._accept(signed)
            if asker is not None:
                self.bind("0x" + channel.hex(), asker)
            state = self._book.state(channel)
        assert state.last is not None
        return {
            "acknowledged_sequence": state.last.sequence,
            "cumulative_wei": str(state.last.cumulative),
            "did": self._identity.did,
            "acknowledgement": "0x" + self._identity.sign("voucher", state.last.struct_hash()).hex(),
        }

    def _accept(self, signed: SignedVoucher) -> bytes:
        channel = self._open(rules.channel_id(self._chain.chain_id, self._chain.channels.address, signed.terms))
        voucher = signed.voucher
        state = self._book.state(channel)
        if state.last == voucher:
            self._book.accept(signed, ())
            return channel
        batch = self._meter.batch(channel, voucher.sequence, signed.lines)
        lines: Sequence[UsageLine] = batch.lines
        if voucher.cumulative == state.owed and voucher.usage_root != batch.root:
            lines = self._acknowledged(channel, voucher.sequence, voucher.usage_root, state.terms)
        self._book.accept(signed, lines)
        if lines == batch.lines:
            self._meter.take(batch)
        return channel

    def _acknowledged(self, channel: bytes, sequence: int, root: bytes, terms: ChannelTerms) -> Sequence[UsageLine]:
        """A voucher that adds nothing acknowledges use that the escrow pays for: one line of one of the payer's tasks."""
        if root == bytes(32):
            return ()
        for row in self._store.all_tasks():
            job = quotes.terms_of(row)
            rows = row.quote.get("rows")
            if job is None or job.buyer != terms.payer or not isinstance(rows, int):
                continue
            line = UsageLine(Cid.parse(str(row.quote["listing"])).digest, Unit.ROWS, rows, Wei(0))
            if usage_root(channel, sequence, (line,)) == root:
                return (line,)
        return ()

    def _open(self, channel: bytes) -> bytes:
        """Take up a channel that the chain shows deep enough, and note what the chain says about it now."""
        head = self._head()
        key = "0x" + channel.hex()
        opened = next((event for event in self._store.events(key=key, name="ChannelOpened")), None)
        if opened is None or head is None or head.number - opened.block + 1 < self._config.confirmations:
            raise ChannelUnknown(id=channel.hex())
        found = opened.fields["terms"]
        assert isinstance(found, dict)
        terms = ChannelTerms.from_json(found)
        self._book.open(terms, Wei(int(str(opened.fields["amount"]))))
        now = self._chain.channels.channel(channel)
        self._book.update(
            channel,
            deposit=now.deposit,
            settled=now.settled,
            closes_at=now.closes_at,
            is_open=now.status is ChannelStatus.OPEN,
        )
        return channel

    # ── looking and settling ─────────────────────────────────────────────────────────────────────────────────────────

    def show(self, channel_id: str) -> dict[str, object]:
        """All that a payer needs to sign the next voucher."""
        channel = self._known(channel_id)
        state = self._book.state(channel)
        best = self._book.best(channel)
        batch = self._meter.batch(channel, state.next_sequence)
        return {
            "channel": channel_id,
            "terms": state.terms.to_json(),
            "deposit_wei": str(state.deposit),
            "settled_wei": str(state.settled),
            "closes_at": state.closes_at,
            "is_open": state.is_open,
            "sequence": 0 if state.last is None else state.last.sequence,
            "cumulative_wei": str(state.owed),
            "used_wei": str(self._meter.used(channel)),
            "next": {
                "sequence": state.next_sequence,
                "cumulative_wei": str(state.owed + batch.amount),
                "usage_root": "0x" + batch.root.hex(),
                "lines": [
                    {
                        "listing": "0x" + line.listing.hex(),
                        "unit": int(line.unit),
                        "quantity": line.quantity,
                        "amount_wei": str(line.amount),
                    }
                    for line in batch.lines
                ],
            },
            "credit_wei": str(max(self._config.channels.credit_wei, int(rules.credit_window(state.deposit)))),
            "inclusion": None if best is None or best.receipt is None else best.receipt.to_json(),
        }

    def settle(self, channel_id: str) -> dict[str, object]:
        """Settle the best voucher now; answers with the transaction, or without one when nothing is due."""
        channel = self._known(channel_id)
        task = self._ensure_settled(channel)
        if task is None:
            return {"transaction": None, "due_wei": "0"}
        return {"transaction": self._wait("settle", task), "due_wei": str(self._due(channel))}

    def close(self, channel_id: str) -> dict[str, object]:
        """Settle, then end the channel as its payee; the rest returns to the payer at once."""
        channel = self._known(channel_id)
        task = self._ensure_settled(channel)
        settled = None if task is None else self._wait("settle", task)
        if self._chain.channels.channel(channel).status is ChannelStatus.OPEN:
            self._outbox.ensure("close", channel_id)
        return {"transaction": self._wait("close", channel_id), "settle_transaction": settled}

    def watch(self) -> None:
        """Settle what is closing or has grown large; collect what the tangle brought."""
        for channel in self._book.channels():
            try:
                self._open(channel)
            except ChannelUnknown:
                continue
            state = self._book.state(channel)
            due = self._due(channel)
            if state.is_open and due > 0 and (state.closes_at or due >= self._config.channels.settle_above_wei):
                self._ensure_settled(channel)
        if self._archive is not None:
            self._archive.sync()
            for channel in self._book.channels():
                self._read_back(channel, self._archive)
            self._book.collect(self._archive, lambda channel, sequence, count: ())

    def _read_back(self, channel: bytes, archive: Archive) -> None:
        """Vouchers that only the tangle brought, in order; `collect` then gives all of them their receipts.

        One that is ahead of the next stays to be read again, since those between may still come over HTTP.
        """
        terms = self._book.state(channel).terms
        for message in archive.since(tag_of(Kind.VOUCHER, channel), self._read.get(channel, 0)):
            try:
                signed = read_voucher(self._network, message.tag, message.data, terms)
                with self._lock:
                    if signed.voucher.sequence >= self._book.state(channel).next_sequence:
                        self._accept(signed)
            except VoucherOutOfOrder:
                return
            except PrsmError as error:
                self._log.write("warning", "voucher refused", channel="0x" + channel.hex(), error=error.name)
            if message.cursor is not None:
                self._read[channel] = message.cursor

    def adopt(self) -> None:
        """Take up channels that were opened to us, so that vouchers on the tangle find them."""
        for event in self._store.events(name="ChannelOpened"):
            try:
                self._open(bytes.fromhex(event.key[2:]))
            except ChannelUnknown:
                continue

    def call_for(self, intent: IntentRow) -> Call | None:
        channel = bytes.fromhex(intent.task.split("#")[0][2:])
        best = self._book.best(channel)
        if intent.kind == "close":
            return self._chain.channels.close(self._book.state(channel).terms)
        if best is None:
            return None
        kept = self._book.voucher(channel, int(intent.task.split("#")[1]))
        return self._chain.channels.settle(kept.signed.terms, kept.signed.voucher, kept.signed.signature)

    def is_user(self, channel_id: str, did: str) -> bool:
        return self._store.setting(f"asker/{channel_id.lower()}") == did

    def bind(self, channel_id: str, did: str) -> None:
        """The first identity that uses a channel here is its user: vouchers are public, so they alone prove nobody."""
        name = f"asker/{channel_id.lower()}"
        with self._store.transaction():
            known = self._store.setting(name)
            if known is None:
                self._store.set_setting(name, did)
        if known not in (None, did):
            raise NotYours(what=f"channel {channel_id[:66]}")

    # ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ensure_settled(self, channel: bytes) -> str | None:
        best = self._book.best(channel)
        if best is None or self._due(channel) <= 0:
            return None
        task = f"0x{channel.hex()}#{best.signed.voucher.sequence}"
        self._outbox.ensure("settle", task)
        return task

    def _due(self, channel: bytes) -> int:
        state = self._book.state(channel)
        return min(int(state.owed), int(state.deposit)) - int(state.settled)

    def _known(self, channel_id: str) -> bytes:
        try:
            channel = bytes.fromhex(channel_id.removeprefix("0x"))
        except ValueError:
            raise ChannelUnknown(id=channel_id[:80]) from None
        return self._open(channel)

    def _wait(self, kind: str, task: str) -> str | None:
        """The transaction once it is mined; None if it takes longer, the intent goes on by itself."""
        end = time.monotonic() + SETTLE_SECONDS
        pause = threading.Event()
        while time.monotonic() < end:
            rows = [row for row in self._store.intents(task=task) if row.kind == kind]
            if rows and rows[0].state in ("mined", "final", "done"):
                return rows[0].hash or None
            if rows and rows[0].state == "refused":
                raise SettlementRefused(kind=kind, reason=rows[0].detail)
            pause.wait(0.05)
        return None


class SettlementRefused(NodeError):
    text = "{kind} was refused by the chain: {reason}"


def _trust(config: NodeConfig) -> Trust | None:
    ledger = config.ledger
    if not ledger.url or not ledger.keys:
        return None  # without the coordinator's keys nothing read from a ledger proves anything
    return Trust.of(ledger.keys, ledger.threshold, ledger.network)
