"""Dataclasses to plain values and back, by their annotations.

A field is a key of the same name (or of `metadata["key"]`). `Wei` becomes 32 bytes, since money exceeds CBOR's
integers; a `Sealed` becomes the map {digest, size_class}; everything else is what DAG-CBOR knows. Reading checks every
type, because blocks come from strangers; keys that the dataclass does not know stay in the block's bytes.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from prsm_protocol.errors import TraceError
from prsm_protocol.trace.seal import Sealed
from prsm_protocol.types import Cid, Wei, wei_bytes

T = TypeVar("T")


class BlockInvalid(TraceError):
    text = "the block is no {kind}: field {field} {reason}; it was written by something else or altered"


@cache
def _keys(kind: Hashable) -> tuple[tuple[str, str, Any, bool], ...]:
    """(attribute, key, type, has a default) of each field."""
    hints = typing.get_type_hints(cast("type", kind))
    return tuple(
        (f.name, f.metadata.get("key", f.name), hints[f.name], f.default is not dataclasses.MISSING)
        for f in dataclasses.fields(cast("Any", kind))
    )


def to_plain(value: object) -> dict[str, object]:
    """The map of a dataclass."""
    return {key: _out(getattr(value, name), hint) for name, key, hint, _ in _keys(cast("Hashable", type(value)))}


def _out(value: object, hint: Any) -> object:
    if value is None or isinstance(value, Cid):
        return value
    if isinstance(value, Sealed):
        return {"digest": value.digest, "size_class": value.size_class}
    if hint is Wei or (isinstance(value, int) and Wei in typing.get_args(hint)):
        return wei_bytes(cast("int", value))
    if dataclasses.is_dataclass(value):
        return to_plain(value)
    if isinstance(value, tuple | list):
        item = (typing.get_args(hint) or (object,))[0]
        return [_out(entry, item) for entry in value]
    if isinstance(value, Mapping):
        item = (typing.get_args(hint) or (str, object))[1]
        return {key: _out(entry, item) for key, entry in value.items()}
    return value


def from_plain(kind: type[T], value: object, name: str, at: str = "") -> T:
    """The dataclass of a map; `name` and `at` are what the error calls the block and the place in it."""
    if not isinstance(value, dict):
        raise BlockInvalid(kind=name, field=at or "/", reason="is not a map")
    given: dict[str, object] = {}
    for attribute, key, hint, has_default in _keys(cast("Hashable", kind)):
        if key in value:
            given[attribute] = _in(value[key], hint, name, f"{at}/{key}" if at else key)
        elif not has_default:
            raise BlockInvalid(kind=name, field=key, reason="is missing")
    return kind(**given)


def _in(value: object, hint: Any, name: str, key: str) -> object:
    if hint is object:
        return value
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return _union(value, typing.get_args(hint), name, key)
    if origin is tuple:
        if not isinstance(value, list):
            raise BlockInvalid(kind=name, field=key, reason="is not a list")
        return tuple(_in(entry, typing.get_args(hint)[0], name, f"{key}/{at}") for at, entry in enumerate(value))
    if origin is not None:  # a mapping from text
        if not isinstance(value, dict):
            raise BlockInvalid(kind=name, field=key, reason="is not a map")
        return {entry: _in(value[entry], typing.get_args(hint)[1], name, f"{key}/{entry}") for entry in value}
    if hint is Wei:
        if not isinstance(value, bytes) or len(value) != 32:
            raise BlockInvalid(kind=name, field=key, reason="is not an amount of 32 bytes")
        return Wei(int.from_bytes(value, "big"))
    if dataclasses.is_dataclass(hint) and hint is not Cid:
        return from_plain(cast("type[object]", hint), value, name, key)
    if type(value) is not hint:
        raise BlockInvalid(kind=name, field=key, reason=f"is {type(value).__name__}, not {hint.__name__}")
    return value


def _union(value: object, members: tuple[Any, ...], name: str, key: str) -> object:
    if value is None and type(None) in members:
        return None
    if isinstance(value, Cid) and Cid in members:
        return value
    rest = [member for member in members if member not in (type(None), Cid)]
    if len(rest) != 1:
        raise BlockInvalid(kind=name, field=key, reason="is not a link")
    return _in(value, rest[0], name, key)
