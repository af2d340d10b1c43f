"""The base of all contract clients: reads answer with values of the domain, writes answer with a `Call` and never send.

A client knows one contract's ABI and address. Who signs, when it is sent and whether it was mined is the sender's
business.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from prsm_protocol.chain import abi
from prsm_protocol.errors import ChainError


class EventUnknown(ChainError):
    text = "contract {contract} has no event {names}; its ABI names those it has"


@dataclass(frozen=True)
class Call:
    """A call that somebody may send: `name` says what it is, `gas` is a limit where the estimate would be wrong."""

    to: str
    data: bytes
    value: int = 0
    name: str = ""
    gas: int | None = None


@dataclass(frozen=True)
class Log:
    """A log entry as the node gives it."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: bytes
    transaction: bytes
    index: int


@dataclass(frozen=True)
class Event:
    """Something that a contract says happened. `fields` have the ABI's names in snake_case."""

    name: str
    contract: str
    fields: dict[str, object]
    block: int
    block_hash: bytes
    transaction: bytes
    index: int


@dataclass(frozen=True)
class Block:
    number: int
    hash: bytes
    parent: bytes
    timestamp: int


class Reader(Protocol):
    """What a client needs of a connection."""

    def read(self, call: Call, *, sender: str | None = None, block: int | str = "latest") -> bytes: ...

    def logs(
        self, address: str | Sequence[str], from_block: int, to_block: int | str, topics: Sequence[object]
    ) -> list[Log]: ...


class ContractClient:
    """One contract at one address."""

    NAME: ClassVar[str]

    def __init__(self, reader: Reader, address: str) -> None:
        self.address = address
        self.abi = abi.load(self.NAME)
        self._reader = reader

    def events(
        self, from_block: int, to_block: int | str = "latest", names: Collection[str] | None = None
    ) -> list[Event]:
        """This contract's events in these blocks, in their order on the chain."""
        wanted = [topic for topic, kind in self.abi.events.items() if names is None or kind.name in names]
        if names is not None:
            unknown = set(names) - {kind.name for kind in self.abi.events.values()}
            if unknown:
                raise EventUnknown(contract=self.NAME, names=", ".join(sorted(unknown)))
        logs = self._reader.logs(self.address, from_block, to_block, [wanted])
        return [event for log in logs if (event := self.event(log)) is not None]

    def event(self, log: Log) -> Event | None:
        """The event a log entry of this contract holds; none for one that its ABI does not know."""
        kind = self.abi.events.get(log.topics[0]) if log.topics else None
        if kind is None:
            return None
        return Event(
            name=kind.name,
            contract=self.NAME,
            fields=kind.decode(log.topics, log.data),
            block=log.block,
            block_hash=log.block_hash,
            transaction=log.transaction,
            index=log.index,
        )

    def read(self, function: str, *arguments: object, block: int | str = "latest") -> tuple[object, ...]:
        """Ask a view by its Solidity name; the typed methods of the clients are shorter."""
        item = self.abi.function(function, len(arguments))
        call = Call(self.address, item.encode(arguments), name=f"{self.NAME}.{function}")
        return item.decode(self._reader.read(call, block=block))

    def _one(self, function: str, *arguments: object) -> object:
        return self.read(function, *arguments)[0]

    def _number(self, function: str, *arguments: object) -> int:
        value = self._one(function, *arguments)
        assert isinstance(value, int)
        return value

    def _bytes(self, function: str, *arguments: object) -> bytes:
        value = self._one(function, *arguments)
        assert isinstance(value, bytes)
        return value

    def _address(self, function: str, *arguments: object) -> str:
        value = self._one(function, *arguments)
        assert isinstance(value, str)
        return value

    def _is(self, function: str, *arguments: object) -> bool:
        return bool(self._one(function, *arguments))

    def _numbers(self, function: str, *arguments: object) -> tuple[int, ...]:
        values = self.read(function, *arguments)
        return tuple(int(value) for value in values if isinstance(value, int))

    def _call(self, function: str, *arguments: object, gas: int | None = None) -> Call:
        item = self.abi.function(function, len(arguments))
        return Call(self.address, item.encode(arguments), name=f"{self.NAME}.{function}", gas=gas)
