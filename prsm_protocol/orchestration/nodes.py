"""Operators' nodes: quote, assign, send the input, watch, check what comes back. Nothing a node says is taken on its word.

A result counts when its receipt is signed by the node's identity, names our task, input, output and price, its attestation
fits the assignment, and the escrow says that the task was delivered (for a proved one: paid, which the contracts do only after
the proof was accepted).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

import httpx

from prsm_protocol.errors import OrchestrationError, PrsmError
from prsm_protocol.identity import verify
from prsm_protocol.identity.requests import sign_headers
from prsm_protocol.orchestration.listings import NodeClient, NodeOffer, OfferedCircuit
from prsm_protocol.orchestration.payments import SignedQuote
from prsm_protocol.orchestration.router import Served
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, Result
from prsm_protocol.rules.oracle.attestation import Attestation
from prsm_protocol.rules.oracle.instances import Layout, from_word, input_hash, output_hash, to_word
from prsm_protocol.rules.oracle.tiers import Tier
from prsm_protocol.trace import blocks, dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid, Receipt, Signer, Steps, Usage, VoucherRef, Waiting, Wei

SALT_WORDS = 5
_SALT_BITS = 31
_REPLY_LIMIT = 8 * 1024 * 1024
POLL = timedelta(milliseconds=300)
GONE_SECONDS = 5.0
"""Nobody listens at the node's address for so long: its process is gone."""
SILENCE_SECONDS = 30.0
"""A node that listens and answers nothing for so long is left: a machine that proves on all cores may be slow for seconds.

Its open parts go to the others; their price returns by time."""


class NodeUnreachable(OrchestrationError):
    text = "node {url} does not answer ({reason}); another one is asked"


class NodeRefused(OrchestrationError):
    text = "node {url} refused: {code} ({detail})"


class QuoteOther(OrchestrationError):
    text = "node {url} quotes {field} = {found} where {asked} was asked for or offered; it is not used in this run"


class ReceiptInvalid(OrchestrationError):
    text = (
        "node {url}: {field} of its result for task {task} is not what was agreed ({why}); it is not used in this run"
    )


class ProofRejected(OrchestrationError):
    text = "node {url}: the chain did not pay for task {task}, so its proof was not accepted (state {state})"


# ── the wire ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class HttpNode:
    """A node's HTTP interface. Makes no retries of its own and follows no redirect."""

    def __init__(self, url: str, identity: Signer, http: httpx.Client | None = None) -> None:
        self.url = url.rstrip("/")
        self._identity = identity
        self._http = http or httpx.Client(timeout=httpx.Timeout(15, connect=5), follow_redirects=False, trust_env=False)

    def about(self) -> dict[str, object]:
        return self._json("GET", "/v1/node")

    def offers(self) -> dict[str, object]:
        return self._json("GET", "/v1/offers")

    def quotes(self, query: dict[str, object]) -> dict[str, object]:
        return self._json("POST", "/v1/quotes", query, signed=True)

    def send_input(self, task_id: bytes, body: dict[str, object]) -> None:
        self._json("POST", f"/v1/inputs/0x{task_id.hex()}", body, signed=True)

    def task(self, task_id: bytes) -> dict[str, object]:
        return self._json("GET", f"/v1/tasks/0x{task_id.hex()}")

    def result(self, task_id: bytes) -> dict[str, object]:
        return self._json("GET", f"/v1/tasks/0x{task_id.hex()}/result", signed=True)

    def _json(
        self, method: str, path: str, body: dict[str, object] | None = None, *, signed: bool = False
    ) -> dict[str, object]:
        raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"content-type": "application/json"} if body is not None else {}
        if signed:
            headers |= sign_headers(self._identity, method, path, raw, time.time())
        try:
            answer = self._http.request(method, self.url + path, content=raw or None, headers=headers)
        except httpx.HTTPError as error:
            raise NodeUnreachable(url=self.url, reason=type(error).__name__) from None
        if len(answer.content) > _REPLY_LIMIT:
            raise NodeRefused(url=self.url, code="ReplyTooLarge", detail=f"{len(answer.content)} bytes")
        try:
            value = answer.json() if answer.content else {}
        except ValueError:
            raise NodeRefused(url=self.url, code=str(answer.status_code), detail="its reply is no JSON") from None
        if answer.status_code >= 500:
            raise NodeUnreachable(url=self.url, reason=f"status {answer.status_code}")
        if answer.status_code >= 400 or not isinstance(value, dict):
            problem = value if isinstance(value, dict) else {}
            detail = problem.get("reason") or problem.get("detail") or answer.status_code
            raise NodeRefused(url=self.url, code=str(problem.get("type", answer.status_code)), detail=str(detail)[:200])
        return value


