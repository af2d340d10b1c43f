#!/usr/bin/env python3
"""Check a run of PRSM without PRSM: one file, Python 3.11 and its standard library.

    python3 -I verify.py run.car [--rpc URL] [--asker DID] [--escrow ADDRESS] [--json]

The file names who asked, what was answered, who worked and what was paid. Each check V1 to V14 prints `ok`, `FALSE`
(with the place) or `not checked` (with the reason, and what would allow it). Exit: 0 all ok · 1 something is false ·
4 nothing is false, something was not checked · 2 usage, or the file cannot be read. Nothing passes by default.

With `--rpc` the script asks an Ethereum node of your choice (eth_chainId, eth_call, eth_getTransactionReceipt and
eth_getLogs): payments, the anchored root and the proofs are then compared with the chain. Which contracts are asked
follows from the signed receipts: their job id hashes chain and escrow, and the escrow names the rest. `--escrow` and
`--asker` pin what you expect.

What no script can know: whether the escrow at that address is the one you trust (compare it with a published
deployment), and whether an operator's identity is somebody you trust. `cryptography`, where installed, only makes
signatures faster.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import comb, isqrt
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature as _InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as _OpenSSLKey

    HAS_OPENSSL = True
except ImportError:
    HAS_OPENSSL = False

FILE_LIMIT = 256 * 1024 * 1024
BLOCK_LIMIT = 1 << 20  # a structure; a raw payload may have twice as much
SECTION_LIMIT = 2 * 1024 * 1024 + 64
BLOCKS_LIMIT = 1_000_000
DEPTH_LIMIT = 32
WORK_LIMIT = 2_000_000_000
"""Multiplications that recomputing may cost (about ten minutes); beyond, a hostile file would only waste time."""

RAW, DAG_CBOR = 0x55, 0x71


class Unreadable(Exception):
    """The file is no run's record: exit 2."""


class NotCanonical(Exception):
    """A block is not in its one form."""


class Unreachable(Exception):
    """The node of `--rpc` did not answer: the check is not checked, never false."""


class Refused(Exception):
    """The chain itself says no: a call reverts, or no such contract answers. Then the file is false."""


# ── content ids, DAG-CBOR, CAR ───────────────────────────────────────────────────────────────────────────────────────


class Link(bytes):
    """A CID in its 36 bytes: version 1, codec, SHA-256."""

    @property
    def text(self) -> str:
        import base64

        return "b" + base64.b32encode(self).decode().rstrip("=").lower()

    @property
    def digest(self) -> bytes:
        return bytes(self[4:])


def link_of(data: bytes, codec: int = DAG_CBOR) -> Link:
    return Link(bytes((1, codec, 0x12, 0x20)) + hashlib.sha256(data).digest())


def as_link(raw: bytes) -> Link:
    if len(raw) != 36 or raw[0] != 1 or raw[1] not in (RAW, 0x70, DAG_CBOR) or raw[2:4] != b"\x12\x20":
        raise NotCanonical("a link is no CIDv1 with SHA-256 and codec raw, dag-pb or dag-cbor")
    return Link(raw)


def cbor(value: Any) -> bytes:
    """The one encoding of a value."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, Link):
        return b"\xd8\x2a\x58\x25\x00" + value
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, list | tuple):
        return _head(4, len(value)) + b"".join(map(cbor, value))
    keys = sorted((len(raw), raw, key) for key in value for raw in (key.encode(),))
    return _head(5, len(keys)) + b"".join(cbor(key) + cbor(value[key]) for _, _, key in keys)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes((major << 5 | code,)) + argument.to_bytes(size, "big")
    raise NotCanonical("a number is beyond 64 bits")


def parse(data: bytes) -> Any:
    """The value of a block; refuses every other way of writing it."""
    if len(data) > BLOCK_LIMIT:
        raise NotCanonical(f"{len(data)} bytes, the limit is {BLOCK_LIMIT}")
    value, end = _parse(data, 0, 0)
    if end != len(data):
        raise NotCanonical(f"byte {end}: something follows the value")
    return value


def _argument(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise NotCanonical(f"byte {at}: the value is cut off")
    major, code = data[at] >> 5, data[at] & 31
    if code < 24:
        return major, code, at + 1
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(code)
    if size is None or at + 1 + size > len(data):
        raise NotCanonical(f"byte {at}: a length is indefinite or cut off")
    argument = int.from_bytes(data[at + 1 : at + 1 + size], "big")
    if argument < (24 if size == 1 else 1 << (4 * size)):
        raise NotCanonical(f"byte {at}: a number is not written as short as it can be")
    return major, argument, at + 1 + size


def _parse(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEPTH_LIMIT:
        raise NotCanonical(f"byte {at}: deeper than {DEPTH_LIMIT} levels")
    if at < len(data) and data[at] >> 5 == 7:
        if data[at] not in (0xF4, 0xF5, 0xF6):
            raise NotCanonical(f"byte {at}: a float or another simple value")
        return {0xF4: False, 0xF5: True, 0xF6: None}[data[at]], at + 1
    major, argument, after = _argument(data, at)
    if major <= 1:
        number = argument if major == 0 else -1 - argument
        if abs(number) >= 1 << 63:
            raise NotCanonical(f"byte {at}: a number beyond ±(2**63 - 1)")
        return number, after
    if major in (2, 3):
        raw = data[after : after + argument]
        if len(raw) != argument:
            raise NotCanonical(f"byte {at}: cut off")
        return (raw if major == 2 else _text(raw, at)), after + argument
    if major == 4:
        items = []
        for _ in range(argument):
            item, after = _parse(data, after, depth + 1)
            items.append(item)
        return items, after
    if major == 5:
        result: dict[str, Any] = {}
        last: tuple[int, bytes] = (-1, b"")
        for _ in range(argument):
            start = after
            kind, length, after = _argument(data, after)
            raw = data[after : after + length]
            if kind != 3 or len(raw) != length or (length, raw) <= last:
                raise NotCanonical(f"byte {start}: keys are text, each once, sorted by length and bytes")
            last = (length, raw)
            result[_text(raw, start)], after = _parse(data, after + length, depth + 1)
        return result, after
    raw = data[after : after + 39]
    if argument != 42 or raw[:3] != b"\x58\x25\x00" or len(raw) != 39:
        raise NotCanonical(f"byte {at}: a tag that is no link")
    return as_link(raw[3:]), after + 39


def _text(raw: bytes, at: int) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise NotCanonical(f"byte {at}: text is not UTF-8") from None
    if not text.isascii() and unicodedata.normalize("NFC", text) != text:
        raise NotCanonical(f"byte {at}: text is not NFC")
    return text


def read_car(data: bytes) -> tuple[list[Link], list[tuple[Link, bytes]]]:
    """(roots, blocks in order) of a CARv1 file; nothing may be cut off or left over."""
    length, at = _varint(data, 0)
    try:
        header = parse(data[at : at + length])
    except NotCanonical as error:
        raise Unreadable(f"the header: {error}") from None
    if not isinstance(header, dict) or set(header) != {"roots", "version"} or header["version"] != 1:
        raise Unreadable("the header is not that of a CARv1 file")
    roots = header["roots"]
    if not isinstance(roots, list) or not all(isinstance(root, Link) for root in roots):
        raise Unreadable("the header's roots are not links")
    at += length
    blocks: list[tuple[Link, bytes]] = []
    while at < len(data):
        if len(blocks) >= BLOCKS_LIMIT:
            raise Unreadable(f"more than {BLOCKS_LIMIT} blocks")
        start = at
        length, at = _varint(data, at)
        if length > SECTION_LIMIT or length < 36 or at + length > len(data):
            raise Unreadable(f"byte {start}: a block of {length} bytes does not fit")
        try:
            cid = as_link(data[at : at + 36])
        except NotCanonical as error:
            raise Unreadable(f"byte {at}: {error}") from None
        blocks.append((cid, data[at + 36 : at + length]))
        at += length
    return roots, blocks


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            break
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            if byte == 0 and shift:
                break
            return number, at
    raise Unreadable(f"byte {at}: a length is cut off, too large or not in its shortest form")


# ── Ed25519 (RFC 8032), did:key ──────────────────────────────────────────────────────────────────────────────────────

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
Point = tuple[int, int, int, int]
_ONE: Point = (0, 1, 1, 0)


def _add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _decompress(raw: bytes) -> Point | None:
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE = _decompress((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


@lru_cache(maxsize=64)
def _table(point: Point) -> list[list[Point]]:
    """Multiples j · 16^i of a point: a scalar then costs 64 additions and no doubling."""
    rows = []
    for _ in range(64):
        row = [_ONE]
        for _ in range(15):
            row.append(_add(row[-1], point))
        rows.append(row)
        point = _add(row[15], point)
    return rows


def _times(scalar: int, point: Point) -> Point:
    total = _ONE
    for row in _table(point):
        if scalar & 15:
            total = _add(total, row[scalar & 15])
        scalar >>= 4
    return total


@lru_cache(maxsize=256)
def _usable_key(raw: bytes) -> Point | None:
    """The point of a public key; none where it is not canonical, not on the curve, or of small order."""
    point = _decompress(raw) if len(raw) == 32 else None
    if point is None:
        return None
    eight = point
    for _ in range(3):
        eight = _add(eight, eight)
    return None if eight[0] == 0 and eight[1] == eight[2] else point


def ed25519(public_key: bytes, signature: bytes, message: bytes, openssl: bool = True) -> bool:
    """Is this a signature of the key over the message? Refuses S ≥ L and keys of small order."""
    point = _usable_key(public_key)
    if point is None or len(signature) != 64 or int.from_bytes(signature[32:], "little") >= _L:
        return False
    if HAS_OPENSSL and openssl:
        try:
            _OpenSSLKey.from_public_bytes(public_key).verify(signature, message)
        except (_InvalidSignature, ValueError):
            return False
        return True
    h = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % _L
    assert _BASE is not None
    minus = (_P - point[0], point[1], 1, _P - point[3])
    x, y, z, _ = _add(_times(int.from_bytes(signature[32:], "little"), _BASE), _times(h, minus))
    z = pow(z, -1, _P)
    return (y * z % _P | (x * z % _P & 1) << 255).to_bytes(32, "little") == signature[:32]


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@lru_cache(maxsize=256)
def key_of_did(did: str) -> bytes | None:
    """The Ed25519 key of a did:key, none for any other text."""
    body = did.removeprefix("did:key:z")
    if body == did or not 40 <= len(body) <= 60 or any(character not in _BASE58 for character in body):
        return None
    number = 0
    for character in body:
        number = number * 58 + _BASE58.index(character)
    if number.bit_length() > 272:
        return None
    raw = number.to_bytes(34, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return raw[2:] if raw[:2] == b"\xed\x01" and text == body else None


def is_signed(did: Any, domain: str, message: bytes, signature: Any) -> bool:
    key = key_of_did(did) if isinstance(did, str) else None
    if key is None or not isinstance(signature, bytes):
        return False
    signed = b"prsm/" + domain.encode() + b"\0" + len(message).to_bytes(8, "big") + message
    return ed25519(key, signature, signed)


# ── keccak, EIP-712, secp256k1, Poseidon ─────────────────────────────────────────────────────────────────────────────

_MASK = (1 << 64) - 1


def _keccak_tables() -> tuple[list[int], list[tuple[int, int, int]]]:
    constants, state = [], 1
    for _ in range(24):
        value = 0
        for j in range(7):
            if state & 1:
                value |= 1 << ((1 << j) - 1)
            state = state << 1 ^ (0x171 if state & 0x80 else 0)
        constants.append(value)
    moves, x, y = [], 1, 0
    for t in range(24):
        moves.append((x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5), (t + 1) * (t + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return constants, moves


_ROUNDS, _MOVES = _keccak_tables()


@lru_cache(maxsize=4096)
def keccak(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it."""
    padded = bytearray(data + b"\x01" + bytes(135 - len(data) % 136))
    padded[-1] |= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), 136):
        for i in range(17):
            lanes[i] ^= int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little")
        for constant in _ROUNDS:
            c = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
            d = [c[(x - 1) % 5] ^ ((c[(x + 1) % 5] << 1 | c[(x + 1) % 5] >> 63) & _MASK) for x in range(5)]
            lanes = [lane ^ d[i % 5] for i, lane in enumerate(lanes)]
            moved = list(lanes)
            for source, target, turn in _MOVES:
                lane = lanes[source]
                moved[target] = (lane << turn | lane >> (64 - turn)) & _MASK if turn else lane
            lanes = [moved[i] ^ (~moved[i - i % 5 + (i + 1) % 5] & moved[i - i % 5 + (i + 2) % 5]) for i in range(25)]
            lanes[0] ^= constant
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def word(value: Any) -> bytes:
    """A value in 32 bytes, as the ABI writes numbers, addresses and hashes."""
    if isinstance(value, bytes):
        if len(value) not in (20, 32):
            raise ValueError(f"{len(value)} bytes where an address or a word is expected")
        return value.rjust(32, b"\0")
    return int(value).to_bytes(32, "big")


