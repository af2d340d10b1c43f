"""Vouchers exchanged: signed by payers, accepted by payees, posted on the ledger and read back with receipts.

A book keeps one side's channels and vouchers in one SQLite file, synced before anything is handed over: a payer
never signs two vouchers of one sequence, a payee never forgets one. Direct HTTP is the fast path; the ledger is the
public one, and a voucher read back from it carries a receipt of inclusion, which makes it safe with a second party.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from prsm_protocol.errors import LedgerError, PrsmError
from prsm_protocol.ledger.archive import Archive
from prsm_protocol.ledger.inclusion import Inclusion
from prsm_protocol.ledger.messages import DagLedger, Kind, Message, MessageId, MessageKey, Prepared, State, tag_of
from prsm_protocol.ledger.transport import NodeRefused
from prsm_protocol.ledger.voucher_message import SignedVoucher, read_voucher, voucher_message
from prsm_protocol.rules.channel import vouchers as rules
from prsm_protocol.rules.channel.usage import UsageLine, total, usage_root
from prsm_protocol.rules.channel.vouchers import ChannelState, ChannelTerms, ChannelUnknown, Voucher, VoucherOutOfOrder
from prsm_protocol.types import Wei


class PriceAboveQuote(LedgerError):
    text = "usage line {line} costs more than the {quoted} wei that were quoted; nothing was signed"


class UsageNotSeen(LedgerError):
    text = "usage line {line} is for something that was not received; nothing was signed"


class VoucherUnknown(LedgerError):
    text = "book has no voucher {sequence} of channel 0x{channel}"


class DigestSigner(Protocol):
    """The channel's `signer` key, for example `chain.PrivateKeySigner`."""

    @property
    def address(self) -> str: ...

    def sign_digest(self, digest: bytes) -> bytes: ...


@dataclass(frozen=True)
class Kept:
    """A voucher of the book; `receipt` once the ledger confirmed it."""

    signed: SignedVoucher
    message: MessageId | None
    receipt: Inclusion | None


@dataclass(frozen=True)
class Collected:
    """What reading the ledger brought: vouchers newly accepted, receipts newly attached, messages refused and why."""

    accepted: int
    receipts: int
    refused: tuple[tuple[MessageId, str], ...]


