"""Transactions that are sent once: prepared in the journal, synced to disk, then broadcast, then looked up.

    O1  at most one transaction an intent (a key) is ever mined
    O2  nothing is broadcast that is not stored
    O3  after any crash the stored bytes explain every transaction of the account

An unknown outcome is asked from the chain, never guessed. Nonces leave in order; a fee is raised under the same nonce.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import cast

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from prsm_protocol.chain import errors
from prsm_protocol.chain.client import Call
from prsm_protocol.chain.connection import Connection, TransactionReceipt
from prsm_protocol.chain.signer import WalletSigner
from prsm_protocol.errors import ChainError
from prsm_protocol.journal import Entry, Journal, Made, State
from prsm_protocol.rules.eip712 import address_bytes, checksum, keccak

KIND = "transaction"
GAS_MARGIN = 1.25  # an estimate is of this block's state; the next may touch one more empty slot
LARGEST_FEE_WEI = 10**12  # 1,000 gwei a unit of gas: far above any calm chain, far below ruin
POLL_SECONDS = 0.05
REBROADCAST_SECONDS = 3.0
LOST_LOOKS = 20
LOST_PAUSE_SECONDS = 0.25
"""A node counts a nonce before it shows the receipt: only what it knows in none of so many looks was taken by a stranger."""


@dataclass(frozen=True)
class Prepared:
    """A signed transaction in the journal."""

    key: str
    raw: bytes
    hash: bytes
    nonce: int


class Sender:
    """Sends calls of one account. Several may share an account if they share its journal."""

    def __init__(
        self,
        chain: Connection,
        signer: WalletSigner,
        journal: Journal,
        *,
        fees: tuple[int, int] | None = None,
        largest_fee_wei: int = LARGEST_FEE_WEI,
    ) -> None:
        self.chain = chain
        self.signer = signer
        self.journal = journal
        self._fees = fees
        self._largest_fee_wei = largest_fee_wei

    @property
    def account(self) -> str:
        """Whose nonces these are: an address on one chain. A local chain that begins anew is another chain."""
        return f"{self.chain.chain_id}/{self.chain.genesis[:8].hex()}/{self.signer.address}"

    def prepare(self, key: str, call: Call) -> Prepared:
        """Sign the call under `key` and store it, synced, before anything leaves. The same key gives the stored bytes.

        A call that the contract would refuse now is refused here by name and takes no nonce.
        """
        stored = self.journal.get(self._stored(key))
        if stored is None or stored.state is State.ABANDONED:
            gas = call.gas if call.gas is not None else int(self.chain.estimate(call, self.signer.address) * GAS_MARGIN)
            most, tip = self._fees or self.chain.fees()
            floor = self.chain.transaction_count(self.signer.address)
        else:
            gas = most = tip = floor = 0  # not used: the stored bytes are given back
        if most > self._largest_fee_wei:
            raise errors.FeeAboveLimit(fee=most, limit=self._largest_fee_wei)
        entry = self.journal.prepare_numbered(
            self._stored(key),
            KIND,
            self.account,
            content(call),
            floor,
            lambda nonce: self._sign(call, nonce, gas, most, tip),
        )
        return _prepared(key, entry)

    def send(self, key: str) -> None:
        """Broadcast the stored bytes, and before them whatever the account prepared earlier. Safe to repeat."""
        entry = self.journal.need(self._stored(key))
        for earlier in self.journal.unfinished(self.account, KIND):
            if earlier.state is State.PREPARED and _number(earlier) < _number(entry):
                self._broadcast(earlier)
        if entry.state in (State.PREPARED, State.SENT):
            self._broadcast(entry)

    def confirm(self, key: str, timeout: float = 60.0, *, confirmations: int = 1) -> TransactionReceipt:
        """Wait until the transaction is `confirmations` blocks deep; a contract's refusal is raised by its name."""
        entry = self.journal.need(self._stored(key))
        end = time.monotonic() + timeout
        again = time.monotonic() + REBROADCAST_SECONDS
        pause = threading.Event()
        while True:
            late = time.monotonic() >= end
            receipt = self._mined(entry)
            if receipt is not None and (confirmations <= 1 or self._depth(receipt) >= confirmations):
                return self._finished(entry, receipt)
            if receipt is None and self.chain.transaction_count(self.signer.address) > _number(entry):
                self._lost(entry)
            if late:
                raise errors.TransactionUnconfirmed(
                    hash="0x" + entry.reference.hex(), nonce=entry.number, seconds=timeout
                )
            if receipt is None and time.monotonic() >= again:
                self.send(key)
                again = time.monotonic() + REBROADCAST_SECONDS
            pause.wait(POLL_SECONDS)

    def knows(self, key: str) -> bool:
        """Whether this journal holds a transaction under the key that may still be, or was, mined."""
        return self.state(key) not in (None, State.ABANDONED)

    def state(self, key: str) -> State | None:
        entry = self.journal.get(self._stored(key))
        return None if entry is None else entry.state

    def abandon(self, key: str) -> None:
        """Drop a prepared transaction that never left."""
        entry = self.journal.need(self._stored(key))
        if entry.state is State.PREPARED:
            self.journal.abandoned(entry.key, {"error": "never sent"})

    def transact(self, key: str, call: Call, timeout: float = 60.0) -> TransactionReceipt:
        """Prepare, send and confirm. Run again after any crash, it ends with the one receipt."""
        self.prepare(key, call)
        self.send(key)
        return self.confirm(key, timeout)

    def replace(self, key: str, *, largest_fee_wei: int | None = None) -> Prepared:
        """Raise the fee of a transaction that nobody mines: same nonce, both fees an eighth higher."""
        entry = self.journal.need(self._stored(key))
        fields = _fields(entry.payload)
        most, tip = fields.most * 9 // 8 + 1, fields.tip * 9 // 8 + 1
        limit = self._largest_fee_wei if largest_fee_wei is None else largest_fee_wei
        if most > limit:
            raise errors.FeeAboveLimit(fee=most, limit=limit)
        call = Call(fields.to, fields.data, fields.value)
        made = self._sign(call, _number(entry), fields.gas, most, tip)
        return _prepared(key, self.journal.replaced(self._stored(key), made))

    def reconcile(self) -> None:
        """After a restart: ask about everything unfinished and send the rest again, in the order of nonces."""
        for entry in self.journal.unfinished(self.account, KIND):
            receipt = self._mined(entry)
            if receipt is None:
                self._broadcast(entry)
            else:
                self._settle(entry, receipt)

    # ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stored(self, key: str) -> str:
        return f"{self.chain.chain_id}/{self.chain.genesis[:8].hex()}/{key}"

    def _sign(self, call: Call, nonce: int, gas: int, most: int, tip: int) -> Made:
        transaction: dict[str, object] = {
            "type": 2,
            "chainId": self.chain.chain_id,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": most,
            "maxPriorityFeePerGas": tip,
            "value": call.value,
            "data": call.data,
        }
        if call.to:
            transaction["to"] = checksum(address_bytes(call.to))
        raw = self.signer.sign_transaction(transaction)
        return Made(raw, keccak(raw))

    def _broadcast(self, entry: Entry) -> None:
        # Marked before it leaves: whatever may have left is asked for, whatever has not is sent again.
        self.journal.sent(entry.key)
        try:
            self.chain.rpc("eth_sendRawTransaction", "0x" + entry.payload.hex())
        except errors.RpcRefused as refused:
            self._explain(entry, refused)

    def _explain(self, entry: Entry, refused: errors.RpcRefused) -> None:
        message = str(refused.values["message"]).lower()
        if any(words in message for words in ("already known", "already imported", "known transaction")):
            return
        if "nonce too low" in message:
            receipt = self._mined(entry)
            if receipt is None and self.chain.transaction_count(self.signer.address) > _number(entry):
                self._lost(entry)
            return
        if "insufficient funds" in message:
            fields = _fields(entry.payload)
            raise errors.GasMoneyTooLow(
                account=self.signer.address,
                balance=self.chain.balance(self.signer.address),
                needed=fields.gas * fields.most + fields.value,
            ) from refused
        raise refused

    def _lost(self, entry: Entry) -> None:
        """The nonce is gone, by our bytes or by others'. Taken for lost, an intent is prepared anew: so be sure."""
        pause = threading.Event()
        for _ in range(LOST_LOOKS):
            if self._mined(entry) is not None:
                return
            pause.wait(LOST_PAUSE_SECONDS)
        if any(self.chain.knows(reference) for reference in self.journal.references(entry.key)):
            return
        self.journal.abandoned(entry.key, {"error": "NonceTaken", "nonce": entry.number})
        raise errors.NonceTaken(nonce=entry.number, account=self.signer.address)

    def _mined(self, entry: Entry) -> TransactionReceipt | None:
        for reference in self.journal.references(entry.key):
            receipt = self.chain.receipt(reference)
            if receipt is not None:
                return receipt
        return None

    def _depth(self, receipt: TransactionReceipt) -> int:
        return self.chain.block().number - receipt.block + 1

    def _settle(self, entry: Entry, receipt: TransactionReceipt) -> ChainError | None:
        if receipt.succeeded:
            self.journal.confirmed(entry.key, {"hash": receipt.hash, "block": receipt.block})
            return None
        error = self._why(entry, receipt)
        self.journal.failed(entry.key, {"hash": receipt.hash, "error": error.name, "values": error.values})
        return error

    def _finished(self, entry: Entry, receipt: TransactionReceipt) -> TransactionReceipt:
        error = self._settle(entry, receipt)
        if error is not None:
            raise error
        return receipt

    def _why(self, entry: Entry, receipt: TransactionReceipt) -> ChainError:
        """Why a mined transaction failed: its trace says it exactly; where there is none it is run again."""
        fields = _fields(entry.payload)
        try:
            trace = self.chain.rpc("debug_traceTransaction", "0x" + receipt.hash.hex(), {"tracer": "callTracer"})
        except errors.RpcRefused:
            trace = {}
        output = trace.get("output")
        if isinstance(output, str) and len(output) >= 10:
            return errors.from_data(bytes.fromhex(output[2:]), entry.key)
        call = Call(fields.to, fields.data, fields.value, gas=fields.gas)
        for block in (receipt.block - 1, receipt.block):
            try:
                self.chain.read(call, sender=self.signer.address, block=block)
            except errors.ContractError as error:
                return error
            except errors.RpcRefused:
                continue  # out of gas, or a block whose state the node has dropped
        return errors.TransactionFailed(hash="0x" + receipt.hash.hex(), gas_used=receipt.gas_used, gas_limit=fields.gas)


@dataclass(frozen=True)
class _Fields:
    to: str
    data: bytes
    value: int
    gas: int
    most: int
    tip: int


def content(call: Call) -> bytes:
    """What a call does, whatever its nonce and fee: the journal refuses another call under the same key."""
    return call.to.lower().encode() + b"\0" + call.value.to_bytes(32, "big") + call.data


def _fields(raw: bytes) -> _Fields:
    values = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    to = bytes(cast(bytes, values["to"]))
    return _Fields(
        to="0x" + to.hex() if to else "",
        data=bytes(cast(bytes, values["data"])),
        value=cast(int, values["value"]),
        gas=cast(int, values["gas"]),
        most=cast(int, values["maxFeePerGas"]),
        tip=cast(int, values["maxPriorityFeePerGas"]),
    )


def _number(entry: Entry) -> int:
    assert entry.number is not None
    return entry.number


def _prepared(key: str, entry: Entry) -> Prepared:
    return Prepared(key=key, raw=entry.payload, hash=entry.reference, nonce=_number(entry))
