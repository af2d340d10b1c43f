"""A home's payment channels: opened once per payee and purpose, paid by cumulative vouchers that travel over the tangle too."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any

import httpx

from prsm_protocol.chain.channels import ChannelStatus
from prsm_protocol.errors import WorkflowError
from prsm_protocol.identity.requests import sign_headers
from prsm_protocol.ledger.archive import Archive
from prsm_protocol.ledger.client import StardustLedger
from prsm_protocol.ledger.inclusion import Included, Inclusion, Trust, network_id, verify
from prsm_protocol.ledger.messages import Kind, tag_of
from prsm_protocol.ledger.transport import LedgerBusy, LedgerUnavailable, NodeUnhealthy
from prsm_protocol.ledger.voucher_message import SignedVoucher
from prsm_protocol.ledger.vouchers import VoucherBook
from prsm_protocol.rules.channel.usage import UsageLine
from prsm_protocol.rules.channel.vouchers import ChannelTerms, channel_id
from prsm_protocol.types import Cid, Steps, Waiting, Wei
from prsm_protocol.workflow.home import Home
from prsm_protocol.workflow.patience import RUN_SECONDS

SEEN_SECONDS = 20
_AWAY = (LedgerUnavailable, LedgerBusy, NodeUnhealthy)
_POST_SECONDS = 5.0
"""Between two posts of a voucher that no milestone holds yet: a milestone comes every second or ten."""
CLOSE_SECONDS = 3_600
"""How long a payee has to land its last voucher once we start to close: an hour, against sleeping nodes."""


class NodeRefusedRows(WorkflowError):
    text = "node {url} refused the rows: {refusal} ({detail})"


class NodeSilent(WorkflowError):
    exit_code = 6
    text = "node {url} does not answer ({reason})"


@dataclass(frozen=True)
class OpenChannel:
    id: bytes
    terms: ChannelTerms
    deposit: Wei


class HomeChannels:
    """Channels that this home pays through. One per process: it owns the SDK's worker."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._address = home.chain.channels.address

    @cached_property
    def ledger(self) -> StardustLedger:
        address = self._home.network.ledger
        return StardustLedger(
            [address.url], network=address.network, allow_unhealthy=self._home.network.name == "local"
        )

    @cached_property
    def book(self) -> VoucherBook:
        return VoucherBook(
            self._home.folder / "vouchers.db",
            chain_id=self._home.chain.chain_id,
            channels=self._address,
            network=network_id(self._home.network.ledger.network),
        )

    def close(self) -> None:
        if "ledger" in self.__dict__:
            self.ledger.close()

    # ── channels ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, key: str, payee: str, records: Sequence[bytes], deposit: Wei) -> OpenChannel:
        """The channel for this key, opened on chain if it is not yet; its deposit is the most that can be lost."""
        signer = self._home.voucher_key()
        salt = int.from_bytes(sha256(f"prsm/channel/{key}".encode()).digest(), "big")
        terms = ChannelTerms(self._home.address, payee, signer.address, tuple(records), Wei(0), CLOSE_SECONDS, salt)
        chain = self._home.chain
        found = channel_id(chain.chain_id, self._address, terms)
        if chain.channels.channel(found).status is ChannelStatus.NONE:
            with self._home.money:
                self._home.fund_vault(f"channel:{found.hex()}:fund", deposit)
                self._home.sender.transact(f"channel:{found.hex()}:open", chain.channels.open(terms, deposit))
        state = chain.channels.channel(found)
        self.book.open(terms, state.deposit)
        self.book.update(
            found,
            deposit=state.deposit,
            settled=state.settled,
            closes_at=state.closes_at,
            is_open=state.status is ChannelStatus.OPEN,
        )
        return OpenChannel(found, terms, state.deposit)

    def sign(self, channel: OpenChannel, key: str, lines: Sequence[UsageLine]) -> SignedVoucher:
        """The voucher for these lines on top of the last, posted to the tangle; the same key is never signed twice.

        A tangle that is away stops no work: the voucher is kept here, and `inclusion` posts it when the tangle is back.
        """
        signed = self.book.sign_next(
            channel.id, lines, self._home.voucher_key(), key=key, quote=lambda line: line.amount
        )
        self._post_voucher(channel.id, signed.voucher.sequence)
        return signed

    def _post_voucher(self, channel: bytes, sequence: int) -> bool:
        """Whether the tangle took it; a silent tangle is asked again later."""
        try:
            self.book.post(self.ledger, channel, sequence)
        except _AWAY:
            return False
        return True

    def inclusion(self, channel: bytes, sequence: int, steps: Steps, seconds: int = int(RUN_SECONDS)) -> Inclusion:
        """The receipt of a voucher read back from the tangle: proof that a milestone holds it, verified offline."""
        archive = self.archive(channel)
        tag = tag_of(Kind.VOUCHER, channel)
        posted_at = [time.monotonic() if self.book.voucher(channel, sequence).message is not None else 0.0]

        def confirmed() -> Inclusion | None:
            if time.monotonic() - posted_at[0] > _POST_SECONDS:
                self._post_voucher(channel, sequence)
                posted_at[0] = time.monotonic()
            message = self.book.voucher(channel, sequence).message
            try:
                archive.sync()
            except _AWAY:
                return None
            if message is None or all(each.id != message for each in archive.since(tag)):
                return None
            found = archive.receipt(message)
            verify(found, self._trust())
            return found

        try:
            deadline = datetime.now(UTC) + timedelta(seconds=seconds)
            return steps.wait(Waiting("a milestone over the last voucher", deadline, "it is posted again"), confirmed)
        finally:
            archive.close()

    def archive(self, channel: bytes) -> Archive:
        """What the tangle holds of one channel, kept here with paths and milestones."""
        path = self._home.folder / f"archive-{channel.hex()[:16]}.db"
        return Archive(self.ledger.rest, path, [tag_of(Kind.VOUCHER, channel)], self._trust())

    def milestone_of(self, inclusion: Inclusion) -> Included:
        return verify(inclusion, self._trust())

    def _trust(self) -> Trust:
        address = self._home.network.ledger
        return Trust.of(address.keys, address.threshold, address.network)

    # ── the node's side over HTTP ────────────────────────────────────────────────────────────────────────────────────

    def ask_rows(
        self, url: str, listing: Cid, rows: Sequence[Sequence[int]], signed: SignedVoucher, key: str
    ) -> dict[str, Any]:
        """Buy answers for rows. The voucher covers what was used before; the node works one credit window ahead of it."""
        body = json.dumps({"listing": str(listing), "rows": [[str(word) for word in row] for row in rows]}).encode()
        return self._post(
            url, "/v1/rows", body, {"PRSM-Voucher": json.dumps(voucher_json(signed)), "Idempotency-Key": key}
        )

    def hand_over(self, url: str, signed: SignedVoucher) -> dict[str, Any]:
        return self._post(url, "/v1/vouchers", json.dumps(voucher_json(signed)).encode(), {})

    def settle_and_close(self, url: str, channel: OpenChannel, steps: Steps, seconds: int = 60) -> Wei:
        """Ask the payee to land its last voucher and to close at once; the rest returns to our Vault balance."""
        self._post(url, f"/v1/channels/0x{channel.id.hex()}/close", b"", {})

        def closed() -> bool | None:
            return True if self._home.chain.channels.channel(channel.id).status is ChannelStatus.CLOSED else None

        deadline = datetime.now(UTC) + timedelta(seconds=seconds)
        steps.wait(
            Waiting("the payee to settle and close", deadline, "`prsm channel close` takes the rest after the delay"),
            closed,
        )
        return self._home.chain.channels.channel(channel.id).settled

    def _post(self, url: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """A signed request. A node that does not see a fresh channel yet is asked again until it has read the block."""
        end = time.monotonic() + SEEN_SECONDS
        pause = threading.Event()
        while True:
            try:
                return self._post_once(url, path, body, headers)
            except NodeRefusedRows as error:
                if error.values["refusal"] != "ChannelUnknown" or time.monotonic() > end:
                    raise
            pause.wait(0.25)

    def _post_once(self, url: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        signed = sign_headers(self._home.identity, "POST", path, body, time.time())
        try:
            answer = httpx.post(
                url + path,
                content=body,
                headers={**signed, **headers, "Content-Type": "application/json"},
                timeout=60,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            raise NodeSilent(url=url, reason=type(error).__name__) from error
        value: dict[str, Any] = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if answer.is_error:
            raise NodeRefusedRows(
                url=url, refusal=value.get("type", answer.status_code), detail=value.get("detail", answer.text[:200])
            )
        return value


def voucher_json(signed: SignedVoucher) -> dict[str, object]:
    """A signed voucher as HTTP carries it."""
    return {
        "terms": signed.terms.to_json(),
        "voucher": signed.voucher.to_json(),
        "signature": "0x" + signed.signature.hex(),
    }
