"""Errors over HTTP: RFC 9457, with the error's name as type, its values as members and what to do next."""

from __future__ import annotations

import time
from collections import defaultdict, deque

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prsm_protocol.chain.errors import ContractError
from prsm_protocol.errors import ChainError, IdentityError, NodeError, PrsmError, UsageError
from prsm_protocol.rules.eip712 import FieldInvalid

BODY_LIMIT = 1 << 20

_STATUS = {
    "OfferUnknown": 404,
    "TaskUnknown": 404,
    "ChannelUnknown": 404,
    "NotYours": 403,
    "Declined": 409,
    "TaskEnded": 409,
    "TooEarly": 409,
    "TooManyOpen": 429,
    "TooManyRequests": 429,
    "VoucherTooLow": 402,
    "InputShapeWrong": 422,
    "InputOutOfRange": 422,
    "InputMismatch": 422,
    "SaltUnexpected": 422,
    "SaltRepeated": 422,
    "NoEndpoint": 503,
}


class NotYours(NodeError):
    text = "{what} belongs to somebody else; sign the request with the identity that asked for it"


class TooManyRequests(NodeError):
    text = "more than {limit} requests a minute; come again in {retry_after} s"


class BodyTooLarge(NodeError):
    text = "a body may have {limit} bytes; send less at once"


def status_of(error: PrsmError) -> int:
    if error.name in _STATUS:
        return _STATUS[error.name]
    if error.name.startswith("Voucher") or error.name in ("ChannelClosing", "UsageRootMismatch"):
        return 409
    if isinstance(error, IdentityError):
        return 401
    if isinstance(error, FieldInvalid | UsageError):
        return 422
    if isinstance(error, ContractError):
        return 409
    if isinstance(error, ChainError):
        return 503
    return 500


def body_of(error: PrsmError, status: int) -> dict[str, object]:
    detail = str(error)
    values = {name: _plain(value) for name, value in error.values.items()}
    return {
        **values,
        "type": error.name,
        "title": error.name,
        "status": status,
        "detail": detail,
        "next": detail.rsplit("; ", 1)[1] if "; " in detail else "",
    }


def install(app: FastAPI) -> None:
    """Every refusal of the application leaves in one form."""

    @app.exception_handler(PrsmError)
    def refused(request: Request, error: PrsmError) -> JSONResponse:
        status = status_of(error)
        headers = {}
        if status in (429, 503):
            headers["Retry-After"] = str(error.values.get("retry_after", 5))
        return _answer(body_of(error, status), status, headers)

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "body")
        body = {
            "type": "BodyInvalid",
            "title": "BodyInvalid",
            "status": 422,
            "field": field,
            "detail": f"{field}: {first['msg']}",
            "next": "see /openapi.json for the shape",
        }
        return _answer(body, 422, {})


def _answer(body: dict[str, object], status: int, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(body, status_code=status, headers=headers, media_type="application/problem+json")


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value if isinstance(value, int | str | bool | list | dict | None) else str(value)


class BodyLimit:
    """Counts bytes as they come, so a stranger cannot fill the memory by leaving out the length."""

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limit:
            await self._refuse(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise BodyTooLarge(limit=self._limit)
            return message

        await self._app(scope, counted, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = BodyTooLarge(limit=self._limit)
        await _answer(body_of(error, 413), 413, {})(scope, receive, send)


_STATUS["BodyTooLarge"] = 413


class Rate:
    """So many requests a minute for each principal and address."""

    def __init__(self, per_minute: int) -> None:
        self._limit = per_minute
        self._times: dict[str, deque[float]] = defaultdict(deque)

    def check(self, *principals: str) -> None:
        now = time.monotonic()
        for principal in principals:
            times = self._times[principal]
            while times and now - times[0] > 60:
                times.popleft()
            if len(times) >= self._limit:
                raise TooManyRequests(limit=self._limit, retry_after=int(61 - (now - times[0])))
            times.append(now)
        if len(self._times) > 10_000:
            self._times = defaultdict(deque, {name: times for name, times in self._times.items() if times})
