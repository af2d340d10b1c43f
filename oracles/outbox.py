"""Everything the node wants mined, each thing once, whatever dies in between.

    WRITTEN ─▶ SENT ─▶ MINED ─▶ FINAL          raw bytes and nonce are stored before the first broadcast (`chain.Sender`)
                 ▲       │ receipt gone (a reorganisation): the same bytes again
                 └───────┘
    DONE: somebody did it already · REFUSED(name): for good · FOREIGN: another machine uses our key, nothing is sent any more

An intent's key is unique, so a step repeated a thousand times is one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from oracles.store import IntentRow, Store
from prsm_protocol.chain import Chain
from prsm_protocol.chain.client import Call
from prsm_protocol.chain.errors import ContractError, GasMoneyTooLow, NonceTaken, RpcRefused, TransactionUnconfirmed
from prsm_protocol.chain.sender import Prepared, Sender
from prsm_protocol.errors import NodeError

REBROADCAST_SECONDS = 3.0
RAISE_FEE_SECONDS = 36.0
"""Three blocks of a public chain without a receipt."""
DAY_SECONDS = 86_400


class OutboxError(NodeError):
    """Anything about sending."""


class GasBudgetSpent(OutboxError):
    text = "deliveries cost {wei} wei of gas today, the limit of a day is {limit}; raise gas.per_day_coin or wait"


class ForeignTransaction(OutboxError):
    text = (
        "a nonce of the sender's key was used by bytes this node never wrote ({detail}); a second machine has the key"
    )


class Verdict(Enum):
    """What a refusal by name means for an intent."""

    DONE = "done"
    LATER = "later"
    REFUSED = "refused"


_LATER = frozenset(
    {"HaltableFlowHalted", "VerifierRouterNotEnabled", "AttestationHubStillOpen", "EscrowJobNotOpen", "VaultExitSlowed"}
)
_DONE = frozenset({"AttestationHubKnown", "ChannelsAlreadyClosed"})
_ASSIGNED, _DELIVERED = 1, 2


def classify(kind: str, name: str, values: dict[str, object]) -> Verdict:
    """By name, never by message: already done, not yet, or never."""
    if name in _DONE:
        return Verdict.DONE
    if name in _LATER:
        return Verdict.LATER
    if name == "EscrowTaskNotOpen":
        status = int(str(values.get("status", 0)))
        if status < _ASSIGNED:
            return Verdict.LATER  # the assignment is gone in a reorganisation and may come back
        if kind == "release" and status < _DELIVERED:
            return Verdict.LATER
        return Verdict.DONE
    return Verdict.REFUSED


@dataclass(frozen=True)
class Alarm:
    """What needs a person."""

    what: str
    detail: str


class Outbox:
    """Brings intents to their end, in the order they were written."""

    def __init__(
        self,
        store: Store,
        chain: Chain,
        sender_for: Callable[[str], Sender],
        call_for: Callable[[IntentRow], Call | None],
        *,
        confirmations: int,
        gas_per_day_wei: int,
    ) -> None:
        self._store = store
        self._chain = chain
        self._sender_for = sender_for
        self._call_for = call_for
        self._confirmations = confirmations
        self._gas_per_day = gas_per_day_wei
        self._last_sent: dict[str, float] = {}
        self._first_sent: dict[str, float] = {}
        self.alarms: dict[str, Alarm] = {}

    def reconcile(self) -> None:
        """Before anything is sent after a start: every stored transaction is looked up, the rest is sent again."""
        self._sender_for("deliver").reconcile()

    def ensure(self, kind: str, task: str) -> None:
        """Write the intent if it is not there; one that was thought final is looked at again.

        Whoever asks does not see its effect on the chain: either the events are a moment behind, or a reorganisation
        went deeper than the operator's confirmations.
        """
        key = self._key(kind, task)
        self._store.ensure_intent(key, kind, task, time.time())
        for row in self._store.intents(task=task):
            if row.key == key and row.state == "final":
                self._store.set_intent(key, "mined")
            elif row.key == key and row.state == "done":
                self._store.set_intent(key, "written")

    def step(self) -> None:
        """One pass over everything unfinished."""
        if any(row.state == "foreign" for row in self._store.intents(states=["foreign"])):
            return
        for row in self._store.intents(states=["written", "sent", "mined"]):
            try:
                if row.state == "written":
                    self._prepare(row)
                elif row.state == "sent":
                    self._confirm(row)
                else:
                    self._finalise(row)
            except ContractError as error:
                self._refused(row, error)
            except GasMoneyTooLow as error:
                self._alarm("gas", str(error))
            except NonceTaken as error:
                self._store.set_intent(row.key, "foreign", detail=str(error))
                self._alarm("foreign transaction", str(ForeignTransaction(detail=error)))
                return

    def _prepare(self, row: IntentRow) -> None:
        call = self._call_for(row)
        if call is None:
            return
        spent = self._spent_today()
        if spent >= self._gas_per_day:
            self._alarm("gas budget", str(GasBudgetSpent(wei=spent, limit=self._gas_per_day)))
            return
        sender = self._sender_for(row.kind)
        prepared = sender.prepare(self._sending(row), call)
        self._store.intent_sent(row.key, "0x" + prepared.hash.hex())
        self._first_sent[row.key] = self._last_sent[row.key] = time.monotonic()
        sender.send(self._sending(row))

    def _confirm(self, row: IntentRow) -> None:
        try:
            receipt = self._sender_for(row.kind).confirm(self._sending(row), timeout=0)
        except TransactionUnconfirmed:
            self._again(row)
            return
        self._store.intent_mined(row.key, "0x" + receipt.hash.hex(), receipt.block, receipt.fee_wei)
        self.alarms.pop("gas", None)

    def _finalise(self, row: IntentRow) -> None:
        receipt = self._chain.receipt(bytes.fromhex(row.hash[2:]))
        if receipt is None:
            # The block went away with a reorganisation; the same bytes are still good.
            self._store.intent_sent(row.key, row.hash)
            self._again(row, at_once=True)
        elif self._chain.block().number - receipt.block + 1 >= self._confirmations:
            self._store.set_intent(row.key, "final")

    def _again(self, row: IntentRow, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._last_sent.get(row.key, 0.0) < REBROADCAST_SECONDS:
            return
        self._last_sent[row.key] = now
        key = self._sending(row)
        call = self._call_for(row)
        if call is None:
            return
        sender = self._sender_for(row.kind)
        prepared = sender.prepare(key, call)
        if now - self._first_sent.setdefault(row.key, now) > RAISE_FEE_SECONDS:
            prepared = sender.replace(key)
            self._first_sent[row.key] = now
        self._broadcast(prepared)

    def _broadcast(self, prepared: Prepared) -> None:
        try:
            self._chain.rpc("eth_sendRawTransaction", "0x" + prepared.raw.hex())
        except RpcRefused as refused:
            # Known already, or the nonce is used: the next look at the receipt says which, nothing is guessed from words.
            self._alarm("broadcast", str(refused))
        else:
            self.alarms.pop("broadcast", None)

    def _refused(self, row: IntentRow, error: ContractError) -> None:
        verdict = classify(row.kind, error.name, error.values)
        if verdict is Verdict.DONE:
            self._store.set_intent(row.key, "done", detail=error.name)
        elif verdict is Verdict.LATER:
            if row.state == "written":
                self._store.set_intent(row.key, "written", detail=error.name)
            else:
                self._store.retry_intent(row.key, error.name)
        else:
            self._store.set_intent(row.key, "refused", detail=str(error))
            self._alarm(f"{row.kind} refused", str(error))

    def _spent_today(self) -> int:
        since = time.time() - DAY_SECONDS
        return sum(row.gas_wei for row in self._store.intents() if row.at >= since)

    def _alarm(self, what: str, detail: str) -> None:
        self.alarms[what] = Alarm(what, detail)

    def _key(self, kind: str, task: str) -> str:
        return f"{self._chain.chain_id}/{self._chain.escrow.address}/{kind}/{task}"

    def _sending(self, row: IntentRow) -> str:
        return f"node/{row.key}/{row.attempt}"


__all__ = ["Alarm", "ForeignTransaction", "GasBudgetSpent", "Outbox", "Verdict", "classify"]
