"""Canonical JSON over a closed table: what a run stores can be read by eyes, and nothing is imported by a stored name.

Numbers, text, bytes, UTC times, CIDs, enums, registered frozen dataclasses by short name, and our errors by name and values.
No NaN, no pickle. Values beyond 256 KiB go by CID.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from dbos import Serializer as DbosSerializer

from prsm_protocol.errors import PrsmError, WorkflowError
from prsm_protocol.types import Cid

VALUE_LIMIT = 256 * 1024
_TAG = "$"


class NotSerializable(WorkflowError):
    text = "a value of type {type} cannot be stored in a run; register its dataclass or store it by CID"


class ValueTooLarge(WorkflowError):
    text = "a stored value takes {bytes} bytes, the limit is {limit}; store it as a block and keep its CID"


class UnknownRecord(WorkflowError):
    text = (
        "a stored run holds a record {name!r} that this version does not know; finish it with the version that wrote it"
    )


class StoredError(WorkflowError):
    text = "{error_name}: {message}"


class Table:
    """The closed table of records and errors."""

    def __init__(self) -> None:
        self._records: dict[str, type] = {}
        self._errors: dict[str, type[PrsmError]] = {}

    def register(self, *kinds: type) -> None:
        for kind in kinds:
            target: dict[str, Any] = self._errors if issubclass(kind, PrsmError) else self._records
            known = target.setdefault(kind.__name__, kind)
            if known is not kind:
                raise ValueError(f"two records are called {kind.__name__}: {known.__module__} and {kind.__module__}")

    def scan(self, modules: Iterable[ModuleType]) -> None:
        """Register every dataclass, enum and error that these modules define."""
        for module in modules:
            for _, kind in inspect.getmembers(module, inspect.isclass):
                if kind.__module__ == module.__name__ and (is_dataclass(kind) or issubclass(kind, Enum | PrsmError)):
                    self.register(kind)

    def scan_errors(self, modules: Iterable[ModuleType]) -> None:
        """Register the errors that these modules define, and nothing else of them."""
        for module in modules:
            for _, kind in inspect.getmembers(module, inspect.isclass):
                if kind.__module__ == module.__name__ and issubclass(kind, PrsmError):
                    self.register(kind)

    def dump(self, value: object) -> str:
        text = json.dumps(
            self._encode(value), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
        )
        if len(text) > VALUE_LIMIT:
            raise ValueTooLarge(bytes=len(text), limit=VALUE_LIMIT)
        return text

    def load(self, text: str) -> Any:
        return self._decode(json.loads(text))

    def _encode(self, value: object) -> object:
        if value is None or isinstance(value, bool | str | float) or type(value) is int:
            if isinstance(value, str) and type(value) is not str:
                return str(value)
            return (
                value
                if not isinstance(value, int) or isinstance(value, bool) or abs(value) < 2**53
                else {_TAG: "int", "v": str(value)}
            )
        if isinstance(value, bytes):
            return {_TAG: "bytes", "v": value.hex()}
        if isinstance(value, Cid):
            return {_TAG: "cid", "v": value.text}
        if isinstance(value, datetime):
            return {_TAG: "time", "v": value.astimezone(UTC).isoformat()}
        if isinstance(value, timedelta):
            return {_TAG: "span", "v": value / timedelta(microseconds=1)}
        if isinstance(value, Decimal):
            return {_TAG: "decimal", "v": str(value)}
        if isinstance(value, Path):
            return {_TAG: "path", "v": str(value)}
        if isinstance(value, Enum):
            self._known(type(value))
            return {_TAG: "enum", "t": type(value).__name__, "v": value.name}
        if isinstance(value, PrsmError):
            return {
                _TAG: "error",
                "t": value.name,
                "v": {k: self._encode(_plain(v)) for k, v in value.values.items()},
                "m": str(value),
            }
        if isinstance(value, BaseException):
            return {
                _TAG: "error",
                "t": "StoredError",
                "v": {"error_name": type(value).__name__, "message": str(value)[:2000]},
                "m": str(value)[:2000],
            }
        if is_dataclass(value) and not isinstance(value, type):
            self._known(type(value))
            return {
                _TAG: "record",
                "t": type(value).__name__,
                "v": {f.name: self._encode(getattr(value, f.name)) for f in fields(value)},
            }
        if isinstance(value, tuple):
            return {_TAG: "tuple", "v": [self._encode(item) for item in value]}
        if isinstance(value, list):
            return [self._encode(item) for item in value]
        if isinstance(value, Mapping):
            if all(type(key) is str and key != _TAG for key in value):
                return {key: self._encode(item) for key, item in value.items()}
            return {_TAG: "map", "v": [[self._encode(key), self._encode(item)] for key, item in value.items()]}
        raise NotSerializable(type=type(value).__name__)

    def _known(self, kind: type) -> None:
        if self._records.get(kind.__name__) is not kind:
            raise NotSerializable(type=f"{kind.__module__}.{kind.__name__}")

    def _decode(self, value: object) -> Any:
        if isinstance(value, list):
            return [self._decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        tag = value.get(_TAG)
        if tag is None:
            return {key: self._decode(item) for key, item in value.items()}
        body = value["v"]
        match tag:
            case "int":
                return int(body)
            case "bytes":
                return bytes.fromhex(body)
            case "cid":
                return Cid.parse(body)
            case "time":
                return datetime.fromisoformat(body)
            case "span":
                return timedelta(microseconds=body)
            case "decimal":
                return Decimal(body)
            case "path":
                return Path(body)
            case "tuple":
                return tuple(self._decode(item) for item in body)
            case "map":
                return {self._decode(key): self._decode(item) for key, item in body}
            case "enum":
                return self._record(value["t"])[body]  # type: ignore[index]
            case "record":
                return self._record(value["t"])(**{key: self._decode(item) for key, item in body.items()})
            case "error":
                if value["t"] == "StoredError":
                    return StoredError(error_name=body["error_name"], message=body["message"])
                kind = self._errors.get(value["t"])
                if kind is None:
                    return StoredError(error_name=value["t"], message=value["m"])
                return kind(**{key: self._decode(item) for key, item in body.items()})
        raise UnknownRecord(name=str(tag))

    def _record(self, name: str) -> type:
        kind = self._records.get(name)
        if kind is None:
            raise UnknownRecord(name=name)
        return kind


def _plain(value: object) -> object:
    """An error's values are for people: what no table knows is kept as its text."""
    return value if isinstance(value, bool | int | str | float | bytes | Cid) or value is None else str(value)


class CanonicalSerializer(DbosSerializer):
    """Hands our table to DBOS, which would pickle otherwise."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def serialize(self, data: Any) -> str:
        return self._table.dump(data)

    def deserialize(cls, serialized_data: str) -> Any:
        return cls._table.load(serialized_data)

    def name(self) -> str:
        return "prsm_canonical_json"