def parse_offers(url: str, about: dict[str, object], offers: dict[str, object]) -> list[NodeOffer]:
    """A node's offers; entries that do not read are left out, since a stranger wrote them."""
    found: list[NodeOffer] = []
    for entry in cast("list[object]", offers.get("offers") or []):
        try:
            found.append(_offer(url, about, cast("dict[str, object]", entry)))
        except (KeyError, TypeError, ValueError, AttributeError, PrsmError):
            continue
    return found


def _offer(url: str, about: dict[str, object], entry: dict[str, object]) -> NodeOffer:
    circuits = tuple(
        OfferedCircuit(
            _hex(circuit["circuit_id"]),
            str(circuit["manifest"]),
            str(circuit["input_visibility"]),
            _int(circuit["batch_rows"]),
        )
        for circuit in cast("list[dict[str, object]]", entry["circuits"])
    )
    base, per_row = _int(entry["price_base_wei"]), _int(entry["price_per_row_wei"])
    if base < 0 or per_row < 0:
        raise ValueError("negative price")
    return NodeOffer(
        url=url,
        operator=str(about["operator"]),
        did=str(about["did"]),
        listing=Cid.parse(str(entry["listing"])).text,
        tiers=tuple(str(tier) for tier in cast("list[object]", entry["tiers"])),
        circuits=circuits,
        price_base=Wei(base),
        price_per_row=Wei(per_row),
        p50_seconds=_seconds(entry.get("p50_seconds")),
        p95_seconds=_seconds(entry.get("p95_seconds")),
    )


def _hex(value: object) -> bytes:
    return bytes.fromhex(str(value).removeprefix("0x"))


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(f"{value!r} is no integer")
    return int(value)


def _seconds(value: object) -> int:
    return max(1, round(float(value))) if isinstance(value, (int, float, str)) else 1


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Part:
    """One row on its way: its words and what hides them. `task_salt` makes the task's id unique."""

    row: int
    words: tuple[int, ...]
    salt: tuple[int, ...]
    task_salt: int

    def input_hash(self, served: Served) -> bytes:
        hashed = served.circuit is not None and served.circuit.input_visibility == "hashed"
        layout = Layout(inputs=len(self.words), outputs=1, hashed_input=hashed)
        return input_hash(layout, self.words, self.salt if hashed else ())


@dataclass(frozen=True)
class Delivered:
    """One checked result, with everything the record needs so that a stranger can check it again."""

    row: int
    words: tuple[int, ...]
    receipt: Receipt
    receipt_cid: Cid
    assignment: Assignment
    result: Result
    signature: bytes
    proof: bytes
    proof_inputs: tuple[int, ...]
    proof_outputs: tuple[int, ...]
    input_words: tuple[int, ...]
    input_salt: tuple[int, ...]
    transaction: str
    url: str
    manifest: str
    seconds: int


def draw_salts(count: int) -> list[tuple[tuple[int, ...], int]]:
    """(what hides a row, what makes its task unique), fresh for each part. Call it inside a step: it is drawn once and kept."""
    return [
        (tuple(secrets.randbits(_SALT_BITS) for _ in range(SALT_WORDS)), secrets.randbits(256)) for _ in range(count)
    ]


