"""The node over HTTP: Stardust's routes as Hornet answers them. Reading is answered at once from the store."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from prsm_protocol import __version__
from prsm_protocol.errors import LedgerError
from prsm_protocol.ledger import inclusion
from prsm_protocol.ledger.block_json import Json, block_to_json, hex_of, payload_to_json
from prsm_protocol.ledger.codec import MAX_BLOCK_BYTES, Milestone, block_id, decode, decode_milestone
from prsm_protocol.ledger.node.store import BlockRow, MilestoneRow, NodeStore
from prsm_protocol.ledger.node.tangle import BELOW_MAX_DEPTH, Tangle
from prsm_protocol.ledger.node.writer import Node, NodeSettings

BINARY = "application/vnd.iota.serializer-v1"
HEALTHY_SECONDS = 300
SUPPLY = 2_779_530_283_277_761  # the Stardust protocol's; clients insist on a number


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": str(status), "message": message}}, status)


async def _on_http(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else "Internal Server Error"
    answer = _error(status, detail)
    if isinstance(error, HTTPException) and error.headers is not None:
        answer.headers.update(error.headers)
    return answer


def _id(request: Request, name: str = "id") -> bytes:
    text = str(request.path_params[name])
    try:
        id = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        id = b""
    if len(id) != 32 or not text.startswith("0x"):
        raise HTTPException(400, f"invalid id: {text[:80]!r} is not 0x and 64 hexadecimal digits")
    return id


def _wants_binary(request: Request) -> bool:
    return BINARY in request.headers.get("accept", "")


def application(store: NodeStore, settings: NodeSettings, keep: int | None) -> Starlette:
    node = Node(store, Tangle(store, keep, int(time.time())), settings)
    core, poi = "/api/core/v2", "/api/poi/v1"
    handlers: list[tuple[str, str, Callable[[Node, Request], Response]]] = [
        ("GET", "/health", _health),
        ("GET", "/api/routes", _routes),
        ("GET", core + "/info", _info),
        ("GET", core + "/tips", _tips),
        ("GET", core + "/blocks/{id}", _block),
        ("GET", core + "/blocks/{id}/metadata", _metadata),
        ("GET", core + "/milestones/by-index/{index}", _milestone),
        ("GET", core + "/milestones/by-index/{index}/utxo-changes", _changes),
        ("GET", core + "/milestones/{id}", _milestone),
        ("GET", core + "/milestones/{id}/utxo-changes", _changes),
        ("GET", poi + "/create/{id}", _create_receipt),
    ]
    routes = [Route(path, _bound(node, handler), methods=[method]) for method, path, handler in handlers]

    async def post(request: Request) -> Response:
        return await _post(node, request)

    async def validate(request: Request) -> Response:
        return await _validate_receipt(node, request)

    routes += [
        Route(core + "/blocks", post, methods=["POST"]),
        Route(poi + "/validate", validate, methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        lifespan=node.running,
        exception_handlers={HTTPException: _on_http, 500: _on_http},
    )


def _bound(node: Node, handler: Callable[[Node, Request], Response]) -> Callable[[Request], object]:
    async def handle(request: Request) -> Response:  # async: reading is short and must not wait for a thread
        return handler(node, request)

    return handle


# ── routes: the node ─────────────────────────────────────────────────────────────────────────────────────────────────


def _is_healthy(node: Node) -> bool:
    return time.time() - node.tangle.latest.timestamp < HEALTHY_SECONDS


def _health(node: Node, _request: Request) -> Response:
    return Response(status_code=200 if _is_healthy(node) else 503)


def _routes(_node: Node, _request: Request) -> Response:
    return JSONResponse({"routes": ["core/v2", "poi/v1"]})


def _info(node: Node, _request: Request) -> Response:
    latest = node.tangle.latest
    milestone = {"index": latest.index, "timestamp": latest.timestamp, "milestoneId": hex_of(latest.id)}
    token: Json = {"name": "TestCoin", "tickerSymbol": "TEST", "unit": "TEST", "subunit": "testies"}
    return JSONResponse(
        {
            "name": "PRSM-LEDGER",
            "version": __version__,
            "status": {
                "isHealthy": _is_healthy(node),
                "latestMilestone": milestone,
                "confirmedMilestone": milestone,
                "pruningIndex": node.store.first() - 1,
            },
            "supportedProtocolVersions": [2],
            "protocol": {
                "version": 2,
                "networkName": node.settings.network,
                "bech32Hrp": node.settings.hrp,
                "minPowScore": 0,
                "belowMaxDepth": BELOW_MAX_DEPTH,
                "rentStructure": {"vByteCost": 500, "vByteFactorData": 1, "vByteFactorKey": 10},
                "tokenSupply": str(SUPPLY),
            },
            "pendingProtocolParameters": [],
            "baseToken": token | {"decimals": 6, "useMetricPrefix": False},
            "metrics": {
                "blocksPerSecond": node.metrics.arrived,
                "referencedBlocksPerSecond": node.metrics.referenced,
                "referencedRate": node.metrics.rate,
            },
            "features": [],
        }
    )


# ── routes: blocks ───────────────────────────────────────────────────────────────────────────────────────────────────


def _tips(node: Node, _request: Request) -> Response:
    return JSONResponse({"tips": [hex_of(each) for each in node.tangle.tips()]})


async def _post(node: Node, request: Request) -> Response:
    address = request.client.host if request.client is not None else ""
    if not node.rate.allows(address, time.monotonic()):
        raise HTTPException(429, f"more than {node.settings.rate} posts a second", {"Retry-After": "1"})
    if request.headers.get("content-type", "").partition(";")[0].strip() != BINARY:
        raise HTTPException(415, f"a block is posted as {BINARY}")
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > MAX_BLOCK_BYTES:
            raise HTTPException(400, f"invalid block: more than {MAX_BLOCK_BYTES} bytes")
    try:
        row = node.tangle.check(raw)
    except LedgerError as error:
        stored = None if len(raw) == 0 else _stored(node, raw)
        if stored is None:
            raise HTTPException(400, f"invalid block: {error}") from None
        row = stored
    try:
        await node.add(row)
    except sqlite3.Error as error:
        raise HTTPException(503, f"block was not stored: {error}; post it again later") from None
    return JSONResponse({"blockId": hex_of(row.id)}, 201, {"Location": hex_of(row.id)})


def _stored(node: Node, raw: bytes) -> BlockRow | None:
    """A block that is here already gets the same answer for ever, however old its parents have become."""
    return node.store.block(block_id(raw))


def _found_block(node: Node, request: Request) -> BlockRow:
    id = _id(request)
    row = node.store.block(id)
    if row is None:
        raise HTTPException(404, f"block not found: {hex_of(id)}")
    return row


def _block(node: Node, request: Request) -> Response:
    row = _found_block(node, request)
    if _wants_binary(request):
        return Response(row.raw, media_type=BINARY)
    return JSONResponse(block_to_json(decode(row.raw)))


def _metadata(node: Node, request: Request) -> Response:
    row = _found_block(node, request)
    block = decode(row.raw)
    answer: Json = {
        "blockId": hex_of(row.id),
        "parents": [hex_of(each) for each in block.parents],
        "isSolid": True,
    }
    if row.milestone is not None:
        answer |= {
            "referencedByMilestoneIndex": row.milestone,
            "ledgerInclusionState": "noTransaction",
            "whiteFlagIndex": row.position,
        }
    else:
        answer |= {"shouldPromote": False, "shouldReattach": node.tangle.is_too_old(row.oldest)}
    if isinstance(block.payload, Milestone):
        answer["milestoneIndex"] = block.payload.index
    return JSONResponse(answer)


# ── routes: milestones and receipts ──────────────────────────────────────────────────────────────────────────────────


def _found_milestone(node: Node, request: Request) -> MilestoneRow:
    if "index" in request.path_params:
        text = str(request.path_params["index"])
        if not (text.isascii() and text.isdigit() and int(text) < 1 << 32):
            raise HTTPException(400, f"invalid milestone index: {text[:40]!r}")
        row = node.store.milestone(int(text))
    else:
        text = str(request.path_params["id"])
        row = node.store.milestone_by_id(_id(request))
    if row is None:
        raise HTTPException(404, f"milestone not found: {text}")
    return row


def _milestone(node: Node, request: Request) -> Response:
    row = _found_milestone(node, request)
    if _wants_binary(request):
        return Response(row.payload, media_type=BINARY)
    return JSONResponse(payload_to_json(decode_milestone(row.payload)))


def _changes(node: Node, request: Request) -> Response:
    """Empty for every milestone: this node moves no coin."""
    row = _found_milestone(node, request)
    return JSONResponse({"index": row.index, "createdOutputs": [], "consumedOutputs": []})


def _create_receipt(node: Node, request: Request) -> Response:
    row = _found_block(node, request)
    if row.milestone is None or row.position is None:
        raise HTTPException(400, f"invalid parameter: block {hex_of(row.id)} is not referenced by a milestone")
    milestone = node.store.milestone(row.milestone)
    if milestone is None:
        raise HTTPException(404, f"milestone not found: {row.milestone}")
    order = node.store.order(row.milestone)
    receipt = inclusion.make(order, row.position, row.raw, milestone.payload, node.trust.network)
    return JSONResponse(receipt.to_json())


async def _validate_receipt(node: Node, request: Request) -> Response:
    try:
        receipt = inclusion.Inclusion.from_json(await request.json(), node.trust.network)
    except (LedgerError, ValueError) as error:
        raise HTTPException(400, f"invalid request: {error}") from None
    try:
        inclusion.verify(receipt, node.trust)
    except LedgerError:
        return JSONResponse({"valid": False})
    return JSONResponse({"valid": True})