def struct_hash(signature: str, values: Iterable[Any]) -> bytes:
    """EIP-712's hash of a flat struct; a list stands for bytes32[]."""
    parts = [keccak(b"".join(map(word, v))) if isinstance(v, list) else word(v) for v in values]
    return keccak(keccak(signature.encode()) + b"".join(parts))


def typed_digest(name: str, chain_id: int, contract: bytes, hashed: bytes) -> bytes:
    domain = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    separator = struct_hash(domain, (keccak(name.encode()), keccak(b"1"), chain_id, contract))
    return keccak(b"\x19\x01" + separator + hashed)


ASSIGNMENT = (
    "Assignment(bytes32 jobId,address operator,address payee,bytes32[] records,bytes32 circuitId,bytes32 inputHash,"
    "bytes32 spec,uint96 price,uint96 atRisk,uint8 tier,uint8 verdictClass,uint32 deliverWithin,uint32 window,"
    "uint16 startedBps,uint40 quoteUntil,uint256 salt)"
)
ASSIGNMENT_FIELDS = (
    "job_id", "operator", "payee", "records", "circuit_id", "input_hash", "spec", "price", "at_risk", "tier",
    "verdict_class", "deliver_within", "window", "started_bps", "quote_until", "salt",
)  # fmt: skip
CONTEXT = "Context(uint256 chainId,address hub,bytes32 request,bytes32 circuitId,address operator)"
VOUCHER = "Voucher(bytes32 channelId,uint64 sequence,uint96 cumulative,bytes32 usageRoot)"

_SP = 2**256 - 2**32 - 977
_SN = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_SG = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def _secp_add(p: tuple[int, int] | None, q: tuple[int, int] | None) -> tuple[int, int] | None:
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % _SP == 0:
        return None
    rise, run = (3 * p[0] * p[0], 2 * p[1]) if p == q else (q[1] - p[1], q[0] - p[0])
    slope = rise * pow(run, -1, _SP)
    x = (slope * slope - p[0] - q[0]) % _SP
    return x, (slope * (p[0] - x) - p[1]) % _SP


def _secp_times(scalar: int, point: tuple[int, int]) -> tuple[int, int] | None:
    total: tuple[int, int] | None = None
    step: tuple[int, int] | None = point
    while scalar:
        if scalar & 1:
            total = _secp_add(total, step)
        step = _secp_add(step, step)
        scalar >>= 1
    return total


def recover(digest: bytes, signature: bytes) -> bytes | None:
    """The address that signed, none where the signature is malformed (65 bytes r ‖ s ‖ v, low s)."""
    if len(signature) != 65:
        return None
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64] % 27
    if not 0 < r < _SN or not 0 < s <= _SN // 2 or v not in (0, 1):
        return None
    square = (r * r * r + 7) % _SP
    y = pow(square, (_SP + 1) // 4, _SP)
    if y * y % _SP != square:
        return None
    point = (r, y if y & 1 == v else _SP - y)
    inverse = pow(r, -1, _SN)
    z = int.from_bytes(digest, "big")
    key = _secp_add(_secp_times(-z * inverse % _SN, _SG), _secp_times(s * inverse % _SN, point))
    return None if key is None else keccak(key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big"))[12:]


FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617


@lru_cache(maxsize=1)
def _poseidon() -> tuple[list[int], list[list[int]]]:
    """Constants of Poseidon with width 2, 8 full and 56 partial rounds, from the paper's Grain LFSR."""
    register = [int(bit) for bit in f"{1:02b}{0:04b}{254:012b}{2:012b}{8:010b}{56:010b}" + "1" * 30]

    def step() -> int:
        bit = register[62] ^ register[51] ^ register[38] ^ register[23] ^ register[13] ^ register[0]
        del register[0]
        register.append(bit)
        return bit

    def take() -> int:
        number, count = 0, 0
        while count < 254:
            keep, bit = step(), step()
            if keep:
                number, count = number * 2 + bit, count + 1
        return number

    for _ in range(160):
        step()
    constants: list[int] = []
    while len(constants) < 128:
        number = take()
        if number < FIELD:
            constants.append(number)
    points: list[int] = []
    while len(set(points)) != 4:
        points = [take() % FIELD for _ in range(4)]
    return constants, [[pow(points[row] + points[2 + column], -1, FIELD) for column in range(2)] for row in range(2)]


def circuit_hash(words: Iterable[int]) -> int:
    """What a circuit takes of a hidden input: rate one, capacity 2**64, no padding."""
    constants, ((m00, m01), (m10, m11)) = _poseidon()
    a, b = 0, 1 << 64
    for number in words:
        a = (a + number) % FIELD
        for turn in range(64):
            a = pow(a + constants[2 * turn], 5, FIELD)
            b = b + constants[2 * turn + 1]
            if not 4 <= turn < 60:
                b = pow(b, 5, FIELD)
            a, b = (m00 * a + m01 * b) % FIELD, (m10 * a + m11 * b) % FIELD
    return a


def signed(field_word: int) -> int:
    """The number that a field word stands for."""
    number = field_word if field_word < FIELD // 2 else field_word - FIELD
    if not 0 <= field_word < FIELD or abs(number) >= 1 << 127:
        raise ValueError(f"{field_word} is no word of a circuit")
    return number


# ── the model as integers, attributions, statistics, calculations ────────────────────────────────────────────────────


def cell_number(cell: str) -> Decimal | None:
    try:
        value = Decimal(cell.strip())
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < 60 else None


def fold(name: str) -> str:
    """Names as they are compared: lower case, letters, digits and single spaces; units in brackets left out."""
    import re

    bare = re.sub(r"[(\[][^)\]]*[)\]]", " ", name) if not name.strip().startswith(("(", "[")) else name
    return " ".join(re.findall(r"[^\W_]+", bare.casefold()))


def row_words(table: Any, row: int, listing: Any) -> list[int] | None:
    """The integer words of a table's row for a listing; none where a cell is no number or a column is missing."""
    columns = {fold(name): index for index, name in enumerate(table["columns"])}
    words, bits = [], listing["bits"]
    for feature in listing["features"]:
        names = (feature["name"], *feature["aliases"])
        found = next((columns[name] for name in map(fold, names) if name in columns), None)
        value = None if found is None else cell_number(table["rows"][row][found])
        if value is None:
            return None
        scaled = (Fraction(value) - Fraction(feature["mean"])) / Fraction(feature["spread"]) * (1 << bits)
        limit = 16 << bits
        words.append(max(-limit, min(limit, round(scaled))))
    return words


Layers = list[tuple[list[list[int]], list[int], bool]]


def layers_of(weights: Any) -> tuple[Layers, int]:
    """(layers, bits) of a weights block; its shapes are checked."""
    bits, layers = weights["bits"], []
    if weights["kind"] != "integer_layers" or not 1 <= bits <= 30 or not 1 <= len(weights["layers"]) <= 16:
        raise ValueError("the weights are no network of integer layers")
    width = len(weights["layers"][0]["w"][0])
    for layer in weights["layers"]:
        if any(len(row) != width for row in layer["w"]) or len(layer["w"]) != len(layer["b"]):
            raise ValueError("the shapes of two layers do not fit")
        width = len(layer["b"])
        layers.append((layer["w"], layer["b"], layer["relu"] is True))
    return layers, bits


def accumulate(layer: tuple[list[list[int]], list[int], bool], words: Sequence[int]) -> list[int]:
    pairs = zip(layer[0], layer[1], strict=True)
    return [bias + sum([w * x for w, x in zip(row, words, strict=True)]) for row, bias in pairs]


def settle(layer: tuple[list[list[int]], list[int], bool], sums: Sequence[int], bits: int) -> list[int]:
    half = 1 << (bits - 1)
    return [((s if s > 0 else 0) + half) >> bits for s in sums] if layer[2] else [(s + half) >> bits for s in sums]


def run_layers(layers: Layers, bits: int, words: Sequence[int]) -> list[int]:
    for layer in layers:
        words = settle(layer, accumulate(layer, words), bits)
    return list(words)


class CounterStream:
    """Numbers from SHA-256(purpose ‖ 0 ‖ key ‖ numbers ‖ counter), 32 bits at a time."""

    def __init__(self, purpose: bytes, key: bytes, *numbers: int) -> None:
        self._prefix = purpose + b"\0" + key + b"".join(number.to_bytes(8, "big") for number in numbers)
        self._words: list[int] = []
        self._counter, self._at = 0, 0

    def below(self, bound: int) -> int:
        limit = 2**32 - 2**32 % bound
        while True:
            if self._at == len(self._words):
                block = hashlib.sha256(self._prefix + self._counter.to_bytes(8, "big")).digest()
                self._words = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 32, 4)]
                self._counter, self._at = self._counter + 1, 0
            number = self._words[self._at]
            self._at += 1
            if number < limit:
                return number % bound