def deal(parts: Sequence[Part], served: Sequence[Served]) -> dict[str, list[Part]]:
    """Parts dealt one after the other over the nodes, so each gets its share whatever the number."""
    hands: dict[str, list[Part]] = {}
    for index, part in enumerate(parts):
        hands.setdefault(served[index % len(served)].offer.url, []).append(part)
    return hands


def ask_quotes(
    node: NodeClient,
    served: Served,
    parts: Sequence[Part],
    terms: JobTerms,
    job: bytes,
    spec: bytes,
    deliver_within: int,
) -> tuple[SignedQuote, ...]:
    """Signed assignments for these parts, each compared field by field with what was asked."""
    circuit = served.circuit.circuit_id if served.circuit is not None else None
    answer = node.quotes(
        {
            "job": {"terms": terms.to_json()},
            "listing": served.offer.listing,
            "tier": served.tier,
            "circuit_id": None if circuit is None else "0x" + circuit.hex(),
            "spec": "0x" + spec.hex(),
            "parts": [
                {"input_hash": "0x" + part.input_hash(served).hex(), "salt": str(part.task_salt)} for part in parts
            ],
            "deliver_within": deliver_within,
        }
    )
    url, entries = served.offer.url, answer.get("quotes")
    if not isinstance(entries, list) or len(entries) != len(parts):
        raise NodeRefused(url=url, code="QuotesIncomplete", detail=f"{len(parts)} parts were asked for")
    return tuple(
        _checked_quote(served, part, entry, job, spec, deliver_within)
        for part, entry in zip(parts, entries, strict=True)
    )


def _checked_quote(
    served: Served, part: Part, entry: object, job: bytes, spec: bytes, deliver_within: int
) -> SignedQuote:
    url = served.offer.url
    try:
        document = cast("dict[str, object]", entry)
        assignment = Assignment.from_json(cast("dict[str, object]", document["assignment"]))
        signature = _hex(document["signature"])
        seconds = _seconds(document.get("seconds"))
    except (KeyError, TypeError, ValueError, PrsmError) as error:
        raise NodeRefused(url=url, code="QuoteUnreadable", detail=str(error)[:200]) from None
    expected: dict[str, object] = {
        "job_id": job,
        "operator": served.offer.operator,
        "circuit_id": served.circuit.circuit_id if served.circuit is not None else bytes(32),
        "input_hash": part.input_hash(served),
        "spec": spec,
        "tier": int(Tier[served.tier.upper()]),
        "deliver_within": deliver_within,
        "salt": part.task_salt,
        "started_bps": 0,
    }
    for name, value in expected.items():
        found = getattr(assignment, name)
        if found != value and not (name == "operator" and str(found).lower() == str(value).lower()):
            raise QuoteOther(url=url, field=name, found=_short(found), asked=_short(value))
    if assignment.price > served.offer.price(1):
        raise QuoteOther(url=url, field="price", found=assignment.price, asked=served.offer.price(1))
    return SignedQuote(assignment, signature, assignment.struct_hash(), seconds, url)


def send_inputs(
    node: NodeClient, served: Served, parts: Sequence[Part], quotes: Sequence[SignedQuote], terms: JobTerms
) -> None:
    """Send every part. A run that goes on after a crash sends again, to tasks that may have ended: watching tells how."""
    hashed = served.circuit is not None and served.circuit.input_visibility == "hashed"
    for part, quote in zip(parts, quotes, strict=True):
        body: dict[str, object] = {
            "words": [str(word) for word in part.words],
            "salt": [str(word) for word in part.salt] if hashed else None,
            "terms": terms.to_json(),
        }
        try:
            node.send_input(quote.task_id, body)
        except NodeRefused as refused:
            if refused.values["code"] != "TaskEnded":
                raise


@dataclass(frozen=True)
class Outcome:
    """How one node's share ended: tasks whose results are stored, tasks it declined, tasks still open when it fell silent."""

    done: tuple[bytes, ...]
    declined: tuple[tuple[bytes, str], ...]
    open: tuple[bytes, ...]


