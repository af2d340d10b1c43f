"""A network's parameters: one file a network, the same keys in each, references by name.

`$FTNS` is a contract's address, `$constants.vault.exit_delay` a value, `$deployer` whoever deploys. Amounts and times
are written as a person reads them ("10 FTNS", "24 min"). Whatever is unknown, unused or of a wrong type is refused
before anything is resolved; no secret and no address of an endpoint belongs here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prsm_protocol.chain.abi import Parameter, snake
from prsm_protocol.errors import ChainError
from prsm_protocol.rules.eip712 import FieldInvalid, address_bytes, checksum

Value = int | str | bool | list["Value"] | dict[str, "Value"]


class ParametersInvalid(ChainError):
    text = "parameters {path} are refused: {reason}"


class ReferenceUnknown(ChainError):
    text = "reference {name!r} names nothing; it is $deployer, a contract of this file or $constants.<path>"


class ConstantUnused(ChainError):
    text = "constants {names} are used by nothing; remove them, a value that does nothing misleads its reader"


class ArgumentMismatch(ChainError):
    text = "argument {argument} of {contract} must be of type {type}, the file says {value!r}"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Strict):
    name: str
    chain_id: int
    confirmations: int = Field(ge=1)
    allow_single_setup: bool


class Compiler(_Strict):
    solc: str
    evm: str
    runs: int


class ContractParameters(_Strict):
    constructor: dict[str, object]


class Ledger(_Strict):
    network_name: str
    keys: list[str]
    threshold: int


class Content(_Strict):
    gateways: list[str]


class _File(_Strict):
    network: Network
    compiler: Compiler
    constants: dict[str, object]
    contracts: dict[str, ContractParameters]
    # Every constructor takes its final partners, so nothing is left to be set.
    wiring: list[dict[str, object]] = Field(max_length=0)
    holders: dict[str, dict[str, object]]
    ledger: Ledger
    content: Content


@dataclass(frozen=True)
class Parameters:
    """A parameters file, read and checked."""

    path: str
    sha256: str
    file: _File

    @property
    def network(self) -> Network:
        return self.file.network

    @property
    def contracts(self) -> Mapping[str, ContractParameters]:
        return self.file.contracts

    @classmethod
    def load(cls, path: Path) -> Parameters:
        return cls.read(path.name, path.read_bytes())

    @classmethod
    def read(cls, name: str, data: bytes) -> Parameters:
        try:
            document = yaml.safe_load(data)
            file = _File.model_validate(document)
        except (yaml.YAMLError, ValidationError) as error:
            raise ParametersInvalid(path=name, reason=str(error)) from error
        found = cls(name, hashlib.sha256(data).hexdigest(), file)
        found._refuse_unused()
        return found

    def resolve(self, contract: str, part: Parameter, value: object, addresses: Mapping[str, str]) -> object:
        """The value of a constructor's argument: references replaced, checked against the type."""
        if isinstance(value, str) and value.startswith("$"):
            value = self._look_up(value, addresses)
        if part.type.endswith("]"):
            if not isinstance(value, list):
                raise ArgumentMismatch(contract=contract, argument=part.name, type=part.type, value=value)
            return [self.resolve(contract, part.item, item, addresses) for item in value]
        if part.type == "tuple":
            names = {snake(str(name)): item for name, item in value.items()} if isinstance(value, dict) else {}
            if set(names) != {field.name for field in part.components}:
                raise ArgumentMismatch(contract=contract, argument=part.name, type=part.struct, value=value)
            fields = part.components
            return {field.name: self.resolve(contract, field, names[field.name], addresses) for field in fields}
        try:
            return _scalar(part.type, value)
        except (ValueError, FieldInvalid):
            raise ArgumentMismatch(contract=contract, argument=part.name, type=part.type, value=value) from None

    def _look_up(self, reference: str, addresses: Mapping[str, str]) -> object:
        name = reference[1:]
        if name in addresses:
            return addresses[name]
        found: object = {"constants": self.file.constants}
        for part in name.split("."):
            if not isinstance(found, dict) or part not in found:
                raise ReferenceUnknown(name=reference)
            found = found[part]
        return found

    def _refuse_unused(self) -> None:
        used: set[str] = set()
        _references(self.file.model_dump(), used)
        paths = _leaves(self.file.constants, "$constants")
        unused = [path for path in paths if not any(_covers(name, path) for name in used)]
        if unused:
            raise ConstantUnused(names=", ".join(unused))


def local_parameters() -> Parameters:
    """Those of the local chain, which the package carries: `prsm up` deploys with them."""
    return Parameters.read("local.yaml", (files(__package__) / "params" / "local.yaml").read_bytes())


_UNITS = {"FTNS": 10**18, "wei": 1, "s": 1, "min": 60, "h": 3_600, "d": 86_400}


def _scalar(kind: str, value: object) -> object:
    if kind.startswith("uint"):
        number = _quantity(value)
        if number >> int(kind[4:]):
            raise ValueError
        return number
    if kind == "address":
        return checksum(address_bytes(value))
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "string" and isinstance(value, str):
        return value
    if kind == "bytes32" and isinstance(value, str) and re.fullmatch(r"0x[0-9a-f]{64}", value):
        return value
    raise ValueError


def _quantity(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.fullmatch(r"([0-9][0-9_]*) (\w+)", value) if isinstance(value, str) else None
    if match is None or match.group(2) not in _UNITS:
        raise ValueError
    return int(match.group(1)) * _UNITS[match.group(2)]


def _references(value: object, found: set[str]) -> None:
    if isinstance(value, str) and value.startswith("$"):
        found.add(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            _references(item, found)
    elif isinstance(value, list):
        for item in value:
            _references(item, found)


def _leaves(value: object, path: str) -> list[str]:
    if isinstance(value, Mapping):
        return [leaf for name, item in value.items() for leaf in _leaves(item, f"{path}.{name}")]
    return [path]


def _covers(used: str, path: str) -> bool:
    return path == used or path.startswith(used + ".")
