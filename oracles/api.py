"""The node's HTTP routes. Public: node, offers, health. Others are signed by the asker or carry the owner's token.

Routes read and answer; what they change they leave to the node's parts. Nothing here waits for a proof or a block.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from oracles import earnings, inputs, quotes
from oracles.next_step import Work
from oracles.node import Node
from oracles.offers import Offer
from oracles.problems import BodyLimit, NotYours, Rate, install
from oracles.shapes import InputBody, QuotesBody, RowsBody, VoucherBody, hexed, is_hex32, unhex
from oracles.store import TaskRow
from oracles.workbench import stored_attestation
from prsm_protocol import __version__
from prsm_protocol.content import gateway
from prsm_protocol.errors import NodeError
from prsm_protocol.identity.requests import check_headers
from prsm_protocol.ledger.voucher_message import SignedVoucher, VoucherMalformed
from prsm_protocol.trace import blocks as trace_blocks
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid, Receipt


class TaskUnknown(NodeError):
    text = "task {task} is not known here; quotes that nobody assigned are forgotten, ask for a new one"


class TaskEnded(NodeError):
    text = "task {task} takes no input any more: {state}; ask for a new quote"


class TooEarly(NodeError):
    text = "task {task} has no result yet, it waits for {for_what} until {deadline}; ask again later"


def create_app(node: Node) -> FastAPI:
    """All routes of a node."""
    app = FastAPI(title="PRSM node", version=__version__)
    app.add_middleware(BodyLimit)
    install(app)
    signed = _signed(node)
    owner = _owner(node.home / "token")
    _public(app, node)
    _tasks(app, node, signed, owner)
    _metered(app, node, signed, owner)
    _owners(app, node, owner)
    app.include_router(gateway.router(node.blocks), include_in_schema=False)
    return app


Principal = Callable[[Request], Awaitable[str]]


def _signed(node: Node) -> Principal:
    seen: dict[str, float] = {}

    async def principal(request: Request) -> str:
        """The did that signed this request."""
        body = await request.body()
        return check_headers(request.headers, request.method, request.url.path, body, time.time(), seen)

    return principal


def _owner(token_file: Path) -> Principal:
    async def principal(request: Request) -> str:
        """The owner, by the token in the node's home."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token_file.read_text(encoding="utf-8").strip().encode()):
            raise NotYours(what="this route")
        return "owner"

    return principal


# ── public ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _public(app: FastAPI, node: Node) -> None:
    @app.get("/v1/node")
    def about() -> dict[str, object]:
        return node.about()

    @app.get("/v1/offers")
    def offers() -> dict[str, object]:
        return {"offers": [_offer(node, offer) for offer in node.catalogue.offers()]}

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    def ready() -> Response:
        reasons = node.not_ready()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(node.metrics(), media_type="text/plain; version=0.0.4")


def _offer(node: Node, offer: Offer) -> dict[str, object]:
    p50, p95 = node.seconds(offer)
    return {
        "listing": str(offer.cid),
        "name": offer.listing.name,
        "tiers": list(offer.tiers),
        "circuits": [
            {
                "circuit_id": hexed(circuit.ref.id),
                "manifest": str(circuit.ref.manifest),
                "input_visibility": circuit.held.input_visibility,
                "batch_rows": circuit.ref.batch_rows,
            }
            for circuit in offer.circuits
        ],
        "price_base_wei": str(offer.price_base),
        "price_per_row_wei": str(offer.price_per_row),
        "p50_seconds": p50,
        "p95_seconds": p95,
        "setup": offer.circuits[0].held.setup if offer.circuits else None,
    }


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tasks(app: FastAPI, node: Node, signed: Principal, owner: Principal) -> None:
    rate = Rate(node.config.quotes.per_minute)

    @app.post("/v1/quotes")
    def quote(body: QuotesBody, asker: str = Depends(signed)) -> dict[str, object]:
        rate.check(asker)
        circuit = unhex(body.circuit_id) if body.circuit_id is not None else None
        if circuit is None and body.tier == "proved":
            held = node.catalogue.offer(body.listing).circuits
            circuit = held[0].ref.id if held else None
        given = node.quotes.give(body.to_request(asker, circuit))
        return {
            "quotes": [
                {
                    "assignment": entry.assignment.to_json(),
                    "signature": hexed(entry.signature),
                    "task_id": hexed(entry.task_id),
                    "seconds": entry.seconds,
                }
                for entry in given
            ]
        }

    @app.post("/v1/inputs/{task_id}", status_code=202)
    def take_input(task_id: str, body: InputBody) -> dict[str, object]:
        row = _row(node, task_id)
        if row.work not in (Work.QUOTED, Work.ASSIGNED):
            if row.work is Work.UNABLE or row.closed:
                raise TaskEnded(task=task_id, state=row.reason or row.work.value)
            return {"waiting": _waiting(node, row)}  # it is here already; sending it again changes nothing
        if row.closed:
            raise TaskEnded(task=task_id, state="the quote lapsed")
        _keep_input(node, row, body)
        node.wake()
        return {"waiting": _waiting(node, row)}

    @app.get("/v1/tasks/{task_id}")
    def state(task_id: str) -> dict[str, object]:
        return _task(node, _row(node, task_id))

    @app.get("/v1/tasks/{task_id}/result")
    async def result(task_id: str, request: Request) -> dict[str, object]:
        row = _row(node, task_id)
        await _require_asker(request, row, signed, owner)
        return _result(node, row)


