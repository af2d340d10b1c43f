"""Strict DAG-CBOR: one value has one encoding, and the decoder refuses what the encoder would not have written.

Knows values and bytes, nothing of blocks or runs. Allowed: null, booleans, integers within ±(2**63 - 1), bytes, NFC
text, lists, maps with text keys (sorted by length, then bytes) and links (tag 42). No floats, no indefinite lengths, no
other tag. Text is brought to NFC when it is written; keys must already be NFC.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from prsm_protocol.errors import ContentError, TraceError
from prsm_protocol.types import Cid

BLOCK_LIMIT = 1 << 20
"""1 MiB: every IPFS node exchanges such a block, and a reader holds a hostile one without harm."""
DEPTH_LIMIT = 32
INTEGER_LIMIT = (1 << 63) - 1

_HEADS = ((24, 1), (25, 2), (26, 4), (27, 8))


class BlockNotCanonical(TraceError):
    text = "byte {offset} of the block breaks the rule: {rule}; the block was not written by a strict encoder"


class BlockTooLarge(TraceError):
    text = "a block of {bytes} bytes is over the limit of {limit}; split it"


class ValueNotEncodable(TraceError):
    text = "a {type} at {path} has no form in a block: {rule}"


def encode(value: object, *, limit: int = BLOCK_LIMIT) -> bytes:
    """The one encoding of `value`."""
    out = bytearray()
    _encode(value, out, "/", 0)
    if len(out) > limit:
        raise BlockTooLarge(bytes=len(out), limit=limit)
    return bytes(out)


def decode(data: bytes, *, limit: int = BLOCK_LIMIT) -> object:
    """The value of a block; lists come back as `list`, links as `Cid`."""
    if len(data) > limit:
        raise BlockTooLarge(bytes=len(data), limit=limit)
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise BlockNotCanonical(offset=end, rule="nothing follows the value")
    return value


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _head(major: int, argument: int, out: bytearray) -> None:
    if argument < 24:
        out.append(major << 5 | argument)
        return
    for code, size in _HEADS:
        if argument < 1 << (8 * size):
            out.append(major << 5 | code)
            out += argument.to_bytes(size, "big")
            return


def _encode(value: object, out: bytearray, path: str, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise ValueNotEncodable(type="value", path=path, rule=f"at most {DEPTH_LIMIT} levels")
    if value is None:
        out.append(0xF6)
    elif value is True:
        out.append(0xF5)
    elif value is False:
        out.append(0xF4)
    elif isinstance(value, int):
        number = int(value)
        if abs(number) > INTEGER_LIMIT:
            raise ValueNotEncodable(type="int", path=path, rule="within ±(2**63 - 1); write amounts as 32 bytes")
        _head(0, number, out) if number >= 0 else _head(1, -1 - number, out)
    elif isinstance(value, bytes | bytearray | memoryview):
        _head(2, len(value), out)
        out += value
    elif isinstance(value, str):
        _text(unicodedata.normalize("NFC", value), out, path)
    elif isinstance(value, Cid):
        out += b"\xd8\x2a\x58\x25\x00" + value.bytes
    elif isinstance(value, list | tuple):
        _head(4, len(value), out)
        for index, item in enumerate(value):
            _encode(item, out, f"{path}{index}/", depth + 1)
    elif isinstance(value, Mapping):
        _map(value, out, path, depth)
    else:
        raise ValueNotEncodable(type=type(value).__name__, path=path, rule="only the types of the module's docstring")


def _text(text: str, out: bytearray, path: str) -> None:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise ValueNotEncodable(type="str", path=path, rule="no lone surrogates") from None
    _head(3, len(raw), out)
    out += raw


def _map(value: Mapping[object, object], out: bytearray, path: str, depth: int) -> None:
    keys: list[tuple[int, bytes, str]] = []
    for key in value:
        if not isinstance(key, str):
            raise ValueNotEncodable(type=type(key).__name__, path=path, rule="keys are text")
        if unicodedata.normalize("NFC", key) != key:
            raise ValueNotEncodable(type="str", path=f"{path}{key}/", rule="keys are NFC")
        raw = key.encode(errors="surrogatepass")
        keys.append((len(raw), raw, key))
    _head(5, len(keys), out)
    for _, _, key in sorted(keys):
        _text(key, out, path)
        _encode(value[key], out, f"{path}{key}/", depth + 1)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _argument(data: bytes, at: int) -> tuple[int, int, int]:
    """(major type, argument, next offset)."""
    if at >= len(data):
        raise BlockNotCanonical(offset=at, rule="the value is complete")
    major, code = data[at] >> 5, data[at] & 31
    if code < 24:
        return major, code, at + 1
    for head, size in _HEADS:
        if code == head:
            raw = data[at + 1 : at + 1 + size]
            if len(raw) != size:
                raise BlockNotCanonical(offset=at, rule="the value is complete")
            argument = int.from_bytes(raw, "big")
            if argument < 24 or (size > 1 and argument < 1 << (4 * size)):
                raise BlockNotCanonical(offset=at, rule="integers and lengths are as short as they can be")
            return major, argument, at + 1 + size
    raise BlockNotCanonical(offset=at, rule="no indefinite lengths")


def _decode(data: bytes, at: int, depth: int) -> tuple[object, int]:
    if depth > DEPTH_LIMIT:
        raise BlockNotCanonical(offset=at, rule=f"at most {DEPTH_LIMIT} levels")
    start = at
    if at < len(data) and data[at] >> 5 == 7:
        simple = {0xF4: False, 0xF5: True, 0xF6: None}
        if data[at] not in simple:
            raise BlockNotCanonical(offset=at, rule="no floats, no undefined, no other simple value")
        return simple[data[at]], at + 1
    major, argument, at = _argument(data, at)
    if major in (0, 1):
        number = argument if major == 0 else -1 - argument
        if abs(number) > INTEGER_LIMIT:
            raise BlockNotCanonical(offset=start, rule="integers lie within ±(2**63 - 1)")
        return number, at
    if major == 2:
        return _slice(data, at, argument), at + argument
    if major == 3:
        return _read_text(data, at, argument), at + argument
    if major == 4:
        items: list[object] = []
        for _ in range(argument):
            item, at = _decode(data, at, depth + 1)
            items.append(item)
        return items, at
    if major == 5:
        return _read_map(data, at, argument, depth)
    return _link(data, start, argument, at)


def _slice(data: bytes, at: int, length: int) -> bytes:
    if length > len(data) - at:
        raise BlockNotCanonical(offset=at, rule="the value is complete")
    return data[at : at + length]


def _read_text(data: bytes, at: int, length: int) -> str:
    try:
        text = _slice(data, at, length).decode()
    except UnicodeDecodeError:
        raise BlockNotCanonical(offset=at, rule="text is UTF-8") from None
    if not text.isascii() and unicodedata.normalize("NFC", text) != text:
        raise BlockNotCanonical(offset=at, rule="text is NFC")
    return text


def _read_map(data: bytes, at: int, count: int, depth: int) -> tuple[dict[str, object], int]:
    result: dict[str, object] = {}
    last: tuple[int, bytes] | None = None
    for _ in range(count):
        start = at
        major, length, at = _argument(data, at)
        if major != 3:
            raise BlockNotCanonical(offset=start, rule="keys are text")
        key = _read_text(data, at, length)
        order = (length, data[at : at + length])
        if last is not None and order <= last:
            raise BlockNotCanonical(offset=start, rule="keys are sorted by length, then bytes, each once")
        last = order
        result[key], at = _decode(data, at + length, depth + 1)
    return result, at


def _link(data: bytes, start: int, tag: int, at: int) -> tuple[Cid, int]:
    if tag != 42:
        raise BlockNotCanonical(offset=start, rule="no tag but 42")
    major, length, at = _argument(data, at)
    raw = _slice(data, at, length) if major == 2 else b""
    if raw[:2] != b"\x00\x01":
        raise BlockNotCanonical(offset=start, rule="a link is a byte string: 0, then a CIDv1")
    try:
        return Cid.from_bytes(raw[1:]), at + length
    except ContentError as error:
        raise BlockNotCanonical(offset=start, rule=f"a link is a known CID ({error})") from None