def watch(
    node: NodeClient,
    url: str,
    quotes: Sequence[SignedQuote],
    steps: Steps,
    *,
    name: str,
    deadline: datetime,
    on_done: Callable[[int], None],
) -> Outcome:
    """Poll one node until each task is delivered or declined, the node is silent for too long, or time is up.

    Each result is kept under the step `<name>/result <task>`, so a resumed run does not ask for it again.
    """
    done: list[bytes] = []
    declined: dict[bytes, str] = {}
    last_heard = [time.monotonic()]
    limit = [SILENCE_SECONDS]

    def ask() -> bool | None:
        for quote in quotes:
            task = quote.task_id
            if task in done or task in declined:
                continue
            try:
                state = node.task(task)
                last_heard[0] = time.monotonic()
                chain = str(state.get("chain")).lower()
                if state.get("decline_code") is not None or chain in ("declined", "refunded"):
                    declined[task] = str(state.get("decline_code") or chain)
                elif chain in ("paid", "delivered"):
                    document = node.result(task)
                    steps.once(f"{name}/result {task.hex()}", partial(_same, document))
                    done.append(task)
                    on_done(len(done))
            except NodeUnreachable as error:
                limit[0] = GONE_SECONDS if error.values["reason"] == "ConnectError" else SILENCE_SECONDS
                break
            except NodeRefused:
                last_heard[0] = time.monotonic()  # it lives; the result is not ready yet
        if len(done) + len(declined) == len(quotes):
            return True
        silent = time.monotonic() - last_heard[0] > limit[0]
        return True if silent or datetime.now(UTC) >= deadline else None

    waiting = Waiting(
        f"{len(quotes)} results of {url}", deadline + timedelta(seconds=1), "the other nodes do what is missing"
    )
    steps.wait(waiting, ask, POLL)
    left = tuple(q.task_id for q in quotes if q.task_id not in done and q.task_id not in declined)
    return Outcome(tuple(done), tuple(declined.items()), left)


def _same(document: dict[str, object]) -> dict[str, object]:
    return document


# ── checking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def input_block(words: Sequence[int], salt: Sequence[int]) -> dict[str, object]:
    """What a receipt's `input` is the digest of."""
    return {
        "v": 1,
        "kind": "input",
        "words": [to_word(word).to_bytes(32, "big") for word in words],
        "salt": [word.to_bytes(32, "big") for word in salt],
    }


def output_block(field_words: Sequence[int]) -> dict[str, object]:
    """What an attestation's `result` is the digest of."""
    return {"v": 1, "kind": "output", "words": [word.to_bytes(32, "big") for word in field_words]}


def _digest(block: dict[str, object]) -> bytes:
    return Cid.of(dag_cbor.encode(block), DAG_CBOR).digest