async def _require_asker(request: Request, row: TaskRow, signed: Principal, owner: Principal) -> None:
    """A proved result is public in calldata anyway; any other is shown to its asker and to the node's owner."""
    if row.quote.get("tier") == "proved":
        return
    if "authorization" in request.headers:
        await owner(request)
        return
    if await signed(request) != row.asker:
        raise NotYours(what=f"task {row.task}")


def _keep_input(node: Node, row: TaskRow, body: InputBody) -> None:
    """Check words against the quote and keep them; nothing wrong is kept, and nothing wrong declines the task."""
    offer = node.catalogue.offer(str(row.quote["listing"]))
    assignment = quotes.assignment_of(row)
    listed = next((ref for ref in offer.listing.circuits if ref.id == assignment.circuit_id), None)
    rows = row.quote["rows"]
    assert isinstance(rows, int)
    words = tuple(int(word) for word in body.words)
    salt = None if body.salt is None else tuple(int(word) for word in body.salt)
    inputs.check_shape(words, expected=rows * len(offer.listing.features), bits=offer.listing.bits)
    inputs.check_salt(salt, is_hashed=listed is not None and listed.input_visibility == "hashed")
    data = inputs.TaskInput(words, salt)
    inputs.check_hash(data, assignment.input_hash)
    node.store.keep_input(row.task, inputs.encode(data))


def _row(node: Node, task_id: str) -> TaskRow:
    row = node.store.task(task_id) if is_hex32(task_id) else None
    if row is None:
        raise TaskUnknown(task=task_id[:80])
    return row


def _waiting(node: Node, row: TaskRow) -> dict[str, object] | None:
    fresh = node.store.task(row.task) or row
    _, step = node.tasks.step_of(fresh)
    if step is None:
        return None
    if step.waiting is None:
        return {"for_what": f"this node to {step.do.value}", "deadline": None, "then": "the task goes on"}
    return {
        "for_what": step.waiting.for_what,
        "deadline": step.waiting.deadline.isoformat(),
        "then": step.waiting.then,
    }


def _task(node: Node, row: TaskRow) -> dict[str, object]:
    view, _ = node.tasks.step_of(row)
    return {
        "task_id": row.task,
        "work": row.work.value,
        "chain": view.state.value,
        "waiting": _waiting(node, row),
        "decline_code": row.decline_code,
        "reason": row.reason or None,
        "transactions": {intent.kind: intent.hash for intent in node.store.intents(task=row.task) if intent.hash},
    }


def _result(node: Node, row: TaskRow) -> dict[str, object]:
    receipt_block = node.store.file(row.task, "receipt")
    attestation = stored_attestation(node.store, row.task)
    if receipt_block is None or attestation is None or row.work is not Work.SIGNED:
        if row.work is Work.UNABLE:
            raise TaskEnded(task=row.task, state=row.reason)
        waiting = _waiting(node, row) or {"for_what": "nothing", "deadline": None}
        raise TooEarly(task=row.task, for_what=waiting["for_what"], deadline=waiting["deadline"])
    signature = node.store.signature(row.task)
    output = node.store.file(row.task, "result")
    assert signature is not None
    assert output is not None
    block = dag_cbor.decode(output)
    assert isinstance(block, dict)
    proof = node.store.file(row.task, "proof")
    paid = next((event for event in node.store.events(key=row.task, name="TaskPaid")), None)
    delivered = next((event for event in node.store.events(key=row.task, name="TaskDelivered")), None)
    return {
        "output_words": [str(int.from_bytes(word, "big")) for word in _bytes_list(block["words"])],
        "attestation": attestation.to_json(),
        "signature": hexed(signature),
        **_proof(proof),
        "receipt": receipt_json(trace_blocks.receipt_from_block(receipt_block)),
        "receipt_cid": str(Cid.of(receipt_block, DAG_CBOR)),
        "deliver_transaction": delivered.transaction if delivered is not None else None,
        "paid": None if paid is None else {f"{name}_wei": str(paid.fields[name]) for name in ("net", "fee", "royalty")},
        "paid_transaction": paid.transaction if paid is not None else None,
    }


