"""A connection to one chain: plain JSON-RPC with answers as values, and the clients of a deployed protocol.

`Connection` knows a node and no contracts of ours; `Chain` adds the nine clients of a deployment. Refusals of
contracts come out by name, a node that cannot be reached is `EndpointUnreachable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import requests
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint

from prsm_protocol.chain import errors
from prsm_protocol.chain.channels import Channels
from prsm_protocol.chain.client import Block, Call, ContractClient, Event, Log
from prsm_protocol.chain.deployed import Deployment
from prsm_protocol.chain.escrow import Escrow
from prsm_protocol.chain.ftns import Ftns
from prsm_protocol.chain.hub import Hub
from prsm_protocol.chain.operators import Operators
from prsm_protocol.chain.provenance import Provenance
from prsm_protocol.chain.router import Router
from prsm_protocol.chain.royalties import Royalties
from prsm_protocol.chain.vault import Vault
from prsm_protocol.errors import ChainError
from prsm_protocol.rules.eip712 import checksum

TIMEOUT_SECONDS = 20


class ChainMismatch(ChainError):
    text = "the endpoint serves chain {got}, {expected} was expected; check the endpoint and the network's registry"


class EventAbsent(ChainError):
    text = "transaction {hash} emitted no {event}; it emitted {emitted}"


@dataclass(frozen=True)
class TransactionReceipt:
    """What became of a transaction, with the events of our contracts decoded."""

    hash: bytes
    block: int
    block_hash: bytes
    sender: str
    contract: str | None
    succeeded: bool
    gas_used: int
    fee_wei: int
    events: tuple[Event, ...]
    logs: tuple[Log, ...]

    def event(self, name: str) -> Event:
        """The first event of this name; its absence is an error."""
        for event in self.events:
            if event.name == name:
                return event
        raise EventAbsent(hash="0x" + self.hash.hex(), event=name, emitted=[event.name for event in self.events])


class Connection:
    """One endpoint of one chain."""

    def __init__(self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.url = url
        options = {"timeout": timeout_seconds}
        self._provider = HTTPProvider(url, request_kwargs=options, exception_retry_configuration=None)

    @cached_property
    def web3(self) -> Web3:
        """web3.py on the same endpoint, for what is not offered here."""
        return Web3(self._provider)

    @cached_property
    def chain_id(self) -> int:
        return _number(self.rpc("eth_chainId"))

    @cached_property
    def genesis(self) -> bytes:
        """Hash of the first block: two local chains have one chain id and never one genesis."""
        return self.block(0).hash

    def rpc(self, method: str, *parameters: object) -> Any:
        """Call the node; the JSON result as it comes. A contract's refusal is raised by name."""
        try:
            answer = self._provider.make_request(RPCEndpoint(method), list(parameters))
        except (requests.RequestException, OSError) as error:
            raise errors.EndpointUnreachable(url=self.url, reason=type(error).__name__) from error
        problem = answer.get("error")
        if problem is None:
            return answer.get("result")
        raise _refusal(method, problem)

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """Several calls in one round trip; a refusal is returned in its place as the error that it is."""
        if not calls:
            return []
        requests_ = [(RPCEndpoint(method), list(parameters)) for method, parameters in calls]
        try:
            answers = self._provider.make_batch_request(requests_)
        except (requests.RequestException, OSError) as error:
            raise errors.EndpointUnreachable(url=self.url, reason=type(error).__name__) from error
        if not isinstance(answers, list):
            raise _refusal("batch", answers.get("error", {}))
        ordered = sorted(answers, key=lambda answer: int(answer["id"] or 0))
        found: list[Any] = []
        for (method, _), answer in zip(calls, ordered, strict=True):
            problem = answer.get("error")
            found.append(answer.get("result") if problem is None else _refusal(method, problem))
        return found

    def block(self, number: int | str = "latest") -> Block:
        found = self.rpc("eth_getBlockByNumber", _tag(number), False)
        if found is None:
            raise errors.RpcRefused(method="eth_getBlockByNumber", message=f"no block {number}", code=0)
        return Block(
            number=_number(found["number"]),
            hash=_bytes(found["hash"]),
            parent=_bytes(found["parentHash"]),
            timestamp=_number(found["timestamp"]),
        )

    def balance(self, address: str) -> int:
        """Coin for gas, in wei."""
        return _number(self.rpc("eth_getBalance", address, "latest"))

    def transaction_count(self, address: str) -> int:
        """The next nonce as mined blocks say. The pending count is never used: it forgets and it lies."""
        return _number(self.rpc("eth_getTransactionCount", address, "latest"))

    def code(self, address: str, block: int | str = "latest") -> bytes:
        return _bytes(self.rpc("eth_getCode", address, _tag(block)))

    def read(self, call: Call, *, sender: str | None = None, block: int | str = "latest") -> bytes:
        """Run a call without sending it; a refusal is raised by its name."""
        return _bytes(self.rpc("eth_call", _message(call, sender), _tag(block)))

    def call(self, call: Call, sender: str | None = None) -> bytes:
        """The same as `read` at the latest block: what the call would answer, or why it would be refused."""
        return self.read(call, sender=sender)

    def estimate(self, call: Call, sender: str) -> int:
        """Gas that the call would use now; a refusal is raised by its name."""
        return _number(self.rpc("eth_estimateGas", _message(call, sender)))

    def fees(self) -> tuple[int, int]:
        """(most a unit of gas may cost, tip) in wei: room for the base fee to double."""
        base = _number(self.rpc("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"))
        tip = _number(self.rpc("eth_maxPriorityFeePerGas"))
        return 2 * base + tip, tip

    def logs(
        self, address: str | Sequence[str], from_block: int, to_block: int | str, topics: Sequence[object]
    ) -> list[Log]:
        query: dict[str, object] = {
            "address": address if isinstance(address, str) else list(address),
            "fromBlock": _tag(from_block),
            "toBlock": _tag(to_block),
            "topics": [["0x" + item.hex() for item in group] if isinstance(group, list) else group for group in topics],
        }
        return [_log(entry) for entry in self.rpc("eth_getLogs", query)]

    def receipt(self, transaction: bytes) -> TransactionReceipt | None:
        """What became of a transaction; none while it is not mined."""
        found = self.rpc("eth_getTransactionReceipt", "0x" + transaction.hex())
        return None if found is None else self._receipt(found)

    def knows(self, transaction: bytes) -> bool:
        """Whether the node has the transaction, mined or waiting."""
        return self.rpc("eth_getTransactionByHash", "0x" + transaction.hex()) is not None

    def event_of(self, log: Log) -> Event | None:
        """A bare connection knows no contracts."""
        return None

    def _receipt(self, found: Mapping[str, Any]) -> TransactionReceipt:
        logs = tuple(_log(entry) for entry in found["logs"])
        price = _number(found.get("effectiveGasPrice") or "0x0")
        created = found.get("contractAddress")
        return TransactionReceipt(
            hash=_bytes(found["transactionHash"]),
            block=_number(found["blockNumber"]),
            block_hash=_bytes(found["blockHash"]),
            sender=checksum(_bytes(found["from"])),
            contract=checksum(_bytes(created)) if created else None,
            succeeded=_number(found["status"]) == 1,
            gas_used=_number(found["gasUsed"]),
            fee_wei=_number(found["gasUsed"]) * price,
            events=tuple(event for log in logs if (event := self.event_of(log)) is not None),
            logs=logs,
        )