def check_result(
    document: dict[str, object], part: Part, quote: SignedQuote, served: Served, *, status: str, outputs: int
) -> Delivered:
    """The node's result, compared with what was agreed; raises and names the field that differs."""
    url, task = served.offer.url, "0x" + quote.task_id.hex()

    def refuse(field: str, why: str) -> ReceiptInvalid:
        return ReceiptInvalid(url=url, field=field, task=task[:18] + "…", why=why)

    try:
        field_words = tuple(_int(word) for word in cast("list[object]", document["output_words"]))
        attestation = Attestation.from_json(cast("dict[str, object]", document["attestation"]))
        signature = _hex(document["signature"])
        receipt = parse_receipt(cast("dict[str, object]", document["receipt"]))
        proof = b"" if document.get("proof") is None else _hex(document["proof"])
        proof_inputs = tuple(_int(word) for word in cast("list[object]", document.get("proof_inputs") or []))
        words = tuple(from_word(word, index) for index, word in enumerate(field_words))
        hashed = served.circuit is not None and served.circuit.input_visibility == "hashed"
        salt = part.salt if hashed else ()
        cid = blocks.cid_of(receipt)
        signed = verify(receipt.by, "receipt", blocks.signed_message(receipt), receipt.signature)
    except (KeyError, TypeError, ValueError, PrsmError) as error:
        raise refuse("form", str(error)[:200]) from None

    a, result = quote.assignment, _digest(output_block(field_words))
    if len(field_words) != outputs:
        raise refuse("output", f"{len(field_words)} words, the model gives {outputs}")
    if receipt.by != served.offer.did or not signed:
        raise refuse("signature", "the receipt is not signed by the node's identity")
    expected: list[tuple[str, object, object]] = [
        ("receipt.job", receipt.job, a.job_id),
        ("receipt.task", receipt.task, quote.task_id),
        ("receipt.listing", receipt.listing.text, served.offer.listing),
        ("receipt.input", receipt.input, _digest(input_block(part.words, salt))),
        ("receipt.output", receipt.output, result),
        ("receipt.tier", receipt.tier, served.tier),
        ("receipt.operator", receipt.operator.lower(), a.operator.lower()),
        ("attestation.task_id", attestation.task_id, quote.task_id),
        ("attestation.input_hash", attestation.input_hash, a.input_hash),
        ("attestation.circuit_id", attestation.circuit_id, a.circuit_id),
        ("attestation.output_hash", attestation.output_hash, output_hash(field_words)),
        ("attestation.result", attestation.result, result),
        ("attestation.tier", attestation.tier, a.tier),
        ("attestation.operator", attestation.operator.lower(), a.operator.lower()),
    ]
    for field, found, wanted in expected:
        if found != wanted:
            raise refuse(field, f"{_short(found)} instead of {_short(wanted)}")
    if receipt.charged > a.price:
        raise refuse("receipt.charged", f"{receipt.charged} is above the quote {a.price}")
    if served.tier == "proved" and status != "paid":
        raise ProofRejected(url=url, task=task[:18] + "…", state=status)
    if status not in ("paid", "delivered"):
        raise refuse("chain", f"the escrow says {status}")
    return Delivered(
        row=part.row,
        words=words,
        receipt=receipt,
        receipt_cid=cid,
        assignment=a,
        result=Result(attestation.output_hash, attestation.result, attestation.execution, attestation.signed_at),
        signature=signature,
        proof=proof,
        proof_inputs=proof_inputs,
        proof_outputs=field_words,
        input_words=part.words,
        input_salt=salt,
        transaction=str(document.get("deliver_transaction") or ""),
        url=url,
        manifest=served.circuit.manifest if served.circuit is not None else "",
        seconds=quote.seconds,
    )


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 24 else text[:20] + "…"


def parse_receipt(document: dict[str, object]) -> Receipt:
    """A receipt from its JSON form: bytes in hexadecimal, CIDs and amounts as text."""
    usage = cast("dict[str, object]", document.get("usage") or {})
    voucher = cast("dict[str, object] | None", document.get("voucher"))

    def optional(name: str) -> Cid | None:
        value = document.get(name)
        return None if value is None else Cid.parse(str(value))

    circuit = document.get("circuit")
    return Receipt(
        job=_hex(document["job"]),
        task=_hex(document["task"]),
        listing=Cid.parse(str(document["listing"])),
        input=_hex(document["input"]),
        output=_hex(document["output"]),
        usage=Usage(**{name: _int(value) for name, value in usage.items()}),
        charged=Wei(_int(document["charged"])),
        tier=str(document["tier"]),
        proof=optional("proof"),
        public_values=optional("public_values"),
        circuit=None if circuit is None else _hex(circuit),
        operator=str(document["operator"]),
        voucher=None
        if voucher is None
        else VoucherRef(_hex(voucher["channel"]), _int(voucher["sequence"]), Wei(_int(voucher["cumulative"]))),
        by=str(document["by"]),
        signature=_hex(document["signature"]),
    )
