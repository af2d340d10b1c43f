"""What the compiler says about our contracts, read from the files that `scripts/export_abi.py` writes beside this one.

Turns Python values into call bytes and answers, events and errors into Python values. Names become snake_case,
addresses their checksum form, arrays tuples, and the structs that `rules/` knows their own classes; other structs
become dicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Protocol, runtime_checkable

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError

from prsm_protocol.errors import ChainError
from prsm_protocol.rules.channel.vouchers import ChannelTerms
from prsm_protocol.rules.eip712 import Struct, checksum, keccak
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, Result
from prsm_protocol.rules.oracle.attestation import Attestation, Proof
from prsm_protocol.rules.registry.lineage import Registration, Share

CONTRACTS = (
    "FTNS",
    "Vault",
    "Provenance",
    "Royalties",
    "OracleRegistry",
    "VerifierRouter",
    "AttestationHub",
    "Channels",
    "Escrow",
)

STRUCTS: dict[str, type[Struct]] = {
    kind.__name__: kind
    for kind in (JobTerms, Assignment, Result, Attestation, Proof, ChannelTerms, Registration, Share)
}


class AbiAbsent(ChainError):
    text = "contract {contract!r} has no exported ABI; run scripts/export_abi.py after compiling"


class FunctionUnknown(ChainError):
    text = "contract {contract} has no function {function} with {count} arguments"


class ArgumentsInvalid(ChainError):
    text = "arguments of {what} do not fit its types {types}: {reason}"


class AnswerInvalid(ChainError):
    text = "the answer of {what} is not what its ABI says: {reason}; check that the address holds this contract"


@runtime_checkable
class HasValues(Protocol):
    """A struct of the contracts in Python: its fields in Solidity's order."""

    def values(self) -> tuple[object, ...]: ...


@dataclass(frozen=True)
class Parameter:
    """One input, output or field."""

    name: str
    type: str
    struct: str
    components: tuple[Parameter, ...]
    indexed: bool = False

    @property
    def canonical(self) -> str:
        if not self.type.startswith("tuple"):
            return self.type
        return "(" + ",".join(part.canonical for part in self.components) + ")" + self.type[len("tuple") :]

    @property
    def item(self) -> Parameter:
        """What an array holds."""
        return Parameter(self.name, self.type[: self.type.rindex("[")], self.struct, self.components)


@dataclass(frozen=True)
class Function:
    contract: str
    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    selector: bytes
    is_view: bool

    def encode(self, arguments: Sequence[object]) -> bytes:
        return self.selector + encode(f"{self.contract}.{self.name}", self.inputs, arguments)

    def decode(self, answer: bytes) -> tuple[object, ...]:
        return decode(f"{self.contract}.{self.name}", self.outputs, answer)


@dataclass(frozen=True)
class EventType:
    contract: str
    name: str
    inputs: tuple[Parameter, ...]
    topic: bytes

    def decode(self, topics: Sequence[bytes], data: bytes) -> dict[str, object]:
        """The event's fields by name. An indexed dynamic value is its hash: the chain keeps no more."""
        indexed = [part for part in self.inputs if part.indexed]
        plain = [part for part in self.inputs if not part.indexed]
        body = iter(decode(self.name, plain, data))
        hashes = iter(topics[1 : 1 + len(indexed)])
        fields: dict[str, object] = {}
        for part in self.inputs:
            if not part.indexed:
                fields[part.name] = next(body)
            elif part.type in ("string", "bytes") or part.type.endswith("]") or part.type.startswith("tuple"):
                fields[part.name] = next(hashes)
            else:
                fields[part.name] = decode(self.name, [part], next(hashes))[0]
        return fields


@dataclass(frozen=True)
class ErrorType:
    name: str
    inputs: tuple[Parameter, ...]
    selector: bytes
    signature: str
    notice: str


@dataclass(frozen=True)
class ContractAbi:
    """One contract as compiled. `immutables` are the (start, length) ranges of its code that the constructor fills."""

    name: str
    constructor: tuple[Parameter, ...]
    functions: tuple[Function, ...]
    events: Mapping[bytes, EventType]
    errors: tuple[ErrorType, ...]
    bytecode: bytes
    code_keccak: bytes
    code_size: int
    compiler: Mapping[str, object]
    immutables: tuple[tuple[int, int], ...]

    def function(self, name: str, count: int) -> Function:
        for function in self.functions:
            if function.name == name and len(function.inputs) == count:
                return function
        raise FunctionUnknown(contract=self.name, function=name, count=count)

    def masked_keccak(self, code: bytes) -> bytes:
        """Hash of deployed code with its immutables set to zero: the same for every deployment of one source."""
        masked = bytearray(code)
        for start, length in self.immutables:
            masked[start : start + length] = bytes(length)
        return keccak(bytes(masked))

    def getters(self) -> dict[str, Function]:
        """Views without arguments, by name."""
        return {item.name: item for item in self.functions if item.is_view and not item.inputs}


