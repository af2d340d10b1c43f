"""Values and ports that every package shares.

Knows nothing of chains, files or networks. What stands here lets lower packages be durable, paid and signed for without
importing upwards: a long function takes `Steps`, a paying one takes `Payments`, a signing one takes `Signer`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import NewType, Protocol, TypeVar

from prsm_protocol.errors import ContentError, UsageError

T = TypeVar("T")

# ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────────

Wei = NewType("Wei", int)
"""Integer wei of FTNS, 18 decimals. `Decimal` only where a person reads or types."""

FTNS = 10**18


class AmountInvalid(UsageError):
    text = "amount {amount!r} is not a number of FTNS; write for example 5 or 0.25 (at most 18 decimals, not negative)"


def parse_ftns(text: str) -> Wei:
    """Wei from what a person typed, exactly. Refuses signs, exponents beyond 18 decimals, and words."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise AmountInvalid(amount=text) from None
    if not amount.is_finite() or amount < 0:
        raise AmountInvalid(amount=text)
    wei = amount * FTNS
    if wei != wei.to_integral_value():
        raise AmountInvalid(amount=text)
    return Wei(int(wei))


def format_ftns(wei: int) -> str:
    """FTNS as a person reads it: exact, without trailing zeros."""
    whole, part = divmod(abs(wei), FTNS)
    tail = f"{part:018d}".rstrip("0")
    return ("-" if wei < 0 else "") + (f"{whole}.{tail}" if tail else str(whole))


def wei_bytes(wei: int) -> bytes:
    """A 32-byte big-endian amount, as blocks hold it (a CBOR integer ends at 2**64 - 1 wei, about 18.4 FTNS)."""
    return wei.to_bytes(32, "big")


def wei_from_bytes(data: bytes) -> Wei:
    return Wei(int.from_bytes(data, "big"))


# ── content ids ──────────────────────────────────────────────────────────────────────────────────────────────────────

RAW, DAG_PB, DAG_CBOR = 0x55, 0x70, 0x71
_CODECS = (RAW, DAG_PB, DAG_CBOR)


class CidInvalid(ContentError):
    text = "{value!r} is not a content id: {reason}; a CIDv1 in base32 begins with 'b'"


class CidUnsupported(ContentError):
    text = "content id uses code {code:#x}, which is not read here; supported are raw, dag-pb and dag-cbor with SHA-256"


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """A content id: CIDv1 (a CIDv0 is read as dag-pb), SHA-256 only, codec raw, dag-pb or dag-cbor."""

    codec: int
    digest: bytes

    def __post_init__(self) -> None:
        if self.codec not in _CODECS:
            raise CidUnsupported(code=self.codec)
        if len(self.digest) != 32:
            raise CidInvalid(value=self.digest.hex(), reason="a SHA-256 digest has 32 bytes")

    @classmethod
    def of(cls, data: bytes, codec: int = RAW) -> Cid:
        """The id of these bytes."""
        return cls(codec, hashlib.sha256(data).digest())

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        if len(data) == 34 and data[:2] == b"\x12\x20":
            return cls(DAG_PB, data[2:])
        if len(data) != 36:
            raise CidInvalid(value=data[:40].hex(), reason="a binary CIDv1 with SHA-256 has 36 bytes")
        if data[0] != 1:
            raise CidInvalid(value=data.hex(), reason=f"version {data[0]} is unknown")
        if data[1] not in _CODECS:
            raise CidUnsupported(code=data[1])
        if data[2:4] != b"\x12\x20":
            raise CidUnsupported(code=data[2])
        return cls(data[1], data[4:])

    @classmethod
    def parse(cls, text: str) -> Cid:
        if text.startswith("Qm") and len(text) == 46:
            return cls.from_bytes(_base58(text))
        if not text.startswith("b"):
            raise CidInvalid(value=text[:80], reason="only base32 is read")
        body = text[1:]
        try:
            raw = base64.b32decode(body.upper() + "=" * (-len(body) % 8))
        except ValueError:
            raise CidInvalid(value=text[:80], reason="the base32 is broken") from None
        cid = cls.from_bytes(raw)
        if cid.text != text:
            raise CidInvalid(value=text[:80], reason="the base32 is not in its canonical form")
        return cid

    @property
    def bytes(self) -> bytes:
        return b"\x01" + bytes([self.codec]) + b"\x12\x20" + self.digest

    @property
    def text(self) -> str:
        return "b" + base64.b32encode(self.bytes).decode().rstrip("=").lower()

    def __str__(self) -> str:
        return self.text


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _base58(text: str) -> bytes:
    number = 0
    for character in text:
        digit = _BASE58.find(character)
        if digit < 0:
            raise CidInvalid(value=text[:80], reason=f"{character!r} is not base58")
        number = number * 58 + digit
    return number.to_bytes(34, "big")