class VoucherBook:
    """Channels and vouchers of one side. Safe for several threads; one book per role and process."""

    def __init__(self, path: Path, *, chain_id: int, channels: str, network: bytes) -> None:
        """`channels` is the contract's address, `network` the ledger's 8-byte id."""
        self._chain_id = chain_id
        self._channels = channels
        self._network = network
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # ── channels ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, terms: ChannelTerms, deposit: Wei) -> bytes:
        """Take up a channel that the chain shows at confirmation depth; known ones stay. Returns its id."""
        id = rules.channel_id(self._chain_id, self._channels, terms)
        row = (id, _terms_bytes(terms), deposit.to_bytes(12, "big"))
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO channels (id, terms, deposit) VALUES (?, ?, ?)", row)
        return id

    def update(self, channel: bytes, *, deposit: Wei, settled: Wei, closes_at: int, is_open: bool) -> None:
        """What the chain shows now."""
        with self._lock:
            done = self._db.execute(
                "UPDATE channels SET deposit = ?, settled = ?, closes_at = ?, is_open = ? WHERE id = ?",
                (deposit.to_bytes(12, "big"), settled.to_bytes(12, "big"), closes_at, int(is_open), channel),
            )
        if done.rowcount == 0:
            raise ChannelUnknown(id=channel.hex())

    def channels(self) -> list[bytes]:
        with self._lock:
            return [bytes(row[0]) for row in self._db.execute("SELECT id FROM channels ORDER BY rowid")]

    def state(self, channel: bytes) -> ChannelState:
        with self._lock:
            row = self._db.execute(
                "SELECT terms, deposit, settled, closes_at, is_open FROM channels WHERE id = ?", (channel,)
            ).fetchone()
            if row is None:
                raise ChannelUnknown(id=channel.hex())
            last = self._voucher(channel, None)
        return ChannelState(
            self._chain_id,
            self._channels,
            _terms_from(row[0]),
            _wei(row[1]),
            _wei(row[2]),
            row[3],
            bool(row[4]),
            None if last is None else last.signed.voucher,
        )

    # ── the payer ────────────────────────────────────────────────────────────────────────────────────────────────────

    def sign_next(
        self,
        channel: bytes,
        lines: Sequence[UsageLine],
        signer: DigestSigner,
        *,
        key: str,
        quote: Callable[[UsageLine], Wei | None],
    ) -> SignedVoucher:
        """The voucher for these lines on top of the last. The same `key` returns the stored one, so a retry pays once.

        `quote` tells what a line may cost, None for what was not received. Lines that cost nothing acknowledge use that
        is paid for elsewhere.
        """
        with self._lock:
            row = self._db.execute(
                "SELECT sequence FROM vouchers WHERE channel = ? AND key = ?", (channel, key)
            ).fetchone()
            if row is not None:
                return self.voucher(channel, row[0]).signed
            for index, line in enumerate(lines):
                quoted = quote(line)
                if quoted is None:
                    raise UsageNotSeen(line=index)
                if line.amount > quoted:
                    raise PriceAboveQuote(line=index, quoted=quoted)
            state = self.state(channel)
            sequence = state.next_sequence
            root = usage_root(channel, sequence, lines)
            voucher = Voucher(channel, sequence, Wei(state.owed + total(lines)), root)
            signature = signer.sign_digest(voucher.digest(self._chain_id, self._channels))
            rules.accept(state, voucher, signature, root)  # whatever the payee would refuse is not signed away
            signed = SignedVoucher(state.terms, voucher, signature, len(lines))
            self._keep(signed, key)
            return signed

    def post(self, ledger: DagLedger, channel: bytes, sequence: int) -> MessageId:
        """Post a voucher of the book on the ledger, as often as needed. Its bytes are stored before they are sent."""
        with self._lock:
            signed = self.voucher(channel, sequence).signed
            stored = self._db.execute(
                "SELECT message, raw, message_key FROM vouchers WHERE channel = ? AND sequence = ?", (channel, sequence)
            ).fetchone()
        if stored[0] is not None:
            prepared = Prepared(MessageKey(stored[2]), MessageId(stored[0]), stored[1])
            try:
                ledger.post(prepared)
                if ledger.status(prepared.id).state is not State.LOST:
                    return prepared.id
            except NodeRefused:  # its parents have become too old
                pass
            # No milestone took it in time: the same message is attached anew.
            return ledger.post(self._prepare(ledger, signed))
        return ledger.post(self._prepare(ledger, signed))

    def _prepare(self, ledger: DagLedger, signed: SignedVoucher) -> Prepared:
        tag, data = voucher_message(self._network, signed)
        prepared = ledger.prepare(tag, data)
        voucher = signed.voucher
        with self._lock:
            self._db.execute(
                "UPDATE vouchers SET message = ?, raw = ?, message_key = ? WHERE channel = ? AND sequence = ?",
                (prepared.id, prepared.raw, prepared.key, voucher.channel_id, voucher.sequence),
            )
        return prepared

    # ── the payee ────────────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, signed: SignedVoucher, own_lines: Sequence[UsageLine]) -> ChannelState:
        """Check a voucher against our own count and keep it; synced when this returns. The last one again is fine."""
        voucher = signed.voucher
        with self._lock:
            state = self.state(voucher.channel_id)
            root = usage_root(voucher.channel_id, voucher.sequence, own_lines)
            following = rules.accept(state, voucher, signed.signature, root)
            if following is not state:
                self._keep(SignedVoucher(state.terms, voucher, signed.signature, len(own_lines)), None)
            return following

    def collect(
        self, archive: Archive, own_lines: Callable[[bytes, int, int | None], Sequence[UsageLine]]
    ) -> Collected:
        """Read vouchers back from the ledger: accept new ones, attach receipts to those known.

        `own_lines(channel, sequence, count)` is our own count, for example `meter.batch(…).lines`. A voucher that is
        ahead of the next one stays to be read again, since those between may still come directly.
        """
        accepted = receipts = 0
        refused: list[tuple[MessageId, str]] = []
        for channel in self.channels():
            is_passed = True
            for message in archive.since(tag_of(Kind.VOUCHER, channel), self._cursor(channel)):
                try:
                    accepted += self._collect(channel, message, own_lines)
                    receipts += self._attach(channel, message, archive)
                except VoucherOutOfOrder as error:
                    is_passed = is_passed and int(str(error.values["got"])) < int(str(error.values["expected"]))
                    refused.append((message.id, str(error)))
                except PrsmError as error:
                    refused.append((message.id, str(error)))
                if is_passed and message.cursor is not None:
                    self._advance(channel, message.cursor)
        return Collected(accepted, receipts, tuple(refused))

    def _collect(
        self, channel: bytes, message: Message, own_lines: Callable[[bytes, int, int | None], Sequence[UsageLine]]
    ) -> int:
        """1 when the message's voucher was new and is now accepted, 0 when it was known."""
        signed = read_voucher(self._network, message.tag, message.data, self.state(channel).terms)
        known = self._voucher(channel, signed.voucher.sequence)
        if known is not None and known.signed.voucher == signed.voucher:
            # Known, but the message's own signature must hold too before its receipt counts for the voucher.
            state = self.state(channel)
            recovered = rules.recovered_signer(signed.voucher, signed.signature, self._chain_id, self._channels)
            if recovered != state.terms.signer:
                raise rules.VoucherSignatureInvalid(signer=state.terms.signer, recovered=recovered)
            return 0
        self.accept(signed, own_lines(channel, signed.voucher.sequence, signed.lines))
        return 1

    def _attach(self, channel: bytes, message: Message, archive: Archive) -> int:
        receipt = archive.receipt(message.id).encode()
        signed = read_voucher(self._network, message.tag, message.data, self.state(channel).terms)
        with self._lock:
            done = self._db.execute(
                "UPDATE vouchers SET receipt = ? WHERE channel = ? AND sequence = ? AND receipt IS NULL",
                (receipt, channel, signed.voucher.sequence),
            )
        return done.rowcount

    def _cursor(self, channel: bytes) -> int:
        with self._lock:
            return int(self._db.execute("SELECT cursor FROM channels WHERE id = ?", (channel,)).fetchone()[0])

    def _advance(self, channel: bytes, cursor: int) -> None:
        with self._lock:
            self._db.execute("UPDATE channels SET cursor = max(cursor, ?) WHERE id = ?", (cursor, channel))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def voucher(self, channel: bytes, sequence: int) -> Kept:
        found = self._voucher(channel, sequence)
        if found is None:
            raise VoucherUnknown(channel=channel.hex(), sequence=sequence)
        return found

    def best(self, channel: bytes) -> Kept | None:
        """The voucher to settle with: the last accepted, hence the one that owes most."""
        return self._voucher(channel, None)

    def protected(self, channel: bytes) -> Wei:
        """What is owed by vouchers that a confirmed milestone holds; work goes on against this (`rules.may_serve`)."""
        with self._lock:
            row = self._db.execute(
                "SELECT cumulative FROM vouchers WHERE channel = ? AND receipt IS NOT NULL"
                " ORDER BY sequence DESC LIMIT 1",
                (channel,),
            ).fetchone()
        return Wei(0) if row is None else _wei(row[0])

    def _voucher(self, channel: bytes, sequence: int | None) -> Kept | None:
        condition, values = ("", ()) if sequence is None else (" AND v.sequence = ?", (sequence,))
        with self._lock:
            row = self._db.execute(
                "SELECT c.terms, v.sequence, v.cumulative, v.root, v.signature, v.lines, v.message, v.receipt"
                " FROM vouchers v JOIN channels c ON c.id = v.channel"
                f" WHERE v.channel = ?{condition} ORDER BY v.sequence DESC LIMIT 1",
                (channel, *values),
            ).fetchone()
        if row is None:
            return None
        voucher = Voucher(channel, row[1], _wei(row[2]), row[3])
        signed = SignedVoucher(_terms_from(row[0]), voucher, row[4], row[5])
        message = None if row[6] is None else MessageId(row[6])
        return Kept(signed, message, None if row[7] is None else Inclusion.decode(row[7]))

    def _keep(self, signed: SignedVoucher, key: str | None) -> None:
        voucher = signed.voucher
        amount = voucher.cumulative.to_bytes(12, "big")
        row = (voucher.channel_id, voucher.sequence, amount, voucher.usage_root, signed.signature, signed.lines, key)
        self._db.execute(
            "INSERT INTO vouchers (channel, sequence, cumulative, root, signature, lines, key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )


_SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (
    id BLOB NOT NULL UNIQUE, terms BLOB NOT NULL, deposit BLOB NOT NULL, settled BLOB NOT NULL DEFAULT x'00',
    closes_at INTEGER NOT NULL DEFAULT 0, is_open INTEGER NOT NULL DEFAULT 1, cursor INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS vouchers (
    channel BLOB NOT NULL, sequence INTEGER NOT NULL, cumulative BLOB NOT NULL, root BLOB NOT NULL,
    signature BLOB NOT NULL, lines INTEGER, key TEXT, message BLOB, raw BLOB, message_key BLOB, receipt BLOB,
    PRIMARY KEY (channel, sequence), UNIQUE (channel, key)
) STRICT;
"""


def _terms_bytes(terms: ChannelTerms) -> bytes:
    return json.dumps(terms.to_json(), sort_keys=True).encode()


def _terms_from(data: bytes) -> ChannelTerms:
    return ChannelTerms.from_json(json.loads(data))


def _wei(amount: bytes) -> Wei:
    return Wei(int.from_bytes(amount, "big"))