@lru_cache(maxsize=64)
def load(name: str) -> ContractAbi:
    """The exported ABI of a contract."""
    path = files(__name__) / f"{name}.json"
    if not path.is_file():
        raise AbiAbsent(contract=name)
    return read(name, json.loads(path.read_text()))


def read(name: str, document: Mapping[str, object]) -> ContractAbi:
    """A contract from `{abi, bytecode, code_keccak, code_size, compiler, immutables, notices}`."""
    abi = document["abi"]
    notices = document.get("notices", {})
    ranges = document.get("immutables", [])
    compiler = document.get("compiler", {})
    assert isinstance(abi, list)
    assert isinstance(notices, dict)
    assert isinstance(ranges, list)
    assert isinstance(compiler, dict)
    functions, events, errors = [], {}, []
    constructor: tuple[Parameter, ...] = ()
    for entry in abi:
        inputs = _parameters(entry.get("inputs", []))
        signature = f"{entry.get('name', '')}({','.join(part.canonical for part in inputs)})"
        if entry["type"] == "constructor":
            constructor = inputs
        elif entry["type"] == "function":
            outputs = _parameters(entry["outputs"])
            is_view = entry["stateMutability"] in ("view", "pure")
            functions.append(Function(name, entry["name"], inputs, outputs, keccak(signature.encode())[:4], is_view))
        elif entry["type"] == "event":
            topic = keccak(signature.encode())
            events[topic] = EventType(name, entry["name"], inputs, topic)
        elif entry["type"] == "error":
            selector = keccak(signature.encode())[:4]
            errors.append(ErrorType(entry["name"], inputs, selector, signature, str(notices.get(signature, ""))))
    return ContractAbi(
        name=name,
        constructor=constructor,
        functions=tuple(functions),
        events=events,
        errors=tuple(errors),
        bytecode=_hex(document.get("bytecode", "")),
        code_keccak=_hex(document.get("code_keccak", "")),
        code_size=int(str(document.get("code_size", 0))),
        compiler=compiler,
        immutables=tuple((int(start), int(length)) for start, length in ranges),
    )


def encode(what: str, parameters: Sequence[Parameter], arguments: Sequence[object]) -> bytes:
    types = [part.canonical for part in parameters]
    try:
        plain = [_to_abi(part, value) for part, value in zip(parameters, arguments, strict=True)]
        return bytes(abi_encode(types, plain))
    except (EncodingError, TypeError, ValueError, OverflowError, KeyError) as error:
        raise ArgumentsInvalid(what=what, types=",".join(types), reason=str(error)) from error


def decode(what: str, parameters: Sequence[Parameter], data: bytes) -> tuple[object, ...]:
    if not parameters:
        return ()
    try:
        values = abi_decode([part.canonical for part in parameters], data)
    except (DecodingError, OverflowError, ValueError) as error:
        raise AnswerInvalid(what=what, reason=str(error) or type(error).__name__) from error
    return tuple(_from_abi(part, value) for part, value in zip(parameters, values, strict=True))


def snake(name: str) -> str:
    """quoteUntil becomes quote_until; the underscore that keeps a constructor's argument apart from storage falls."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.strip("_")).lower()


def _parameters(entries: Sequence[Mapping[str, object]]) -> tuple[Parameter, ...]:
    found = []
    for entry in entries:
        components = entry.get("components", [])
        assert isinstance(components, list)
        internal = re.match(r"struct (?:\w+\.)?(\w+)", str(entry.get("internalType", "")))
        found.append(
            Parameter(
                name=snake(str(entry["name"])),
                type=str(entry["type"]),
                struct=internal.group(1) if internal else "",
                components=_parameters(components),
                indexed=bool(entry.get("indexed", False)),
            )
        )
    return tuple(found)


def _to_abi(part: Parameter, value: object) -> object:
    if part.type.endswith("]"):
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise TypeError(f"{part.name}: {value!r} is not a list")
        return [_to_abi(part.item, item) for item in value]
    if part.type == "tuple":
        if isinstance(value, HasValues) and not isinstance(value, Mapping):
            values: Sequence[object] = value.values()
        elif isinstance(value, Mapping):
            values = [value[field.name] for field in part.components]
        elif isinstance(value, list | tuple):
            values = value
        else:
            raise TypeError(f"{part.name}: {value!r} is not a {part.struct or 'struct'}")
        return tuple(_to_abi(field, item) for field, item in zip(part.components, values, strict=True))
    return value


def _from_abi(part: Parameter, value: object) -> object:
    if part.type.endswith("]"):
        assert isinstance(value, Sequence)
        return tuple(_from_abi(part.item, item) for item in value)
    if part.type == "tuple":
        assert isinstance(value, Sequence)
        values = [_from_abi(field, item) for field, item in zip(part.components, value, strict=True)]
        kind = STRUCTS.get(part.struct)
        if kind is not None:
            return kind.from_values(values)
        return {field.name: item for field, item in zip(part.components, values, strict=True)}
    if part.type == "address":
        return checksum(bytes.fromhex(str(value)[2:]))
    return value


def _hex(value: object) -> bytes:
    return bytes.fromhex(str(value).removeprefix("0x"))