def permutation_sums(
    layers: Layers, bits: int, words: Sequence[int], base: Sequence[int], seed: bytes, row: int, output: int, count: int
) -> tuple[list[int], list[int], int, int]:
    """(attributions, standard errors, f(x), f(baseline)): sums of marginals over `count` seeded orders of the features.

    The first layer's sums are updated by one column a step, so a step costs hidden units, not all weights.
    """
    first, rest = layers[0], layers[1:]
    columns = [[w[i] * (x - b) for w in first[0]] for i, (x, b) in enumerate(zip(words, base, strict=True))]
    start = accumulate(first, base)

    def score(sums: list[int]) -> int:
        values = settle(first, sums, bits)
        for layer in rest[:-1]:
            values = settle(layer, accumulate(layer, values), bits)
        if not rest:
            return values[output]
        last = rest[-1]
        total = last[1][output] + sum([w * x for w, x in zip(last[0][output], values, strict=True)])
        return settle(last, [total], bits)[0]

    fb = score(start)
    totals, squares = [0] * len(words), [0] * len(words)
    for number in range(count):
        stream = CounterStream(b"prsm/attribution", seed, row, number)
        order = list(range(len(words)))
        for last in range(len(order) - 1, 0, -1):
            other = stream.below(last + 1)
            order[last], order[other] = order[other], order[last]
        sums, before = start, fb
        for feature in order:
            column = columns[feature]
            sums = [s + c for s, c in zip(sums, column, strict=True)]
            after = score(sums)
            change = after - before
            totals[feature] += change
            squares[feature] += change * change
            before = after
    fx = score(accumulate(first, words))
    whole = count * count * (count - 1)
    errors = [isqrt((count * s2 - s * s) // whole) for s, s2 in zip(totals, squares, strict=True)] if count > 1 else []
    return totals, errors or [0] * len(words), fx, fb


def per_million(part: int, whole: int) -> int:
    return (2 * part * 1_000_000 + whole) // (2 * whole)


def mcnemar_ppm(only_first: int, only_second: int) -> int:
    """Two-sided exact p in millionths."""
    unequal = only_first + only_second
    tail = sum(comb(unequal, count) for count in range(min(only_first, only_second) + 1))
    return per_million(min(2 * tail, 2**unequal), 2**unequal)


def bootstrap_ppm(differences: Sequence[int], table: bytes, draws: int) -> tuple[int, int]:
    """95 % interval, in millionths, of the mean of paired differences."""
    count, sums = len(differences), []
    for draw in range(draws):
        stream = CounterStream(b"prsm/bootstrap", table, draw)
        sums.append(sum(differences[stream.below(count)] for _ in range(count)))
    sums.sort()
    return per_million(sums[draws // 40], count), per_million(sums[draws - 1 - draws // 40], count)


PRECISION, DIGITS, EXPONENT = 50, 10_000, 10_000


def _decimal(value: Fraction, digits: int) -> Decimal:
    context = Context(prec=digits, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)
    return context.divide(Decimal(value.numerator), Decimal(value.denominator))


def _root(value: Fraction) -> Fraction:
    context = Context(prec=PRECISION + 10, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999)
    return Fraction(context.sqrt(_decimal(value, PRECISION + 10)))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator == 2:
        return _power(_root(base), Fraction(exponent.numerator))
    size = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent)
    if exponent.denominator != 1 or abs(exponent) > EXPONENT or size > DIGITS * 10 // 3:
        raise ValueError("a power is neither whole nor half, or too large")
    return base ** int(exponent)


def _median(values: list[Fraction]) -> Fraction:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _deviation(values: list[Fraction]) -> Fraction:
    mean = sum(values, Fraction(0)) / len(values)
    return _root(sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - 1))


_OPERATIONS: dict[str, Callable[[list[Fraction]], Fraction]] = {
    "add": lambda a: a[0] + a[1],
    "sub": lambda a: a[0] - a[1],
    "mul": lambda a: a[0] * a[1],
    "div": lambda a: a[0] / a[1],
    "pow": lambda a: _power(a[0], a[1]),
    "neg": lambda a: -a[0],
    "sqrt": lambda a: _root(a[0]),
    "sum": lambda a: sum(a, Fraction(0)),
    "mean": lambda a: sum(a, Fraction(0)) / len(a),
    "median": _median,
    "deviation": _deviation,
    "min": min,
    "max": max,
    "count": lambda a: Fraction(len(a)),
}


def evaluate(tree: Any) -> Fraction:
    """The value of a calculation's tree: exact, except below roots (50 digits and ten more)."""
    if isinstance(tree, str):
        import re

        if len(tree) > DIGITS or re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", tree) is None:
            raise ValueError(f"{tree[:40]!r} is no number")
        return Fraction(tree)
    result = _OPERATIONS[tree[0]]([evaluate(argument) for argument in tree[1:]])
    if max(result.numerator.bit_length(), result.denominator.bit_length()) > DIGITS * 10 // 3:
        raise ValueError(f"a result exceeds {DIGITS} digits")
    return result


def shown(value: Fraction) -> str:
    """A value as text: exact if it ends within 50 decimals, else 50 significant digits."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    scale = next((n for n in range(PRECISION + 1) if (value * 10**n).denominator == 1), None) if rest == 1 else None
    if scale is not None:
        digits = str(abs(value.numerator * 10**scale // value.denominator)).rjust(scale + 1, "0")
        text = digits if scale == 0 else f"{digits[:-scale]}.{digits[-scale:]}"
        return "-" + text if value < 0 else text
    text = format(_decimal(value, PRECISION), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


# ── the chain ────────────────────────────────────────────────────────────────────────────────────────────────────────

EVENT_TYPES = {
    "EscrowOpened": "bytes32 indexed,address indexed,address indexed,uint96,(address,address,bytes32,uint32,uint256)",
    "EscrowToppedUp": "bytes32 indexed,address indexed,uint96",
    "TaskAssigned": "bytes32 indexed,bytes32 indexed,address indexed,"
    "(bytes32,address,address,bytes32[],bytes32,bytes32,bytes32,uint96,uint96,uint8,uint8,uint32,uint32,uint16,uint40,uint256)",
    "TaskDelivered": "bytes32 indexed",
    "TaskPaid": "bytes32 indexed,address indexed,uint96,uint96,uint96",
    "EscrowClosed": "bytes32 indexed,uint96",
    "RoyaltyAccrued": "bytes32 indexed,uint96",
    "DigestAnchored": "bytes32 indexed,bytes32 indexed,address indexed,uint8,uint64",
    "VoucherSettled": "bytes32 indexed,address indexed,address indexed,uint96,uint96,uint64,bytes32",
}
CALLS = (
    "hub()",
    "royalties()",
    "provenance()",
    "router()",
    "jobOf(bytes32)",
    "taskOf(bytes32)",
    "circuitOf(bytes32)",
    "verifyProof(bytes,uint256[])",
)
TASK_REFUNDED, TASK_PAID, TASK_SPLIT = 4, 3, 5
ANCHOR_TRACE = 0


def topic(event: str) -> bytes:
    return keccak(f"{event}({EVENT_TYPES[event].replace(' indexed', '')})".encode())


def selector(call: str) -> bytes:
    return keccak(call.encode())[:4]


class Chain:
    """An Ethereum node behind JSON-RPC; every trouble with it is `Unreachable`."""

    def __init__(self, url: str) -> None:
        import urllib.request
        from urllib.parse import urlparse

        if urlparse(url).scheme not in ("http", "https"):
            raise Unreadable(f"--rpc {url}: only http and https are spoken")
        local = urlparse(url).hostname in ("127.0.0.1", "localhost", "::1")
        proxies = urllib.request.ProxyHandler({}) if local else urllib.request.ProxyHandler()
        self._opener = urllib.request.build_opener(proxies)
        self._url = url
        self._receipts: dict[bytes, Any] = {}

    def ask(self, method: str, *params: Any) -> Any:
        import urllib.request

        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=20) as reply:
                answer = json.loads(reply.read(16 * 1024 * 1024))
            if "error" in answer:
                reason = str(answer["error"])[:200]
                raise Refused(reason) if "revert" in reason.lower() else Unreachable(f"{method}: {reason}")
            return answer["result"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"{method}: {error}") from None

    def call(self, contract: bytes, signature: str, data: bytes = b"", least: int = 1) -> list[int]:
        """The words that a view function answers, at least so many."""
        call = {"to": "0x" + contract.hex(), "data": "0x" + (selector(signature) + data).hex()}
        found = words_of(unhex(self.ask("eth_call", call, "latest")))
        if len(found) < least:
            raise Refused(f"no contract at 0x{contract.hex()} answers {signature}")
        return found

    def receipt(self, transaction: bytes) -> Any:
        if transaction not in self._receipts:
            self._receipts[transaction] = self.ask("eth_getTransactionReceipt", "0x" + transaction.hex())
        return self._receipts[transaction]

    def events(self, transaction: bytes, contract: bytes, event: str) -> list[tuple[list[bytes], list[int]]]:
        """(topics after the first, words) of the contract's events in a transaction that succeeded."""
        receipt = self.receipt(transaction)
        try:
            if receipt is None or int(receipt["status"], 16) != 1:
                return []
            return [found for log in receipt["logs"] for found in read_log(log, contract, event)]
        except (KeyError, TypeError, ValueError) as error:
            raise Unreachable(f"a receipt is malformed ({error})") from None


def words_of(raw: bytes) -> list[int]:
    return [int.from_bytes(raw[at : at + 32], "big") for at in range(0, len(raw) - 31, 32)]


def unhex(text: str) -> bytes:
    if not isinstance(text, str) or not text.startswith("0x"):
        raise Unreachable(f"the node answers {str(text)[:80]!r} where hexadecimal is due")
    return bytes.fromhex(text[2:])


def read_log(log: Any, contract: bytes, event: str) -> Iterator[tuple[list[bytes], list[int]]]:
    topics = [unhex(entry) for entry in log["topics"]]
    if unhex(log["address"]) == contract and topics and topics[0] == topic(event):
        yield topics[1:], words_of(unhex(log["data"]))


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────

OK, FALSE, OPEN = "ok", "FALSE", "not checked"
TITLES = {
    "V1": "content: every block hashes to its id",
    "V2": "form: every block is in its one encoding",
    "V3": "order: events follow one another without a gap",
    "V4": "signatures: asker, run key, operators, owners, vouchers",
    "V5": "root: the head's Merkle root and count are those of the events",
    "V6": "links: every link resolves, every block is reached",
    "V7": "openings: every payload shown is the one that was sealed",
    "V8": "termination: graph, ranks and caps; every task ends once",
    "V9": "acceptance: checks fixed beforehand hold",
    "V10": "money: what was charged, spent, returned and locked adds up",
    "V11": "chain: escrow, royalties and anchor are as recorded",
    "V12": "proofs: rows and labels are the words that were proved",
    "V13": "answer: claims are cited, quotes stand in their documents",
    "V14": "recomputation: predictions, attributions, statistics, arithmetic",
}


class Check:
    """One check's outcome: what was counted, what is false, what is open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counted: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.open: list[str] = []

    def require(self, holds: bool, problem: str, where: Any = None) -> bool:
        """Note a falsehood with its place; True where it holds."""
        if not holds and len(self.wrong) < 20:
            self.wrong.append(problem + (f" ({name_of(where)})" if where is not None else ""))
        return holds

    def leave(self, reason: str) -> None:
        if reason not in self.open and len(self.open) < 20:
            self.open.append(reason)

    def count(self, what: str, number: int = 1) -> None:
        self.counted[what] += number

    @property
    def status(self) -> str:
        return FALSE if self.wrong else OPEN if self.open else OK

    @property
    def detail(self) -> str:
        return ", ".join(f"{number} {what}" for what, number in self.counted.items())


def name_of(where: Any) -> str:
    if isinstance(where, Link):
        return where.text
    return where.hex() if isinstance(where, bytes) else str(where)


def is_seal(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"digest", "size_class"}


NAMED = {
    "listing": {"model", "circuits", "trained_on", "evaluations"},
    "receipt": {"proof", "public_values"},
    "attempt": {"model"},
    "task_evidence": {"manifest"},
}
"""Links that are names only: no check reads their blocks, and the file need not hold them."""


def references(value: Any, kind: str = "") -> Iterator[Any]:
    """Links and seals in a block that the file must hold or withhold."""
    if isinstance(value, Link) or is_seal(value):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry, kind)
    elif isinstance(value, dict):
        kind = kind or str(value.get("kind", ""))
        for key, entry in value.items():
            if key not in NAMED.get(kind, ()):
                yield from references(entry, kind)
            elif kind == "attempt" and isinstance(entry, dict) and isinstance(entry.get("listing"), Link):
                yield entry["listing"]


class Run:
    """The file, decoded; lookups that several checks share."""

    def __init__(self, data: bytes) -> None:
        self.roots, self.sections = read_car(data)
        self.data: dict[Link, bytes] = {}
        self.values: dict[Link, Any] = {}
        self.broken: dict[Link, str] = {}
        for cid, block in self.sections:
            if cid in self.data:
                continue
            self.data[cid] = block
            if cid[1] == DAG_CBOR:
                try:
                    self.values[cid] = parse(block)
                except NotCanonical as error:
                    self.broken[cid] = str(error)
        if not 2 <= len(self.roots) <= 3 or any(root not in self.data for root in self.roots):
            raise Unreadable("the roots are not a head, openings and evidence that the file holds")
        for root, kind in zip(self.roots, ("run_head", "openings", "evidence"), strict=False):
            if self.kind(root) != kind:
                raise Unreadable(f"root {root.text} is no {kind}")
        self.head: Any = self.values[self.roots[0]]
        self.evidence: Any = self.values[self.roots[2]] if len(self.roots) == 3 else None
        self.channels: Any = self.evidence["channels"] if self.evidence is not None else []
        self.given: dict[bytes, Any] = {o["digest"]: o for o in self.values[self.roots[1]]["openings"]}
        self.withheld = set(self.values[self.roots[1]]["withheld"])
        self.heads = self._heads()
        self.events = self._events()
        ended = [event["body"]["subject"] for _, event in self.named("attempt_ended")]
        self.attempts = [(cid, self.values[cid]) for cid in ended if self.kind(cid) == "attempt"]

    def value(self, cid: Any) -> Any:
        """The decoded block, None where it is not in the file or not readable."""
        return self.values.get(cid)

    def kind(self, cid: Any) -> str:
        value = self.values.get(cid) if isinstance(cid, Link) else None
        return str(value.get("kind", "")) if isinstance(value, dict) else ""

    def _heads(self) -> list[tuple[Link, Any]]:
        """Newest first."""
        heads: list[tuple[Link, Any]] = []
        cid: Any = self.roots[0]
        while self.kind(cid) == "run_head" and len(heads) < 1000:
            heads.append((cid, self.values[cid]))
            cid = self.values[cid]["previous"]
        return heads

    def _events(self) -> list[tuple[Link, Any]]:
        """From first to last, as the newest head's `last` and each `prev` tell."""
        events: list[tuple[Link, Any]] = []
        cid, seen = self.head["last"], set()
        while self.kind(cid) == "event" and cid not in seen:
            seen.add(cid)
            events.append((cid, self.values[cid]))
            cid = self.values[cid]["body"]["prev"]
        return events[::-1]

    def named(self, event: str) -> list[tuple[Link, Any]]:
        return [(cid, block) for cid, block in self.events if block["body"]["event"] == event]

    def opened(self, ref: Any) -> Any:
        """The payload behind a link, a seal, or a digest of either; None where it is withheld or no map."""
        if isinstance(ref, Link):
            return self.values.get(ref)
        digest = ref["digest"] if is_seal(ref) else ref
        opening = self.given.get(digest)
        if opening is not None:
            return self.values.get(opening["cid"])
        plain = link_of(b"")[:4] + digest if isinstance(digest, bytes) else b""
        return self.values.get(Link(plain))

    def accepted(self) -> Iterator[tuple[Link, Any, Any]]:
        """(cid, attempt, its output or None) of what was accepted."""
        for cid, attempt in self.attempts:
            if attempt["outcome"] == "accepted":
                yield cid, attempt, self.opened(attempt["output"])

    def listing(self, cid: Any) -> Any:
        return self.values[cid] if self.kind(cid) == "listing" else None

    def receipts(self) -> dict[Link, Any]:
        """Receipts that attempts name, in order."""
        named = [cid for _, attempt in self.attempts for cid in attempt["receipts"]]
        return {cid: self.values[cid] for cid in named if self.kind(cid) == "receipt"}

    def table(self, digest: Any) -> Any:
        value = self.opened(digest)
        return value if isinstance(value, dict) and value.get("kind") == "table" else None

    def document(self, reference: Any) -> Any:
        """A document's payload by its seal, its link, or the SHA-256 of the file it was read from."""
        found = self.opened(reference)
        for value in self.values.values() if found is None else ():
            if isinstance(value, dict) and value.get("kind") == "document" and value.get("sha256") == reference:
                return value
        return found

    def proven(self) -> dict[Link, Any]:
        """Evidence of tasks by receipt."""
        links = self.evidence["tasks"] if self.evidence is not None else []
        tasks = [self.values[link] for link in links if self.kind(link) == "task_evidence"]
        return {task["receipt"]: task for task in tasks}


# ── V1 to V7: the record ─────────────────────────────────────────────────────────────────────────────────────────────


def check_content(run: Run, check: Check) -> None:
    for cid, block in run.sections:
        check.require(hashlib.sha256(block).digest() == cid.digest, "a block was altered", cid)
    check.count("blocks", len(run.sections))


def check_form(run: Run, check: Check) -> None:
    for cid, reason in run.broken.items():
        check.require(False, f"a block is not in its one form: {reason}", cid)
    for cid, value in run.values.items():
        check.require(cbor(value) == run.data[cid], "a block is not what its value encodes to", cid)
        known = isinstance(value, dict) and value.get("v") == 1 and isinstance(value.get("kind"), str)
        check.require(known, "a block has no version 1 or no kind", cid)
    for cid, number in Counter(cid for cid, _ in run.sections).items():
        check.require(number == 1, "a block stands in the file twice", cid)
    check.count("structures", len(run.values))


def check_order(run: Run, check: Check) -> None:
    first = run.events[0][1]["body"] if run.events else None
    check.require(first is None or first["prev"] is None, "the chain of events breaks before its beginning")
    check.require(first is not None or run.head["last"] is None, "the last event is not in the file", run.head["last"])
    wall = 0
    for number, (cid, event) in enumerate(run.events):
        body = event["body"]
        check.require(body["seq"] == number, f"event {number} calls itself {body['seq']}", cid)
        check.require(body["run"] == run.head["run"], "an event belongs to another run", cid)
        check.require(body["wall_us"] >= 0 and body["mono_us"] >= 0, "an event has no time", cid)
        wall = max(wall, body["wall_us"])
    check.count("events", len(run.events))


def unsigned(block: Any) -> bytes:
    """The CID bytes of a block without its signature."""
    return bytes(link_of(cbor({key: value for key, value in block.items() if key != "signature"})))


def check_signatures(run: Run, check: Check, asker: str | None) -> None:
    for cid, head in run.heads:
        check.require(is_signed(head["asker"], "head", unsigned(head), head["signature"]), "a head is not signed", cid)
        check.require(head["asker"] == run.heads[0][1]["asker"], "two heads have two askers", cid)
        check.count("heads")
    if asker is not None:
        check.require(run.head["asker"] == asker, f"the asker is {run.head['asker']}, not {asker}")
    writer, until = run.head["asker"], None
    if run.head["delegation"] is not None:
        delegation = run.value(run.head["delegation"])
        if not check.require(run.kind(run.head["delegation"]) == "delegation", "the run key's delegation is missing"):
            return
        good = is_signed(delegation["asker"], "delegation", unsigned(delegation), delegation["signature"])
        check.require(good, "the delegation is not signed", run.head["delegation"])
        same = delegation["asker"] == run.head["asker"] and delegation["run"] == run.head["run"]
        check.require(same, "the delegation is another asker's or another run's", run.head["delegation"])
        writer, until = delegation["key"], delegation["not_after_us"]
    for cid, event in run.events:
        body = event["body"]
        check.require(body["actor"] in (writer, run.head["asker"]), "an event is by a key without delegation", cid)
        check.require(until is None or body["wall_us"] <= until, "an event is later than its key was allowed", cid)
        good = is_signed(body["actor"], "event", bytes(link_of(cbor(body))), event["signature"])
        check.require(good, "an event is not signed", cid)
    check.count("events", len(run.events))
    for cid, block in run.values.items():
        kind = run.kind(cid)
        if kind in ("receipt", "listing"):
            good = is_signed(block["by"], kind, unsigned(block), block["signature"])
            check.require(good, f"a {kind} is not signed", cid)
            check.count(kind + "s")
    for channel in run.channels:
        chain_id, channels = run.evidence["chain_id"], run.evidence["contracts"]["channels"]
        identity = channel_id(chain_id, channels, channel["terms"])
        for voucher in channel["vouchers"]:
            values = (identity, voucher["sequence"], voucher["cumulative"], voucher["usage_root"])
            digest = typed_digest("PRSM Channels", chain_id, channels, struct_hash(VOUCHER, values))
            good = recover(digest, voucher["signature"]) == channel["terms"]["signer"]
            check.require(good, f"voucher {voucher['sequence']} is not signed by its channel's key", identity)
            check.count("vouchers")


def channel_id(chain_id: int, channels: bytes, terms: Any) -> bytes:
    """keccak256(abi.encode(chainId, channels, terms)); the records stand behind the seven heads."""
    records = terms["records"]
    parties = (terms["payer"], terms["payee"], terms["signer"])
    numbers = (terms["settler_fee"], terms["close_delay"], terms["salt"])
    values = [chain_id, channels, 96, *parties, 224, *numbers, len(records), *records]
    return keccak(b"".join(map(word, values)))


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 with SHA-256: leaf 0x00, node 0x01."""
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        pairs = [hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
    return level[0]


def check_root(run: Run, check: Check) -> None:
    leaves = [bytes(cid) for cid, _ in run.events]
    known = len(leaves) + 1
    for cid, head in run.heads:
        count = head["events"]
        check.require(head["run"] == run.head["run"], "a head belongs to another run", cid)
        check.require(0 <= count < known, "a later head does not contain an earlier one", cid)
        check.require(merkle_root(leaves[:count]) == head["merkle_root"], "the root is not that of the events", cid)
        last = leaves[count - 1] if 0 < count <= len(leaves) else None
        check.require(head["last"] == last, "the head's last event is another", cid)
        known = count + 1
    check.require(run.head["events"] == len(leaves), f"the head counts {run.head['events']}, not {len(leaves)}")
    check.require(run.heads[-1][1]["previous"] is None, "an earlier head is missing", run.heads[-1][1]["previous"])
    check.count("heads", len(run.heads))


def check_links(run: Run, check: Check) -> None:
    pending: list[Any] = list(run.roots)
    seen: set[Link] = set()
    seals: set[bytes] = set()
    while pending:
        reference = pending.pop()
        if is_seal(reference):
            opening = run.given.get(reference["digest"])
            if opening is None or reference["digest"] in seals:
                continue
            seals.add(reference["digest"])
            reference = opening["cid"]
        if reference in seen:
            continue
        seen.add(reference)
        if reference in run.withheld and reference not in run.data:
            check.leave(f"block {reference.text} is withheld; ask the asker for it")
        elif check.require(reference in run.data, "a block is missing", reference):
            value = run.value(reference)
            if reference == run.roots[1]:
                continue  # what openings name is reached through the seals they open, or not at all
            pending += references(value)
    for cid in run.data:
        check.require(cid in seen, "nothing leads to a block", cid)
    for digest in run.given:
        check.require(digest in seals, "an opening opens nothing of this run", digest)
    check.count("blocks reached", len(seen & run.data.keys()))


def check_openings(run: Run, check: Check) -> None:
    sealed: dict[bytes, int] = {}
    for cid, value in run.values.items():
        if cid != run.roots[1]:
            sealed.update((ref["digest"], ref["size_class"]) for ref in references(value) if is_seal(ref))
    for digest, size_class in sealed.items():
        opening = run.given.get(digest)
        if opening is None:
            check.leave("payloads are withheld; ask the asker for a copy with more openings")
            check.count("withheld")
            continue
        found = hashlib.sha256(b"prsm/seal/1" + opening["salt"] + opening["cid"]).digest()
        check.require(found == digest and len(opening["salt"]) == 32, "an opening does not fit its seal", digest)
        payload = run.data.get(opening["cid"])
        if payload is not None:
            check.require(len(payload).bit_length() == size_class, "a payload has another size than was sealed", digest)
        check.count("opened")


# ── V8 to V10: the work and its price ────────────────────────────────────────────────────────────────────────────────

RANK, CHILDREN, NODES, ATTEMPTS, ATTEMPTS_PER_NODE = 8, 8, 64, 128, 3
OUTCOMES = ("accepted", "rejected", "refused", "failed", "cancelled", "reused")


def check_termination(run: Run, check: Check) -> None:
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    for _, event in run.named("graph_split"):
        cid = event["body"]["subject"]
        graph = run.value(cid)
        if not check.require(run.kind(cid) == "task_graph", "a split's graph is missing", cid):
            continue
        for name, node in graph["nodes"].items():
            check.require(nodes.setdefault(name, node) == node, f"node {name} changes between splits", cid)
        check.require(graph["root"] in nodes, f"a split of {graph['root']}, which is no node", cid)
        edges += [(edge["from"], edge["to"]) for edge in graph["edges"]]
    check_graph(nodes, edges, check)
    tries: dict[str, list[Any]] = {name: [] for name in nodes}
    done: Counter[Link] = Counter()
    for cid, attempt in run.attempts:
        check.require(attempt["outcome"] in OUTCOMES, f"an attempt ended {attempt['outcome']!r}", cid)
        if check.require(attempt["node"] in nodes, f"an attempt at {attempt['node']}, which is no node", cid):
            tries[attempt["node"]].append(attempt)
            check.require(attempt["task"] == nodes[attempt["node"]]["task"], "an attempt is at another task", cid)
        done[attempt["task"]] += attempt["outcome"] == "accepted"
    parents = {node["parent"] for node in nodes.values()}
    for name, attempts in tries.items():
        worked = sum(map(is_work, attempts))
        check.require(worked <= ATTEMPTS_PER_NODE, f"node {name} was tried {worked} times")
        ends = [attempt["outcome"] in ("accepted", "reused") for attempt in attempts]
        check.require(not any(ends[:-1]), f"node {name} ends more than once")
        is_answered = run.heads[-1][1]["state"] == "answered"
        check.require(name in parents or not is_answered or any(ends), f"node {name} never ended")
    for task, number in done.items():
        check.require(number <= 1, "a task that was done was run again instead of reused", task)
    started, ended = len(run.named("attempt_started")), sum(is_work(attempt) for _, attempt in run.attempts)
    broken_off = started > ended and run.heads[-1][1]["state"] != "answered"
    check.require(started == ended or broken_off, f"{started} attempts began and {ended} ended")
    check.require(ended <= ATTEMPTS, f"{ended} attempts, the cap is {ATTEMPTS}")
    check.count("tasks", len(nodes))
    check.count("attempts", ended)


def is_work(attempt: Any) -> bool:
    """Neither a reuse nor the mere acceptance of what earlier attempts at the node delivered."""
    closes = attempt["outcome"] == "accepted" and attempt["tier"] != "own" and not attempt["receipts"]
    return attempt["outcome"] != "reused" and not (closes and attempt["number"] > 1 and not amount(attempt["quoted"]))


def check_graph(nodes: dict[str, Any], edges: list[tuple[str, str]], check: Check) -> None:
    if not check.require(len(nodes) <= NODES and len(edges) <= NODES**2, f"{len(nodes)} nodes, the cap is {NODES}"):
        return
    roots = [name for name, node in nodes.items() if node["parent"] is None]
    check.require(len(roots) <= 1 and (len(roots) == 1 or not nodes), f"{len(roots)} roots")
    for name, node in nodes.items():
        children = [other for other in nodes.values() if other["parent"] == name]
        check.require(0 <= node["rank"] <= RANK, f"node {name} has rank {node['rank']}")
        check.require(len(children) != 1, f"node {name} was split into one")
        check.require(len(children) <= CHILDREN, f"node {name} has {len(children)} children, the cap is {CHILDREN}")
        budgets = sum(int.from_bytes(child["budget"], "big") for child in children)
        check.require(budgets <= int.from_bytes(node["budget"], "big"), f"the children of {name} have more than it has")
        if node["parent"] is None:
            continue
        parent = nodes.get(node["parent"])
        if check.require(parent is not None, f"node {name} hangs on {node['parent']}, which is no node") and parent:
            check.require(node["rank"] < parent["rank"], f"the rank of {name} does not fall below its parent's")
            above, seen = parent, {name}
            while above is not None and above["parent"] not in seen:
                check.require(above["task"] != node["task"], f"node {name} is its ancestor's task again")
                seen.add(str(above["parent"]))
                above = nodes.get(above["parent"]) if above["parent"] is not None else None
    waits = {name: {source for source, target in edges if target == name} for name in nodes}
    for source, target in edges:
        check.require(source in nodes and target in nodes, f"an edge from {source} to {target} leaves the graph")
    while waits:
        free = [name for name, before in waits.items() if not before & waits.keys()]
        if not check.require(bool(free), f"tasks wait for each other in a circle: {', '.join(sorted(waits))}"):
            return
        for name in free:
            del waits[name]


def check_acceptance(run: Run, check: Check) -> None:
    for cid, attempt, output in run.accepted():
        spec = run.value(attempt["task"])
        if not check.require(run.kind(attempt["task"]) == "task_spec", "a task is missing", attempt["task"]):
            continue
        verdicts = {verdict["check"]: verdict["passed"] for verdict in attempt["verdicts"]}
        complete = run.heads[-1][1]["state"] == "answered"
        for wanted in spec["acceptance"]:
            name = wanted["name"]
            passed = verdicts.get(name) is True
            check.require(passed or not complete, f"check {name!r} was not passed, yet the result was accepted", cid)
            check.count("checks")
            if name in ELSEWHERE:
                continue
            if output is None:
                check.leave("checks of withheld results; ask the asker for a copy with more openings")
            elif name not in CHECKS:
                check.leave(f"check {name!r} is not known here; a newer verifier may know it")
            else:
                holds = CHECKS[name](run, spec, output, pointer(output, wanted["path"]), wanted["arguments"])
                if holds is None:
                    check.leave(f"check {name!r} needs a withheld payload; ask the asker for a copy with more openings")
                else:
                    check.require(holds == passed, f"check {name!r} was recorded as {passed} and is {holds}", cid)


ELSEWHERE = {"proof": "V12", "quote": "V13", "numbers": "V13", "recompute": "V14", "sum": "V14"}
"""Acceptance checks that a later check does again, with more than the acceptance looked at."""


def pointer(value: Any, path: str) -> Any:
    """RFC 6901; a missing step is a KeyError, IndexError or ValueError."""
    for step in path.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def _is_rows(run: Run, spec: Any, output: Any, value: Any, arguments: Any) -> bool | None:
    """Every row of the table is answered or skipped, once."""
    skipped = [entry["row"] for entry in output.get("skipped", [])]
    table = run.table(output["table"])
    count = arguments.get("count", len(table["rows"]) if table else None)
    if count is None:
        return None
    rows = [*output["rows"], *skipped]
    return sorted(rows) == list(range(count)) if "skipped" in output else len(rows) <= count


def _is_labels(run: Run, spec: Any, output: Any, value: Any, arguments: Any) -> bool | None:
    labels = value if isinstance(value, list) else output["labels"]
    listing = run.listing(output.get("listing"))
    allowed = arguments.get("labels", listing["classes"] if listing else None)
    if allowed == []:  # a regressor's labels are numbers
        return all(cell_number(label) is not None for label in labels)
    return None if allowed is None else all(label in allowed for label in labels)


def _is_range(run: Run, spec: Any, output: Any, value: Any, arguments: Any) -> bool | None:
    values = value if isinstance(value, list) else output["labels"] if isinstance(value, dict) else [value]
    numbers = [cell_number(str(entry)) for entry in values]
    low, high = cell_number(str(arguments.get("minimum", "-1e59"))), cell_number(str(arguments.get("maximum", "1e59")))
    return low is not None and high is not None and all(n is not None and low <= n <= high for n in numbers)


def _is_schema(run: Run, spec: Any, output: Any, value: Any, arguments: Any) -> bool | None:
    schema = arguments.get("schema")
    if schema is None and spec["output_schema"] is not None:
        block = run.value(spec["output_schema"])
        schema = block.get("schema") if isinstance(block, dict) else None
    return None if schema is None else fits(value, schema)


CHECKS: dict[str, Callable[[Run, Any, Any, Any, Any], bool | None]] = {
    "rows": _is_rows,
    "labels": _is_labels,
    "range": _is_range,
    "schema": _is_schema,
}
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


def fits(value: Any, schema: Any) -> bool:
    """The subset of JSON Schema that tasks use; byte strings and links are no JSON and fit no type."""
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds is not None and not any(_TYPES[kind](value) for kind in kinds):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return (
            all(name in value for name in schema.get("required", []))
            and (schema.get("additionalProperties", True) is not False or all(name in properties for name in value))
            and all(fits(value[name], properties[name]) for name in properties if name in value)
        )
    if isinstance(value, list):
        size = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return size and ("items" not in schema or all(fits(entry, schema["items"]) for entry in value))
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def amount(value: Any) -> int:
    if not isinstance(value, bytes) or len(value) != 32:
        raise ValueError("an amount has not 32 bytes")
    return int.from_bytes(value, "big")


def ftns(wei: int) -> str:
    whole, part = divmod(wei, 10**18)
    return f"{whole}.{part:018d}".rstrip("0").rstrip(".")


def check_money(run: Run, check: Check) -> None:
    for cid, head in run.heads:
        locked, spent, back, left = (amount(head[key]) for key in ("locked", "spent", "refunded", "open"))
        check.require(spent + back + left == locked, "spent, refunded and open do not sum to what was locked", cid)
    if amount(run.head["open"]):
        check.count(f"FTNS not settled yet: {ftns(amount(run.head['open']))}", 1)
    total = 0
    for cid, attempt in run.attempts:
        charged, quoted = amount(attempt["charged"]), amount(attempt["quoted"])
        check.require(charged <= quoted, f"charged {ftns(charged)} FTNS, quoted {ftns(quoted)}", cid)
        check.require(not charged or attempt["tier"] != "own", "the asker's own step was paid for", cid)
        owed = sum(amount(run.values[link]["charged"]) for link in attempt["receipts"] if run.kind(link) == "receipt")
        check.require(charged == owed, f"charged {ftns(charged)} FTNS, receipts say {ftns(owed)}", cid)
        total += charged
    spent = amount(run.head["spent"])
    check.require(total == spent, f"attempts cost {ftns(total)} FTNS, the head says {ftns(spent)}", run.roots[0])
    answer = run.opened(run.head["answer"]) if run.head["answer"] is not None else None
    if isinstance(answer, dict):
        check.require(amount(answer["spent"]) == spent, "the answer names another sum than the head")
    by_link = run.receipts()
    for link, task in run.proven().items():
        if link in by_link:
            paid, price = sum(amount(task[key]) for key in ("net", "fee", "royalty")), amount(by_link[link]["charged"])
            good = paid == price or task["paid_tx"] is None
            check.require(good, "payee, fee and royalty do not sum to the price", link)
    last: dict[bytes, tuple[int, int]] = {}
    for link, receipt in by_link.items():
        if receipt["voucher"] is not None:
            step = (receipt["voucher"]["sequence"], amount(receipt["voucher"]["cumulative"]))
            before = last.setdefault(receipt["voucher"]["channel"], step)
            check.require(step[0] >= before[0] and step[1] >= before[1], "a receipt's voucher falls", link)
            last[receipt["voucher"]["channel"]] = step
    for channel in run.channels:
        steps = [(voucher["sequence"], amount(voucher["cumulative"])) for voucher in channel["vouchers"]]
        falls = any(b[0] <= a[0] or b[1] < a[1] for a, b in pairwise(steps))
        check.require(not falls, "vouchers of a channel fall", channel["terms"]["payee"])
    check.count("attempts", len(run.attempts))
    check.count("receipts", len(by_link))


# ── V11, V12: the chain ──────────────────────────────────────────────────────────────────────────────────────────────

NEEDS_RPC = "it needs the chain; give --rpc URL of an Ethereum node"


def job_id(evidence: Any) -> bytes:
    terms = evidence["job"]["terms"]
    values = [terms[key] for key in ("buyer", "steward", "question", "open_for", "salt")]
    return keccak(b"".join(map(word, (evidence["chain_id"], evidence["contracts"]["escrow"], *values))))


def digest_of(ref: Any) -> bytes:
    return ref.digest if isinstance(ref, Link) else bytes(ref["digest"])


def task_id(task: Any) -> bytes:
    return struct_hash(ASSIGNMENT, (task["assignment"][key] for key in ASSIGNMENT_FIELDS))


def check_chain(run: Run, check: Check, chain: Chain | None, escrow: bytes | None) -> None:
    paid = amount(run.head["locked"])
    if run.evidence is None or run.evidence["job"] is None:
        check.require(not paid, f"{ftns(paid)} FTNS were locked and the file does not show where")
        check.count("payment: none")
        return
    evidence, contracts = run.evidence, run.evidence["contracts"]
    job = job_id(evidence)
    asked = evidence["job"]["terms"]["question"]
    check.require(asked == digest_of(run.head["question"]), "the budget was locked for another question")
    check.require(escrow is None or contracts["escrow"] == escrow, "the escrow is not the one of --escrow")
    proven = run.proven()
    for link, receipt in run.receipts().items():
        check.require(receipt["job"] == job, "a receipt belongs to another job, chain or escrow", link)
        if link in proven:
            check.require(receipt["task"] == task_id(proven[link]), "a receipt belongs to another assignment", link)
            check.require(proven[link]["assignment"]["job_id"] == job, "an assignment belongs to another job", link)
            payable = amount(receipt["charged"]) <= amount(proven[link]["assignment"]["price"])
            check.require(payable, "more was charged than was assigned", link)
        else:
            check.require(not amount(receipt["charged"]), "a payment is not shown", link)
    anchor = evidence["anchor"]
    if anchor is None:
        check.leave("the run's root is not anchored yet; ask for the file again when it is")
    else:
        roots = [head["merkle_root"] for _, head in run.heads]
        check.require(anchor["digest"] in roots, "what was anchored is not a root of this run", anchor["tx"])
    check.count(f"escrow 0x{contracts['escrow'].hex()} on chain {evidence['chain_id']}")
    if chain is None:
        check.leave(NEEDS_RPC)
        return
    found = int(chain.ask("eth_chainId"), 16)
    same = found == evidence["chain_id"]
    if not check.require(same, f"the node is of chain {found}, the run of {evidence['chain_id']}"):
        return
    for owner, role in (("escrow", "hub"), ("escrow", "royalties"), ("escrow", "provenance"), ("hub", "router")):
        named = chain.call(contracts[owner], f"{role}()")
        same = named[:1] == [int.from_bytes(contracts[role], "big")]
        check.require(same, f"the {owner} names another {role} than the file", contracts[owner])
    check_job(run, check, chain, job)
    for link in run.receipts():
        if link in proven:
            check_payment(run, check, chain, link, proven[link])
    if anchor is not None:
        logs = chain.events(anchor["tx"], contracts["provenance"], "DigestAnchored")
        wanted = [anchor["digest"], job, word(anchor["by"])]
        good = any(topics == wanted and words[0] == ANCHOR_TRACE for topics, words in logs)
        check.require(good, "the root is not anchored as the file says", anchor["tx"])
        check.count("anchors")
    for channel in evidence["channels"]:
        if channel["settle_tx"] is not None:
            identity = channel_id(evidence["chain_id"], contracts["channels"], channel["terms"])
            logs = chain.events(channel["settle_tx"], contracts["channels"], "VoucherSettled")
            good = any(topics[0] == identity and words[0] == amount(channel["settled"]) for topics, words in logs)
            check.require(good, "a voucher was not settled as the file says", channel["settle_tx"])
            check.count("settlements")


def check_job(run: Run, check: Check, chain: Chain, job: bytes) -> None:
    """What was locked and returned; and no task of the job that the file hides."""
    evidence, contracts = run.evidence, run.evidence["contracts"]
    logs = chain.events(evidence["job"]["open_tx"], contracts["escrow"], "EscrowOpened")
    opened = [words[0] for topics, words in logs if topics[0] == job]
    for transaction in evidence["job"]["top_ups"]:
        logs = chain.events(transaction, contracts["escrow"], "EscrowToppedUp")
        opened += [words[0] for topics, words in logs if topics[0] == job]
    locked = amount(run.head["locked"])
    check.require(sum(opened) == locked, f"the chain locked {ftns(sum(opened))} FTNS, the head says {ftns(locked)}")
    close, returned = evidence["job"]["close_tx"], 0
    if close is not None:
        logs = chain.events(close, contracts["escrow"], "EscrowClosed")
        closed = [words[0] for topics, words in logs if topics[0] == job]
        check.require(len(closed) == 1, "the job was not closed as the file says", close)
        returned = sum(closed)
    wanted = amount(run.head["refunded"])
    check.require(returned == wanted, f"the chain returned {ftns(returned)} FTNS, the head says {ftns(wanted)}")
    book = chain.call(contracts["escrow"], "jobOf(bytes32)", job, least=5)
    if amount(run.head["open"]) == 0:
        check.require(sum(book[:2]) == 0, f"the escrow still holds {ftns(sum(book[:2]))} FTNS of this job")
    first = chain.receipt(evidence["job"]["open_tx"])
    if first is None:
        return  # said above: the job was not opened
    query = {
        "address": "0x" + contracts["escrow"].hex(),
        "fromBlock": first["blockNumber"],
        "toBlock": "latest",
        "topics": ["0x" + topic("TaskAssigned").hex(), "0x" + job.hex()],
    }
    shown = {task_id(task) for task in run.proven().values()}
    for log in chain.ask("eth_getLogs", query):
        for topics, _ in read_log(log, contracts["escrow"], "TaskAssigned"):
            if topics[1] not in shown:
                status = chain.call(contracts["escrow"], "taskOf(bytes32)", topics[1], least=5)[2]
                check.require(status == TASK_REFUNDED, "a task of this job was paid and is not shown", topics[1])
            check.count("assigned tasks")


def check_payment(run: Run, check: Check, chain: Chain, link: Link, task: Any) -> None:
    contracts, identity = run.evidence["contracts"], task_id(task)
    net, fee, royalty = (amount(task[key]) for key in ("net", "fee", "royalty"))
    delivered = chain.events(task["deliver_tx"], contracts["escrow"], "TaskDelivered")
    check.require(any(topics[0] == identity for topics, _ in delivered), "a task was not delivered", task["deliver_tx"])
    status = chain.call(contracts["escrow"], "taskOf(bytes32)", identity, least=5)[2]
    if task["paid_tx"] is None:
        unpaid = status not in (TASK_PAID, TASK_SPLIT) and net + fee + royalty == 0
        if check.require(unpaid, "a task is paid and its payment is not shown", link):
            check.leave("a payment was not made yet; ask for the file again when it is")
        return
    check.require(status in (TASK_PAID, TASK_SPLIT), "the escrow says that a task is not paid", link)
    logs = chain.events(task["paid_tx"], contracts["escrow"], "TaskPaid")
    paid = [words for topics, words in logs if topics == [identity, word(task["assignment"]["payee"])]]
    if check.require(len(paid) == 1, "a payment is not on the chain", task["paid_tx"]):
        same = paid[0][:3] == [net, fee, royalty]
        check.require(same, f"the chain paid {' + '.join(map(ftns, paid[0][:3]))} FTNS, the file says otherwise", link)
    accrued = chain.events(task["paid_tx"], contracts["royalties"], "RoyaltyAccrued")
    due = {bytes(record) for record in task["assignment"]["records"]}
    got = sum(words[0] for topics, words in accrued if topics[0] in due)
    one = len(chain.events(task["paid_tx"], contracts["escrow"], "TaskPaid")) == 1
    check.require(got == royalty if one else got >= royalty, "royalties were not accrued as the file says", link)
    check.count("payments")


def check_proofs(run: Run, check: Check, chain: Chain | None) -> None:
    proven = run.proven()
    for link, receipt in run.receipts().items():
        task = proven.get(link)
        if task is not None:
            check_part(run, check, receipt, task, link)
        if receipt["tier"] == "proved":
            check.require(task is not None, "a proved part comes without its proof", link)
            if task is not None:
                check_proof(run, check, chain, receipt, task, link)
    claimed = 0
    for cid, attempt, output in run.accepted():
        if is_prediction(output) and attempt["tier"] != "own":
            check_prediction_parts(run, check, output, proven, cid)
        elif attempt["tier"] == "proved":
            check.leave("a proved result is withheld; ask the asker for a copy with more openings")
        claimed += attempt["tier"] == "proved"
    check.count("results called proved", claimed)


def check_part(run: Run, check: Check, receipt: Any, task: Any, link: Link) -> None:
    """Input and output of one delivered part are what was assigned, attested and signed for."""
    assignment, result = task["assignment"], task["result"]
    outputs = task["proof_outputs"]
    check.require(keccak(b"".join(outputs)) == result["output_hash"], "output words miss the attested hash", link)
    block = link_of(cbor({"v": 1, "kind": "output", "words": outputs})).digest
    check.require(block == result["result"] == receipt["output"], "output words are not the delivered ones", link)
    tier = ("proved", "staked", "trusted")[assignment["tier"]]
    check.require(tier == receipt["tier"], "the receipt names another tier than the assignment", link)
    check.require(word(assignment["operator"]) == word(address(receipt["operator"])), "another operator signed", link)
    words = run.opened(task["input"]) if task["input"] is not None else None
    if not isinstance(words, dict):
        check.leave("the inputs of parts are withheld; ask the asker for a copy with more openings")
        return
    check.require(link_of(cbor(words)).digest == receipt["input"], "the input is not the one of the receipt", link)
    hashed = task["layout"] is not None and task["layout"]["hashed"]
    numbers = [int.from_bytes(entry, "big") for entry in (*words["words"], *words["salt"])]
    digest = word(circuit_hash(numbers)) if hashed else keccak(b"".join(words["words"]))
    check.require(digest == assignment["input_hash"], "the input is not the one that was assigned", link)
    check.count("parts")


def address(text: str) -> bytes:
    raw = bytes.fromhex(text.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"{text[:60]!r} is no address")
    return raw


def instances(evidence: Any, task: Any) -> list[int]:
    """The words that the hub builds: the file has no say in them."""
    a, layout = task["assignment"], task["layout"]
    request = keccak(word(a["job_id"]) + word(a["salt"]))
    values = (evidence["chain_id"], evidence["contracts"]["hub"], request, a["circuit_id"], a["operator"])
    context = int.from_bytes(struct_hash(CONTEXT, values), "big")
    limbs = [context >> (24 * at) & 0xFFFFFF for at in range(11)]
    inputs, outputs = ([int.from_bytes(w, "big") for w in task[key]] for key in ("proof_inputs", "proof_outputs"))
    if layout["hashed"]:
        return [int.from_bytes(a["input_hash"], "big"), *inputs, *outputs, *limbs]
    return [*inputs, *limbs, *outputs]


def check_proof(run: Run, check: Check, chain: Chain | None, receipt: Any, task: Any, link: Link) -> None:
    evidence, assignment, layout = run.evidence, task["assignment"], task["layout"]
    if not check.require(layout is not None and task["proof"] is not None, "a proved part has no proof", link):
        return
    check.require(receipt["circuit"] == assignment["circuit_id"], "the receipt names another circuit", link)
    listing = run.listing(receipt["listing"])
    if listing is not None:
        offered = [circuit["id"] for circuit in listing["circuits"]]
        check.require(assignment["circuit_id"] in offered, "the circuit is none of the listing's", link)
    if receipt["proof"] is not None:
        check.require(link_of(task["proof"], RAW) == receipt["proof"], "the proof is not the one of the receipt", link)
    if not layout["hashed"]:
        digest = keccak(b"".join(task["proof_inputs"]))
        check.require(digest == assignment["input_hash"], "the proof's input words miss the assigned hash", link)
    words = instances(evidence, task)
    check.require(all(number < FIELD for number in words), "a word is not below the field's order", link)
    if chain is None:
        check.leave("proofs were not run through their verifiers: " + NEEDS_RPC)
        return
    circuit = chain.call(evidence["contracts"]["router"], "circuitOf(bytes32)", assignment["circuit_id"], least=5)
    inputs = circuit[1] if layout["hashed"] else len(task["proof_inputs"])
    shape = [inputs, len(task["proof_outputs"]), int(layout["hashed"])]
    check.require(circuit[1:4] == shape, "the circuit has another layout", link)
    verifier = circuit[0].to_bytes(32, "big")[12:]
    check.require(task["verifier"] in (None, verifier), "the router names another verifier", link)
    proof = task["proof"]
    padded = proof + bytes(-len(proof) % 32)
    data = word(64) + word(96 + len(padded)) + word(len(proof)) + padded
    data += word(len(words)) + b"".join(map(word, words))
    try:
        answer = chain.call(verifier, "verifyProof(bytes,uint256[])", data)
    except Refused:
        answer = []
    check.require(answer == [1], "the verifier contract refuses the proof", link)
    check.count("proofs accepted")


def label_of(listing: Any, words: Sequence[int], bits: int) -> str:
    classes = listing["classes"]
    if len(classes) == 2:
        return str(classes[1] if words[0] > 0 else classes[0])
    if classes:
        return str(classes[max(range(len(words)), key=lambda output: (words[output], -output))])
    value = Fraction(words[0], 1 << bits) * Fraction(listing["target_spread"]) + Fraction(listing["target_mean"])
    return f"{float(value):.6g}"


def check_prediction_parts(run: Run, check: Check, output: Any, proven: dict[Link, Any], cid: Link) -> None:
    """Each row's words are those of the part that covers it, and the part's input is that row of the table."""
    listing, table, receipts = run.listing(output["listing"]), run.table(output["table"]), run.receipts()
    claims = output["tier"] == "proved"
    if listing is None or table is None:
        check.leave("the table of a prediction is withheld; ask the asker for a copy with more openings")
        return
    covered: dict[int, list[int]] = {}
    for link in output["receipts"]:
        receipt, task = receipts.get(link), proven.get(link)
        if not check.require(receipt is not None and task is not None, "a part comes without evidence", link):
            continue
        assert receipt is not None
        assert task is not None
        check.require(not claims or receipt["tier"] == "proved", "a proved result rests on a part that is not", link)
        check.require(receipt["listing"] == output["listing"], "a part was computed with another model", link)
        words = [signed(int.from_bytes(entry, "big")) for entry in task["proof_outputs"]]
        each = len(words) // max(1, len(task["rows"]))
        for place, row in enumerate(task["rows"]):
            covered[row] = words[place * each : (place + 1) * each]
        given = run.opened(task["input"]) if task["input"] is not None else None
        if isinstance(given, dict):
            wanted = [row_words(table, row, listing) for row in task["rows"]]
            found = [signed(int.from_bytes(entry, "big")) for entry in given["words"]]
            same = None not in wanted and found == [number for numbers in wanted for number in numbers or ()]
            check.require(same, f"the input is not rows {task['rows'][:8]} of the table", link)
    bits = scale_of(output, listing, proven)
    for row, words, label in zip(output["rows"], output["words"], output["labels"], strict=True):
        same = check.require(covered.get(row) == words, f"the words of row {row} are not the delivered ones", cid)
        if same:
            right = label_of(listing, words, bits)
            check.require(right == label, f"row {row} is called {label!r}, its words say {right!r}", cid)
    check.count("rows", len(output["rows"]))


def scale_of(output: Any, listing: Any, proven: dict[Link, Any]) -> int:
    """Fixed-point bits of a prediction's words: the circuit's where one was used, else the listing's."""
    for link in output["receipts"]:
        layout = proven[link]["layout"] if link in proven else None
        if layout is not None:
            return int(layout["bits"])
    return int(listing["bits"])


# ── V13, V14: the answer ─────────────────────────────────────────────────────────────────────────────────────────────

WITHHELD = "payloads that it needs are withheld; ask the asker for a copy with more openings"
UNSUPPORTED = "[unsupported]"


def check_answer(run: Run, check: Check) -> None:
    if run.head["answer"] is None:
        check.require(run.head["state"] not in ("answered", "partial"), "an answered run has no answer")
        check.count("no answer")
        return
    compiled = [event["body"]["subject"] for _, event in run.named("answer_compiled")]
    check.require(run.head["answer"] in compiled, "the head's answer is not the one that was compiled", run.roots[0])
    begun = [event["body"]["subject"] for _, event in run.named("run_started")]
    check.require(run.head["question"] in begun, "the head's question is not the one that was asked", run.roots[0])
    answer = run.opened(run.head["answer"])
    if answer is None:
        check.leave(WITHHELD)
        return
    outputs = {cid: (attempt, output) for cid, attempt, output in run.accepted()}
    tiers = {output["tier"] if is_prediction(output) else attempt["tier"] for attempt, output in outputs.values()}
    tiers -= {"own"}
    weakest = max(tiers, key=("proved", "staked", "trusted").index) if tiers else "own"
    hidden = any(output is None for _, output in outputs.values())
    if hidden:
        check.leave(WITHHELD)
    same = answer["tier"] == weakest
    check.require(same or hidden, f"the answer calls itself {answer['tier']}, its weakest step is {weakest}")
    check.require(run.head["tier"] == answer["tier"], "the head names another tier than the answer", run.roots[0])
    for claim in answer["claims"]:
        check.count("claims")
        name = f"claim {claim['id']}"
        cited = [resolve_citation(run, check, citation, outputs, name) for citation in claim["citations"]]
        known = claim["support"] in ("computed", "quoted", "entailed", "none")
        check.require(known, f"{name}: its support is unknown")
        if claim["support"] == "none":
            check.require(is_marked(answer, claim), f"{name} is supported by nothing and does not say so")
        elif known:
            check.require(bool(cited), f"{name} cites nothing")
        if claim["support"] == "computed" and all(entry is not None for entry in cited):
            check_numbers(run, check, claim, [entry for entry in cited if entry is not None], name)
    for table in answer["tables"]:
        shown_rows = [(row[0], row[1].removeprefix("'")) for row in table["rows"]]
        made = [zip(o["rows"], o["labels"], strict=True) for _, o in outputs.values() if is_prediction(o)]
        same = any(shown_rows == [(str(row + 1), label.removeprefix("'")) for row, label in pairs] for pairs in made)
        check.require(same or hidden, f"table {table['name']!r} shows other labels than were predicted")
    for cid, _, output in run.accepted():
        if isinstance(output, dict) and output.get("kind") == "quotes":
            for quote in output["quotes"]:
                check_quote(run, check, quote, hashlib.sha256(quote["text"].encode()).digest(), cid)


def is_prediction(output: Any) -> bool:
    return isinstance(output, dict) and output.get("kind") == "prediction"


def is_marked(answer: Any, claim: Any) -> bool:
    _, _, rest = answer["text"].partition(claim["text"])
    return UNSUPPORTED in claim["text"] or UNSUPPORTED in rest.split("\n", 1)[0]


def resolve_citation(run: Run, check: Check, citation: Any, outputs: Any, name: str) -> Any:
    """(output, value) of a computed citation, ("quote", text) of a quote, None where it is false or withheld."""
    if "document" in citation:
        text = check_quote(run, check, citation, citation["quote_sha256"], name)
        return None if text is None else ("quote", text)
    if not check.require(citation["attempt"] in outputs, f"{name} cites no accepted attempt", citation["attempt"]):
        return None
    output = outputs[citation["attempt"]][1]
    if output is None:
        check.leave(WITHHELD)
        return None
    try:
        return output, pointer(output, citation["path"])
    except (KeyError, IndexError, ValueError, TypeError):
        check.require(False, f"{name} cites {citation['path']!r}, which does not exist", citation["attempt"])
        return None


def check_quote(run: Run, check: Check, quote: Any, digest: bytes, where: Any) -> str | None:
    """The quoted text, if it stands in its document at that very place."""
    document = run.document(quote["document"])
    if document is None:
        check.leave("a quoted document is withheld; ask the asker for a copy with more openings")
        return None
    pages = document["pages"]
    number = quote["page"]
    if not check.require(1 <= number <= len(pages), f"a quote is from page {number} of {len(pages)}", where):
        return None
    page = pages[number - 1]
    text = str(page["text"] if isinstance(page, dict) else page)[quote["start"] : quote["end"]]
    stands = 0 <= quote["start"] < quote["end"] and hashlib.sha256(text.encode()).digest() == digest
    check.require(stands, f"a quote does not stand on page {number} of its document", where)
    check.count("quotes")
    return text


def percent(ppm: int) -> str:
    tenths = (abs(ppm) + 500) // 1000
    return f"{'-' if ppm < 0 and tenths else ''}{tenths // 10}.{tenths % 10}"


def digits_in(text: str) -> list[str]:
    import re

    return re.findall(r"\d+(?:\.\d+)?", text)


def check_numbers(run: Run, check: Check, claim: Any, cited: Sequence[Any], name: str) -> None:
    """Every number of a computed sentence comes from what it cites; the rows of a class are those of the class."""
    facts: set[str] = set()
    for output, value in cited:
        if output == "quote":
            facts.update(digits_in(value))
            continue
        rows_too = isinstance(output, dict) and output.get("kind") == "prediction"
        collect(value, facts, rows_too=rows_too)
        if isinstance(output, dict):
            facts |= facts_of(run, output)
    value = json.loads(claim["value"])
    stated: set[str] = set()
    collect(value, stated, exact=True)
    output = cited[0][0] if cited else None
    if isinstance(output, dict) and "table" in output and run.table(output["table"]) is None:
        check.leave(WITHHELD)  # a number may stand in the table's name
    else:
        strange = [number for number in digits_in(claim["text"]) if number not in facts]
        check.require(not strange, f"{name} says {', '.join(strange[:5])}, which is in nothing that it cites")
        check.require(stated <= facts, f"{name} has a value that is in nothing that it cites")
    if isinstance(output, dict):
        check_statement(run, check, claim["text"], value, output, name)


def check_statement(run: Run, check: Check, text: str, value: Any, output: Any, name: str) -> None:
    """A sentence says what its value says, and the value is what the output says."""
    kind, problem = output.get("kind"), f"{name} says something else than the result"
    if kind == "prediction" and isinstance(value, list):
        members: dict[str, list[int]] = {}
        for row, label in zip(output["rows"], output["labels"], strict=True):
            members.setdefault(label, []).append(row)
        listing = run.listing(output["listing"])
        spoken = [label for label in (listing["classes"] if listing else members) if label in text]
        right = [members.get(label, []) for label in spoken] + [output["too_close"]]
        check.require(value in right, f"{name} names other rows than the result")
        listed = [str(row + 1) for row in value[:12]] + ([str(len(value) - 12)] if len(value) > 12 else [])
        check.require(digits_in(text.rpartition(":")[2]) in ([], listed) or not value, problem)
        counted = [str(len(value)), str(len(output["rows"]))]
        check.require(" rows of " not in text or not value or digits_in(text)[:2] == counted, problem)
    elif kind == "explanation" and isinstance(value, dict):
        weight = [sum(abs(row[f]) for row in output["attributions"]) for f in range(len(output["features"]))]
        total = sum(weight) or 1
        first = output["ranking"][: len(value)]
        shares = {output["features"][f]: (weight[f] * 1_000_000 + total // 2) // total for f in first}
        check.require(value == shares, f"{name} names other shares than the result")
        check.require(all(f"{feature} ({percent(ppm)} %)" in text for feature, ppm in shares.items()), problem)
    elif kind == "comparison" and isinstance(value, dict):
        same = {"verdict": output["verdict"], "right": output["right"], "low_ppm": output["low_ppm"]}
        same |= {"high_ppm": output["high_ppm"], "p_ppm": output["mcnemar_p_ppm"]}
        check.require(value == same, f"{name} names other statistics than the result")
        first, second = (run.listing(link) for link in output["listings"])
        if first is not None and second is not None:
            pair = {"first": (first["name"], second["name"]), "second": (second["name"], first["name"])}
            better = pair.get(output["verdict"])
            said = f"{better[0]} is better than {better[1]}" if better else "No difference is shown"
            check.require(said in text, problem)


def collect(value: Any, facts: set[str], exact: bool = False, rows_too: bool = False) -> None:
    """Numbers that a sentence may form from a value: itself, in percent, as a count, as a row counted from 1."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int):
        facts.add(str(abs(value)))
        if rows_too:
            facts.add(str(value + 1))
        if not exact:
            facts.update((percent(abs(value)), f"{abs(value) / 1_000_000:.4f}"))
    elif isinstance(value, str):
        facts.update(digits_in(value))
        number = cell_number(value)
        if number is not None:
            facts.update(digits_in(f"{float(number):.6g}"))
    elif isinstance(value, list):
        if not exact:
            facts.add(str(len(value)))
        for entry in value:
            collect(entry, facts, exact, rows_too)
    elif isinstance(value, dict):
        for key, entry in value.items():
            collect(key, facts, exact, rows_too)
            collect(entry, facts, exact, rows_too)


def facts_of(run: Run, output: Any) -> set[str]:
    """Numbers that follow from an output as a whole: counts of rows and classes, shares, names of its parts."""
    facts = {"0", "95", "1"}
    rows = output.get("rows", [])
    facts.add(str(len(rows)))
    for link in [output.get("listing"), *output.get("listings", [])]:
        listing = run.listing(link)
        if listing is not None:
            names = (listing["name"], listing["target"], *listing["classes"])
            for text in (*names, *(feature["name"] for feature in listing["features"])):
                facts.update(digits_in(text))
    table = run.table(output.get("table"))
    if table is not None:
        facts.update(digits_in(table["name"]))
    kind = output.get("kind")
    if kind == "prediction":
        counts = Counter(output["labels"])
        skipped = len(output["skipped"])
        for number in (*counts.values(), skipped, len(rows) + skipped, len(output["too_close"])):
            facts.add(str(number))
        for members in (*counts.values(), skipped, len(output["too_close"])):
            facts.add(str(members - 12))  # "… and N more"
        for row in rows:
            facts.update((str(row), str(row + 1)))
        for entry in output["skipped"]:
            facts.update((str(entry["row"] + 1), *digits_in(entry["why"])))
    elif kind == "explanation":
        weight = [sum(abs(row[f]) for row in output["attributions"]) for f in range(len(output["features"]))]
        total = sum(weight) or 1
        for share in ((one * 1_000_000 + total // 2) // total for one in weight):
            facts.update((str(share), percent(share)))
        facts.add(str(output["permutations"]))
        errors, top = output.get("standard_errors"), output["ranking"][0]
        if errors:
            mean = weight[top] // (output["permutations"] * len(errors)) or 1
            error = (sum(row[top] for row in errors) // len(errors) * 1_000_000 + mean // 2) // mean
            facts.update((str(error), percent(error)))
    elif kind == "comparison":
        for right in output["right"]:
            facts.add(percent(right * 1_000_000 // max(1, len(rows))))
    elif kind == "calculation" and output["column"] is not None:
        column = output["column"]
        facts.update((str(len(column["rows"])), str(column["left_out"])))
        facts.update(digits_in(column["column"]) + digits_in(column["name"]))
    return facts


def check_recomputation(run: Run, check: Check) -> None:
    for cid, attempt, output in run.accepted():
        if not isinstance(output, dict):
            if attempt["output"] is not None:
                check.leave(WITHHELD)
            continue
        kind = output.get("kind", "")
        if kind in RECOMPUTED:
            RECOMPUTED[kind](run, check, output, cid)
            check.count(f"{kind}s")
        elif kind == "quotes":
            check.count("quotations (V13)")
        elif attempt["tier"] == "own":
            check.leave(f"an own step of kind {kind!r} is the asker's word; nothing but trust allows it")


def network_of(run: Run, check: Check, link: Any) -> tuple[Any, Layers, int] | None:
    listing = run.listing(link)
    weights = run.value(listing["weights"]) if listing is not None else None
    if weights is None:
        check.leave("a model's weights are withheld; ask its owner or the asker")
        return None
    layers, bits = layers_of(weights)
    outputs = len(listing["classes"]) if len(listing["classes"]) > 2 else 1
    fits_listing = bits == listing["bits"] and len(layers[0][0][0]) == len(listing["features"])
    good = check.require(fits_listing and len(layers[-1][1]) == outputs, "the weights do not fit the listing", link)
    return (listing, layers, bits) if good else None


def again_prediction(run: Run, check: Check, output: Any, cid: Link) -> None:
    found, table = network_of(run, check, output["listing"]), run.table(output["table"])
    if found is None or table is None:
        check.leave(WITHHELD)
        return
    listing, layers, bits = found
    skipped = {entry["row"] for entry in output["skipped"]}
    check.require(not skipped & set(output["rows"]), "a row is both answered and skipped", cid)
    for row in skipped:
        check.require(row_words(table, row, listing) is None, f"row {row} was skipped and can be read", cid)
    scale = scale_of(output, listing, run.proven())
    for row, words, label in zip(output["rows"], output["words"], output["labels"], strict=True):
        inputs = row_words(table, row, listing)
        if not check.require(inputs is not None, f"row {row} was answered and holds no numbers", cid) or inputs is None:
            continue
        exact = run_layers(layers, bits, inputs)
        if output["method"] == "integer_layers":
            check.require(words == exact, f"the words of row {row} are not the model's", cid)
            check.require(label == label_of(listing, exact, bits), f"row {row} has another label than the model's", cid)
        elif listing["classes"]:
            same = label == label_of(listing, exact, bits) or row in output["too_close"]
            check.require(same, f"row {row}: proof and model name two classes, and it is not called too close", cid)
        else:
            wanted = Fraction(exact[0], 1 << bits)
            off = abs(Fraction(words[0], 1 << scale) - wanted)
            check.require(off <= (1 + abs(wanted)) / 4, f"row {row}: proof and model are far apart", cid)


def again_explanation(run: Run, check: Check, output: Any, cid: Link) -> None:
    found, table = network_of(run, check, output["listing"]), run.table(output["table"])
    if found is None or table is None:
        check.leave(WITHHELD)
        return
    listing, layers, bits = found
    count, base, rows = output["permutations"], output["baseline"], output["rows"]
    linear = len(layers) == 1 and not layers[0][2]
    hidden = sum(len(layer[1]) * (1 if at == 0 else len(layer[0][0])) for at, layer in enumerate(layers))
    if len(rows) * count * len(base) * hidden > WORK_LIMIT:
        check.leave(f"attributions of {len(rows)} rows × {count} orders are too much work for this script")
        return
    names = [feature["name"] for feature in listing["features"]]
    check.require(output["features"] == names, "features are not the model's", cid)
    check.require(output["method"] == ("linear" if linear else "permutation"), "the method is not the one it says", cid)
    check.require(base == [0] * len(base), "the baseline is not the average row", cid)
    outputs = output.get("outputs", [0] * len(rows))
    bases = output["fb"] if isinstance(output["fb"], list) else [output["fb"]] * len(rows)
    errors = output.get("standard_errors", [None] * len(rows))
    given = zip(rows, output["attributions"], output["fx"], bases, outputs, errors, strict=True)
    for row, attributions, fx, fb, which, error in given:
        words = row_words(table, row, listing)
        if not check.require(words is not None, f"row {row} was explained and holds no numbers", cid) or words is None:
            continue
        if linear:
            weights = layers[0][0][which]
            wanted = [w * (x - b) for w, x, b in zip(weights, words, base, strict=True)]
            start, end = (accumulate(layers[0], numbers)[which] for numbers in (base, words))
            spread = [0] * len(words)
        else:
            wanted, spread, end, start = permutation_sums(layers, bits, words, base, output["seed"], row, which, count)
        check.require(attributions == wanted, f"the attributions of row {row} are not the model's", cid)
        check.require((fx, fb) == (end, start), f"the scores of row {row} are not the model's", cid)
        check.require(error in (None, spread), f"the standard errors of row {row} are others", cid)
        check.require(sum(attributions) == count * (fx - fb), f"the attributions of row {row} miss their sum", cid)
    weight = [sum(abs(row[f]) for row in output["attributions"]) for f in range(len(names))]
    ranking = sorted(range(len(weight)), key=lambda f: (-weight[f], f))
    check.require(output["ranking"] == ranking, "the ranking is not that of the attributions", cid)


def again_comparison(run: Run, check: Check, output: Any, cid: Link) -> None:
    table, rows = run.table(output["table"]), output["rows"]
    listing = run.listing(output["listings"][0])
    if table is None or listing is None:
        check.leave(WITHHELD)
        return
    for side, link in enumerate(output["listings"]):
        labels: dict[int, str] | None = None
        for _, _, other in run.accepted():
            if is_prediction(other) and (other["listing"], other["table"]) == (link, output["table"]):
                labels = dict(zip(other["rows"], other["labels"], strict=True))
        if labels is None and any(other is None for _, _, other in run.accepted()):
            check.leave(WITHHELD)
            continue
        check.require(labels is not None, "a model was compared that predicted nothing in this run", link)
        if labels is not None:
            same = [labels.get(row) for row in rows] == output["labels"][side]
            check.require(same, "labels compared are not those predicted", link)
    first, second = output["labels"]
    agree = per_million(sum(a == b for a, b in zip(first, second, strict=True)), len(first))
    check.require(output["agreement_ppm"] == agree, "the agreement is another", cid)
    truth = output["truth"]
    if not truth:
        check.require(output["verdict"] == "no labels", "a verdict without labels", cid)
        return
    spelled = {fold(name): name for name in listing["classes"]}
    if check.require(table["labels"] is not None, "the table has no labels", cid):
        column = [spelled.get(fold(table["labels"][row]), table["labels"][row]) for row in rows]
        check.require(column == truth, "the labels are not those of the table", cid)
    right_first = [a == t for a, t in zip(first, truth, strict=True)]
    right_second = [b == t for b, t in zip(second, truth, strict=True)]
    differences = [int(a) - int(b) for a, b in zip(right_first, right_second, strict=True)]
    only_first, only_second, draws = differences.count(1), differences.count(-1), output["draws"]
    if len(rows) * draws > WORK_LIMIT // 400:
        check.leave(f"a bootstrap of {draws} draws is too much work for this script")
        return
    check.require(draws >= 1000, f"{draws} draws are too few for an interval", cid)
    low, high = bootstrap_ppm(differences, output["table"], draws)
    wanted = {
        "right": [sum(right_first), sum(right_second)],
        "only_a": only_first,
        "only_b": only_second,
        "mcnemar_p_ppm": mcnemar_ppm(only_first, only_second),
        "difference_ppm": per_million(sum(differences), len(differences)),
        "low_ppm": low,
        "high_ppm": high,
        "verdict": "first" if low > 0 else "second" if high < 0 else "no difference shown",
    }
    for key, value in wanted.items():
        check.require(output[key] == value, f"{key} is {output[key]}, recomputed {value}", cid)


def again_calculation(run: Run, check: Check, output: Any, cid: Link) -> None:
    value = shown(evaluate(output["tree"]))
    check.require(output["value"] == value, f"the result is {output['value']}, recomputed {value}", cid)
    column = output["column"]
    if column is None:
        return
    table = run.table(column["table"])
    if table is None:
        check.leave(WITHHELD)
        return
    at = table["columns"].index(column["column"])
    cells = [cell_number(row[at]) for row in table["rows"]]
    used = [(row, number) for row, number in enumerate(cells) if number is not None]
    good = [row for row, _ in used] == column["rows"] and len(cells) - len(used) == column["left_out"]
    check.require(good, "rows of the column were left out or added", cid)
    tree = output["tree"]
    check.require(tree[0] == column["statistic"], "the statistic is another than it says", cid)
    same = [Fraction(number) for _, number in used] == [Fraction(leaf) for leaf in tree[1:]]
    check.require(same, "the numbers are not those of the column", cid)


RECOMPUTED: dict[str, Callable[[Run, Check, Any, Link], None]] = {
    "prediction": again_prediction,
    "explanation": again_explanation,
    "comparison": again_comparison,
    "calculation": again_calculation,
}


# ── all of it ────────────────────────────────────────────────────────────────────────────────────────────────────────


ABOUT = ("asker", "state", "tier")


def read_run(data: bytes) -> Run:
    """The run of a file; raises `Unreadable` where it is none."""
    if len(data) > FILE_LIMIT:
        raise Unreadable(f"more than {FILE_LIMIT} bytes")
    try:
        run = Run(data)
        if not isinstance(run.head["run"], bytes) or not all(isinstance(run.head[key], str) for key in ABOUT):
            raise TypeError("the head's run, asker, state or tier")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise Unreadable(f"the record is malformed: {type(error).__name__} {error}") from None
    return run


def verify(run: Run, chain: Chain | None = None, asker: str | None = None, escrow: bytes | None = None) -> list[Check]:
    """All checks, in order."""
    steps: tuple[tuple[str, Callable[[Check], None]], ...] = (
        ("V1", lambda check: check_content(run, check)),
        ("V2", lambda check: check_form(run, check)),
        ("V3", lambda check: check_order(run, check)),
        ("V4", lambda check: check_signatures(run, check, asker)),
        ("V5", lambda check: check_root(run, check)),
        ("V6", lambda check: check_links(run, check)),
        ("V7", lambda check: check_openings(run, check)),
        ("V8", lambda check: check_termination(run, check)),
        ("V9", lambda check: check_acceptance(run, check)),
        ("V10", lambda check: check_money(run, check)),
        ("V11", lambda check: check_chain(run, check, chain, escrow)),
        ("V12", lambda check: check_proofs(run, check, chain)),
        ("V13", lambda check: check_answer(run, check)),
        ("V14", lambda check: check_recomputation(run, check)),
    )
    checks = []
    for name, step in steps:
        check = Check(name)
        checks.append(check)
        carry_out(check, step)
    return checks


def carry_out(check: Check, step: Callable[[Check], None]) -> None:
    """Run one check to its end, whatever the file or the chain does to it."""
    try:
        step(check)
    except Refused as error:
        check.require(False, f"the chain refuses: {error}")
    except Unreachable as error:
        check.leave(f"the node of --rpc did not answer ({error}); try another one")
    except Exception as error:  # whatever a stranger's block lacks, it is no proof of anything
        check.require(False, f"a block is malformed: {type(error).__name__} {error}")


def exit_code(checks: Sequence[Check]) -> int:
    if any(check.status == FALSE for check in checks):
        return 1
    return 4 if any(check.status == OPEN for check in checks) else 0


def clean(text: str) -> str:
    """Text of strangers without control, escape and bidirectional characters."""
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn") else "?" for c in text)


def as_json(path: str, run: dict[str, Any], checks: Sequence[Check]) -> str:
    listed = [
        {
            "check": check.name,
            "title": TITLES[check.name],
            "status": check.status,
            "false": check.wrong,
            "open": check.open,
            "counted": dict(check.counted),
        }
        for check in checks
    ]
    return json.dumps({"file": path, **run, "exit": exit_code(checks), "checks": listed}, ensure_ascii=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="verify.py", description="Check the record of a PRSM run.")
    parser.add_argument("file", help="run-<id>.car")
    parser.add_argument("--rpc", metavar="URL", help="an Ethereum node: payments, anchor and proofs are checked there")
    parser.add_argument("--asker", metavar="DID", help="who must have asked")
    parser.add_argument("--escrow", metavar="ADDRESS", help="the escrow contract that must have been used")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    options = parser.parse_args(arguments)
    try:
        with open(options.file, "rb") as stream:
            data = stream.read(FILE_LIMIT + 1)
        escrow = address(options.escrow) if options.escrow else None
        chain = Chain(options.rpc) if options.rpc else None
        run = read_run(data)
    except (OSError, Unreadable, ValueError) as error:
        if options.json:
            print(json.dumps({"file": options.file, "exit": 2, "error": str(error)}))
        else:
            print(f"{options.file} cannot be read: {clean(str(error))}", file=sys.stderr)
        return 2
    checks = verify(run, chain, options.asker, escrow)
    about = {"run": run.head["run"].hex(), **{key: run.head[key] for key in ABOUT}}
    if options.json:
        print(as_json(options.file, about, checks))
        return exit_code(checks)
    print(clean(f"run {about['run']}, {about['state']}, tier {about['tier']}, asked by {about['asker']}"))
    for check in checks:
        detail = f" ({check.detail})" if check.detail else ""
        print(clean(f"{check.status:11} {check.name:3} {TITLES[check.name]}{detail}"))
        for reason in check.wrong + check.open:
            print(clean(f"                {reason}"))
    words = {0: "everything holds", 1: "something is false", 4: "nothing is false, not everything was checked"}
    print(words[exit_code(checks)])
    return exit_code(checks)


if __name__ == "__main__":
    sys.exit(main())
