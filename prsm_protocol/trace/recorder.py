"""Writes a run's record: one writer a run, one event a step, nothing secret.

A step recorded before returns its event, so a resumed run writes the same chain. Blocks are searched for secrets before
they are stored: what a trace holds is meant to be shown to strangers.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from prsm_protocol.errors import TraceError
from prsm_protocol.trace import dag_cbor, merkle
from prsm_protocol.trace.blocks import EVENTS, Delegation, Event, EventBody, Ref, RunHead, decode, encode, sign
from prsm_protocol.trace.seal import Sealed, seal
from prsm_protocol.trace.store import TraceStore
from prsm_protocol.types import DAG_CBOR, RAW, Cid, RunId, Signer


class SecretInTrace(TraceError):
    text = "the record would hold a secret at {field}; the step stopped and nothing was sent: take the secret out"


class ChainBroken(TraceError):
    text = "event {seq} of the run does not follow the one before; another process wrote into this run"


class PayloadUnknown(TraceError):
    text = "this record holds no payload for seal {digest}; it belongs to another run or was deleted"


class EventUnknown(TraceError):
    text = "{event!r} is no event of a run"


_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    re.compile(r"\b[Bb]earer\s+[A-Za-z0-9._~+/-]{20,}"),
    re.compile(r"\b(?:sk|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{20,}"),
)
_WORDS = re.compile(r"(?:\b[a-z]{3,8}\b\s+){11,}\b[a-z]{3,8}\b")


class SecretFilter:
    """Refuses known secrets, private keys in PEM, mnemonics and bearer tokens, anywhere in a value."""

    def __init__(self, known: Iterable[str | bytes] = ()) -> None:
        self._texts: set[str] = set()
        self._bytes: set[bytes] = set()
        for secret in known:
            raw = secret.encode() if isinstance(secret, str) else bytes(secret)
            if len(raw) >= 8:  # shorter ones would match by chance
                self._bytes.add(raw)
                self._texts.add(raw.hex())
                if isinstance(secret, str):
                    self._texts.add(secret)

    def check(self, value: object, field: str = "/") -> None:
        if isinstance(value, str):
            self._check_text(value, field)
        elif isinstance(value, bytes):
            if any(secret in value for secret in self._bytes):
                raise SecretInTrace(field=field)
            self._check_text(value.decode("utf-8", "ignore"), field)
        elif isinstance(value, dict):
            for key, entry in value.items():
                self.check(entry, f"{field}{key}/")
        elif isinstance(value, list | tuple):
            for at, entry in enumerate(value):
                self.check(entry, f"{field}{at}/")

    def _check_text(self, text: str, field: str) -> None:
        if any(secret in text for secret in self._texts) or any(pattern.search(text) for pattern in _PATTERNS):
            raise SecretInTrace(field=field)
        if any(_is_mnemonic(found.group().split()) for found in _WORDS.finditer(text)):
            raise SecretInTrace(field=field)


def _is_mnemonic(words: list[str]) -> bool:
    """Does a window of these words pass BIP-39's checksum? Prose practically never does."""
    from eth_account.hdaccount.mnemonic import Mnemonic  # slow to import, needed only for suspicious text
    from eth_account.types import Language

    english = Mnemonic(Language.ENGLISH)
    known = set(english.wordlist)
    for size in (12, 15, 18, 21, 24):
        for start in range(len(words) - size + 1):
            window = words[start : start + size]
            if all(word in known for word in window) and english.is_mnemonic_valid(" ".join(window)):
                return True
    return False


class Recorder:
    """The one writer of one run's record.

    `signer` is the run's key (its `Delegation.key`), or the asker's identity itself where there is no delegation.
    """

    def __init__(
        self,
        store: TraceStore,
        run: RunId,
        signer: Signer,
        *,
        secrets: SecretFilter | None = None,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        mono_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self.store = store
        self.run = run
        self.signer = signer
        self._secret = store.begin(run)
        self._filter = secrets or SecretFilter()
        self._wall_us, self._mono_us = wall_us, mono_us
        self._lock = threading.RLock()

    # ── blocks and payloads ──────────────────────────────────────────────────────────────────────────────────────────

    def put(self, block: object) -> Cid:
        """Store a structure block (a dataclass of `blocks`) for everybody to read."""
        return self.put_bytes(encode(block))

    def put_bytes(self, data: bytes, codec: int = DAG_CBOR) -> Cid:
        """Store a public block that is already encoded, such as a listing or weights."""
        self._filter.check(dag_cbor.decode(data) if codec == DAG_CBOR else data)
        return self.store.put(self.run, data, codec)

    def seal(self, payload: object) -> Sealed:
        """Store a private payload and return its seal. Bytes are kept raw, anything else becomes DAG-CBOR."""
        self._filter.check(payload)
        if isinstance(payload, bytes):
            data, codec = payload, RAW
        else:
            data, codec = dag_cbor.encode(payload), DAG_CBOR
        with self.store.transaction():
            cid = self.store.put(self.run, data, codec)
            sealed, opening = seal(self._secret, cid, len(data))
            self.store.add_opening(self.run, opening)
        return sealed

    def read(self, ref: Ref) -> bytes:
        """The payload behind a reference of this run."""
        if isinstance(ref, Cid):
            return self.store.get(self.run, ref)
        opening = self.store.opening(self.run, ref.digest)
        if opening is None:
            raise PayloadUnknown(digest=ref.digest.hex())
        return self.store.get(self.run, opening.cid)

    # ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def record(self, step: str, event: str, subject: Ref | None = None, signer: Signer | None = None) -> Cid:
        """Append one event; the same `step` again returns the event of the first time."""
        if event not in EVENTS:
            raise EventUnknown(event=event)
        signer = signer or self.signer
        with self._lock, self.store.transaction():
            known = self.store.event_of(self.run, step)
            if known is not None:
                return known
            last = self.store.last(self.run)
            body = EventBody(
                run=bytes.fromhex(self.run),
                seq=0 if last is None else last[0] + 1,
                prev=None if last is None else last[1],
                event=event,
                subject=subject,
                wall_us=self._wall_us(),
                mono_us=self._mono_us(),
                actor=signer.did,
            )
            return self.store.append(self.run, body.seq, step, sign(Event(body), signer))

    def head(self, template: RunHead, asker: Signer) -> Cid:
        """Sign and store a head: run, asker, events, root, last and previous are filled in from the record."""
        with self._lock, self.store.transaction():
            chain = self.store.events(self.run)
            for seq, cid in enumerate(chain):
                body = decode(Event, self.store.get(self.run, cid)).body
                if body.seq != seq or body.prev != (chain[seq - 1] if seq else None):
                    raise ChainBroken(seq=seq)
            head = replace(
                template,
                run=bytes.fromhex(self.run),
                asker=asker.did,
                events=len(chain),
                merkle_root=merkle.root([cid.bytes for cid in chain]),
                last=chain[-1] if chain else None,
                previous=self.store.head(self.run),
            )
            return self.store.add_head(self.run, sign(head, asker))


def delegate(asker: Signer, run: RunId, key: str, not_after_us: int) -> Delegation:
    """The asker's word that `key` writes this run until then."""
    return sign(Delegation(bytes.fromhex(run), asker.did, key, not_after_us), asker)