# ── runs and steps ───────────────────────────────────────────────────────────────────────────────────────────────────

RunId = NewType("RunId", str)
"""Sixteen bytes in hexadecimal."""


def new_run_id() -> RunId:
    return RunId(secrets.token_hex(16))


@dataclass(frozen=True)
class Waiting:
    """What something waits for, until when, and what happens then. There is no wait without a deadline."""

    for_what: str
    deadline: datetime
    then: str


@dataclass(frozen=True)
class Progress:
    """How far a step has come: `done` of `total` `unit`s, with a note a person can read."""

    step: str
    done: int
    total: int
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Retry:
    """How a step is repeated: full jitter between `first` and `last`, at most `attempts` times."""

    attempts: int = 1
    first: timedelta = timedelta(milliseconds=500)
    last: timedelta = timedelta(seconds=60)


NO_RETRY = Retry()


@dataclass(frozen=True)
class Call:
    """One named piece of work for `all_of` and `as_done`."""

    name: str
    run: Callable[[], object]
    retry: Retry = NO_RETRY


class Steps(Protocol):
    """Work cut into named steps. A durable implementation runs a finished step never again; names are unique in a run."""

    def once(self, name: str, call: Callable[[], T], retry: Retry = NO_RETRY) -> T:
        """Run `call` once and remember its result under `name`; after a crash the stored result is returned."""
        ...

    def all_of(self, calls: Sequence[Call], at_most: int = 8) -> list[object]:
        """Run all, `at_most` at a time, and return results in the order of `calls`; the first error is raised at the end."""
        ...

    def as_done(self, calls: Sequence[Call], at_most: int = 8) -> Iterator[tuple[str, object]]:
        """Yield (name, result) as each finishes, so that a slow branch holds nobody. An error is yielded as its value."""
        ...

    def wait(
        self, waiting: Waiting, until: Callable[[], T | None], every: timedelta = timedelta(milliseconds=200)
    ) -> T:
        """Store `waiting`, then ask `until` again and again; its first value that is not None is returned.

        Raises `DeadlinePassed` after the deadline; `until` is asked once more first, since a timer only wakes.
        """
        ...

    def report(self, progress: Progress) -> None:
        """Tell whoever watches."""
        ...


class DeadlinePassed(UsageError):
    exit_code = 1
    text = "waited for {for_what} until {deadline}; then: {then}"