class Chain(Connection):
    """A chain with the deployed protocol."""

    def __init__(self, url: str, deployment: Deployment, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        super().__init__(url, timeout_seconds=timeout_seconds)
        self.deployment = deployment
        self.ftns = Ftns(self, deployment.address("FTNS"))
        self.vault = Vault(self, deployment.address("Vault"))
        self.provenance = Provenance(self, deployment.address("Provenance"))
        self.royalties = Royalties(self, deployment.address("Royalties"))
        self.operators = Operators(self, deployment.address("OracleRegistry"))
        self.router = Router(self, deployment.address("VerifierRouter"))
        self.hub = Hub(self, deployment.address("AttestationHub"))
        self.channels = Channels(self, deployment.address("Channels"))
        self.escrow = Escrow(self, deployment.address("Escrow"))
        self._by_address: dict[str, ContractClient] = {client.address: client for client in self.clients}

    @property
    def clients(self) -> tuple[ContractClient, ...]:
        return (
            self.ftns,
            self.vault,
            self.provenance,
            self.royalties,
            self.operators,
            self.router,
            self.hub,
            self.channels,
            self.escrow,
        )

    def event_of(self, log: Log) -> Event | None:
        client = self._by_address.get(log.address)
        return None if client is None else client.event(log)

    def events(self, from_block: int, to_block: int | str = "latest") -> list[Event]:
        """Events of all nine contracts in these blocks, in their order on the chain."""
        logs = self.logs([client.address for client in self.clients], from_block, to_block, [])
        return [event for log in logs if (event := self.event_of(log)) is not None]


def connect(url: str, deployment: Deployment) -> Chain:
    """The deployed protocol at this endpoint; refuses an endpoint of another chain."""
    chain = Chain(url, deployment)
    if chain.chain_id != deployment.chain_id:
        raise ChainMismatch(expected=deployment.chain_id, got=chain.chain_id)
    return chain


def _message(call: Call, sender: str | None) -> dict[str, str]:
    message = {"data": "0x" + call.data.hex()}
    if call.to:
        message["to"] = call.to
    if call.value:
        message["value"] = hex(call.value)
    if call.gas is not None:
        message["gas"] = hex(call.gas)
    if sender is not None:
        message["from"] = sender
    return message


def _refusal(method: str, problem: Any) -> ChainError:
    """The node's error as ours: revert data by name where there is any."""
    if isinstance(problem, str):
        return errors.RpcRefused(method=method, message=problem, code=0)
    data = problem.get("data")
    if isinstance(data, Mapping):  # some nodes wrap the bytes once more
        data = data.get("data")
    message = str(problem.get("message", ""))
    if isinstance(data, str) and data.startswith("0x") and (len(data) > 2 or "revert" in message.lower()):
        return errors.from_data(bytes.fromhex(data[2:]), method)
    if problem.get("code") == 3 or "execution reverted" in message.lower():
        return errors.from_data(b"", method)
    return errors.RpcRefused(method=method, message=message, code=problem.get("code", 0))


def _tag(block: int | str) -> str:
    return hex(block) if isinstance(block, int) else block


def _number(value: Any) -> int:
    return int(value, 16)


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value[2:])


def _log(entry: Mapping[str, Any]) -> Log:
    return Log(
        address=checksum(_bytes(entry["address"])),
        topics=tuple(_bytes(topic) for topic in entry["topics"]),
        data=_bytes(entry["data"]),
        block=_number(entry["blockNumber"]),
        block_hash=_bytes(entry["blockHash"]),
        transaction=_bytes(entry["transactionHash"]),
        index=_number(entry["logIndex"]),
    )