def _proof(raw: bytes | None) -> dict[str, object]:
    if raw is None:
        return {"proof": None, "proof_inputs": []}
    block = dag_cbor.decode(raw)
    assert isinstance(block, dict)
    data = block["proof"]
    assert isinstance(data, bytes)
    return {
        "proof": hexed(data),
        "proof_inputs": [str(int.from_bytes(word, "big")) for word in _bytes_list(block["inputs"])],
    }


def receipt_json(receipt: Receipt) -> dict[str, object]:
    """`types.Receipt` as JSON: bytes hex, ids text, amounts decimal text."""
    voucher = receipt.voucher
    return {
        "job": hexed(receipt.job),
        "task": hexed(receipt.task),
        "listing": str(receipt.listing),
        "input": hexed(receipt.input),
        "output": hexed(receipt.output),
        "usage": {
            "rows": receipt.usage.rows,
            "input_tokens": receipt.usage.input_tokens,
            "output_tokens": receipt.usage.output_tokens,
            "run_us": receipt.usage.run_us,
        },
        "charged": str(receipt.charged),
        "tier": receipt.tier,
        "proof": None if receipt.proof is None else str(receipt.proof),
        "public_values": None if receipt.public_values is None else str(receipt.public_values),
        "circuit": None if receipt.circuit is None else hexed(receipt.circuit),
        "operator": receipt.operator,
        "voucher": None
        if voucher is None
        else {"channel": hexed(voucher.channel), "sequence": voucher.sequence, "cumulative": str(voucher.cumulative)},
        "by": receipt.by,
        "signature": hexed(receipt.signature),
    }


def _bytes_list(value: object) -> list[bytes]:
    assert isinstance(value, list)
    return value


# ── metered use ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _metered(app: FastAPI, node: Node, signed: Principal, owner: Principal) -> None:
    rate = Rate(node.config.quotes.per_minute * 10)

    @app.post("/v1/rows")
    def rows(
        body: RowsBody,
        prsm_voucher: Annotated[str, Header(max_length=8192)],
        asker: str = Depends(signed),
        idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
    ) -> dict[str, object]:
        rate.check(asker)
        table = [[int(word) for word in row] for row in body.rows]
        served = node.vouchers.serve_rows(asker, body.listing, table, _voucher(prsm_voucher), idempotency_key)
        node.wake()
        return {"outputs": served.outputs, "receipt": receipt_json(served.receipt), "channel": served.channel}

    @app.post("/v1/vouchers")
    async def voucher(body: VoucherBody, request: Request) -> dict[str, object]:
        asker = await signed(request) if "prsm-did" in request.headers else None
        return await run_in_threadpool(node.vouchers.take, body.signed(), asker)

    @app.get("/v1/channels/{channel_id}")
    def channel(channel_id: str) -> dict[str, object]:
        return node.vouchers.show(channel_id)

    @app.post("/v1/channels/{channel_id}/settle", status_code=202)
    async def settle(channel_id: str, request: Request) -> dict[str, object]:
        await _require_user(node, request, channel_id, signed, owner)
        return await run_in_threadpool(node.vouchers.settle, channel_id)

    @app.post("/v1/channels/{channel_id}/close", status_code=202)
    async def close(channel_id: str, request: Request) -> dict[str, object]:
        await _require_user(node, request, channel_id, signed, owner)
        return await run_in_threadpool(node.vouchers.close, channel_id)


async def _require_user(node: Node, request: Request, channel_id: str, signed: Principal, owner: Principal) -> None:
    """Settling costs this node gas and closing ends somebody's channel: only its user or our owner may ask."""
    if "authorization" in request.headers:
        await owner(request)
    elif not node.vouchers.is_user(channel_id, await signed(request)):
        raise NotYours(what=f"channel {channel_id[:66]}")


def _voucher(header: str) -> SignedVoucher:
    try:
        return SignedVoucher.from_json(json.loads(header))
    except ValueError:
        raise VoucherMalformed(field="PRSM-Voucher") from None


# ── the owner's ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _owners(app: FastAPI, node: Node, owner: Principal) -> None:
    @app.get("/v1/earnings")
    def earned(_: str = Depends(owner)) -> dict[str, object]:
        return {
            "net_wei": str(earnings.total_net(node.store)),
            "earnings": [entry.to_json() for entry in earnings.all_earnings(node.store)],
        }

    @app.get("/v1/earnings/{task_id}")
    def why_paid(task_id: str, _: str = Depends(owner)) -> dict[str, object]:
        found = earnings.of_task(node.store, task_id)
        if found is None:
            raise TaskUnknown(task=task_id[:80])
        return found.to_json()

    @app.get("/v1/status")
    def status(_: str = Depends(owner)) -> dict[str, object]:
        return {
            **node.status(),
            "tasks": [_task(node, row) for row in node.store.open_tasks()],
        }

    @app.post("/v1/drain")
    def drain(_: str = Depends(owner)) -> dict[str, object]:
        node.drain()
        return {"draining": True, "open_tasks": len(node.store.open_tasks())}


__all__ = ["create_app", "receipt_json"]