class Immediate:
    """`Steps` that just call: for tests and for use as a library. Threads fan out; nothing is stored."""

    def __init__(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._on_progress = on_progress

    def once(self, name: str, call: Callable[[], T], retry: Retry = NO_RETRY) -> T:
        return call()

    def all_of(self, calls: Sequence[Call], at_most: int = 8) -> list[object]:
        done = dict(self.as_done(calls, at_most))
        for call in calls:
            result = done[call.name]
            if isinstance(result, BaseException):
                raise result
        return [done[call.name] for call in calls]

    def as_done(self, calls: Sequence[Call], at_most: int = 8) -> Iterator[tuple[str, object]]:
        if not calls:
            return
        with ThreadPoolExecutor(max_workers=max(1, min(at_most, len(calls)))) as pool:
            futures: dict[Future[object], str] = {pool.submit(call.run): call.name for call in calls}
            for future in as_completed(futures):
                error = future.exception()
                yield futures[future], error if error is not None else future.result()

    def wait(
        self, waiting: Waiting, until: Callable[[], T | None], every: timedelta = timedelta(milliseconds=200)
    ) -> T:
        return poll(waiting, until, every)

    def report(self, progress: Progress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)


def poll(waiting: Waiting, until: Callable[[], T | None], every: timedelta) -> T:
    """Ask `until` every so often up to the deadline. Polling is all that a condition outside this process allows."""
    import threading

    pause = threading.Event()
    while True:
        late = datetime.now(UTC) >= waiting.deadline
        result = until()
        if result is not None:
            return result
        if late:
            raise DeadlinePassed(
                for_what=waiting.for_what, deadline=waiting.deadline.isoformat(timespec="seconds"), then=waiting.then
            )
        pause.wait(every.total_seconds())


# ── ports ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Signer(Protocol):
    """An Ed25519 identity that signs `prsm/<domain>` ‖ 0 ‖ length ‖ message (`identity.sign`)."""

    @property
    def did(self) -> str:
        """The public key as a did:key."""
        ...

    def sign(self, domain: str, message: bytes) -> bytes:
        """64 bytes, RFC 8032."""
        ...


class Clock(Protocol):
    def now(self) -> datetime: ...


class SystemClock:
    """The wall clock, for people and logs. Money runs on chain time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


# ── records that cross siblings ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Feature:
    """One input column: the front's scaling makes the integer word round_half_even((cell - mean) / spread * 2**bits).

    `mean` and `spread` are canonical decimals in text, so every language gets the same word from the same cell.
    """

    name: str
    mean: str
    spread: str
    unit: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class CircuitRef:
    """A circuit of a listing: `id` is VerifierRouter's circuitId, `manifest` and `key` are CIDs of the circuit's files."""

    id: bytes
    manifest: Cid
    key: Cid
    batch_rows: int
    input_visibility: str  # "public" or "hashed"


@dataclass(frozen=True)
class Price:
    base: Wei
    per_row: Wei


@dataclass(frozen=True)
class Listing:
    """What an owner offers, signed, content-addressed and found by `Provenance.anchor` (kind LISTING, subject the record).

    `bits` is the fixed-point scale of input and output words. `classes` names the outputs of a classifier (two classes share
    one output word: positive means the second); a regressor has no classes and `target_mean`, `target_spread` turn its word
    into a number. `model` is the ONNX file over words / 2**bits, `weights` the block of integer layers that anyone can run.
    """

    name: str
    record: bytes
    owner: str  # 0x address that owns the record
    kinds: tuple[str, ...]  # task kinds, e.g. ("predict",)
    features: tuple[Feature, ...]
    classes: tuple[str, ...]
    target: str
    bits: int
    model: Cid
    weights: Cid
    price: Price
    tiers: tuple[str, ...]
    circuits: tuple[CircuitRef, ...]
    licence: str
    may_distill: bool
    trained_on: tuple[Cid, ...]
    evaluations: tuple[Cid, ...]
    endpoints: tuple[str, ...]
    ancestors: tuple[bytes, ...] = ()
    target_mean: str = "0"
    target_spread: str = "1"
    proved_from: int | None = None  # unix seconds; None: at once
    by: str = ""  # did:key of the signer
    signature: bytes = b""
    cid: Cid | None = field(default=None, compare=False)  # not part of the block: its name


@dataclass(frozen=True)
class Usage:
    rows: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    run_us: int = 0


@dataclass(frozen=True)
class VoucherRef:
    channel: bytes
    sequence: int
    cumulative: Wei


@dataclass(frozen=True)
class Receipt:
    """What a provider signs about one delivered part. `input` and `output` are seals (SHA-256 over salt and CID) or CIDs."""

    job: bytes
    task: bytes
    listing: Cid
    input: bytes
    output: bytes
    usage: Usage
    charged: Wei
    tier: str
    proof: Cid | None
    public_values: Cid | None
    circuit: bytes | None
    operator: str
    voucher: VoucherRef | None = None
    by: str = ""
    signature: bytes = b""


@dataclass(frozen=True)
class Candidate:
    """One setting that the circuit search tried, and why it lost (empty: it won)."""

    bits: int
    base: int
    legs: int
    columns: int
    k: int
    rows: int
    seconds_us: int
    verify_gas: int
    lost: str


@dataclass(frozen=True)
class CircuitReport:
    """What a build found out; the prover's record (`prsm circuit build`, distillation over HTTP)."""

    name: str
    manifest: Cid
    circuit_id: bytes
    code_hash: bytes
    bits: int
    input_visibility: str
    inputs: int
    outputs: int
    batch_rows: int
    setup: str
    k: int
    rows: int
    words: int
    prove_us: int
    peak_bytes: int
    key_bytes: int
    verify_gas: int
    deploy_gas: int
    verifier_bytes: int
    agreement_ppm: int
    largest_error_ppm: int
    candidates: tuple[Candidate, ...]


def thread_map(function: Callable[[T], object], items: Iterable[T], at_most: int = 4) -> list[object]:
    """Map in threads, in order; the first error is raised."""
    with ThreadPoolExecutor(max_workers=at_most) as pool:
        return list(pool.map(function, items))
