"""The reading gateway: blocks and archives of what this home holds; it never fetches for strangers and renders no HTML."""

from __future__ import annotations

from io import BytesIO

from fastapi import APIRouter, FastAPI, Request, Response

from prsm_protocol.content.store import BlockNotFound, Store
from prsm_protocol.content.unixfs import UnixfsInvalid, resolve
from prsm_protocol.errors import ContentError
from prsm_protocol.types import Cid

_TYPES = {"raw": "application/vnd.ipld.raw", "car": "application/vnd.ipld.car"}


def router(*stores: Store) -> APIRouter:
    """`GET` and `HEAD /ipfs/{cid}[/{path}]` with `?format=raw|car` or the Accept header; the first store that holds it."""
    routes = APIRouter()

    @routes.api_route("/ipfs/{cid_text}", methods=["GET", "HEAD"], include_in_schema=False)
    @routes.api_route("/ipfs/{cid_text}/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    def read(cid_text: str, request: Request, path: str = "", format: str = "") -> Response:
        accept = request.headers.get("accept", "")
        kind = format or next((name for name, mime in _TYPES.items() if mime in accept), "raw")
        if kind not in _TYPES:
            return _refuse(406, "FormatUnknown", f"format {kind!r} is not served; ask for raw or car")
        try:
            root = Cid.parse(cid_text)
            store = next((each for each in stores if each.has(root)), stores[0])
            cid = resolve(store.get, root, path)
            if kind == "raw":
                body = store.get(cid)
            else:
                out = BytesIO()
                store.export_car(cid, out)
                body = out.getvalue()
        except BlockNotFound as error:
            return _refuse(404, error.name, str(error))
        except (UnixfsInvalid, ContentError) as error:
            return _refuse(400, error.name, str(error))
        etag = f'"{cid}.{kind}"'
        headers = {
            "ETag": etag,
            "Cache-Control": "public, max-age=29030400, immutable",
            "X-Content-Type-Options": "nosniff",
            "Content-Disposition": f'attachment; filename="{cid}.{"bin" if kind == "raw" else "car"}"',
        }
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=_TYPES[kind], headers=headers)

    return routes


def _refuse(status: int, name: str, detail: str) -> Response:
    import json

    body = json.dumps({"type": name, "title": name, "status": status, "detail": detail})
    return Response(body, status_code=status, media_type="application/problem+json")


def application(*stores: Store) -> FastAPI:
    """A gateway alone, for a home without a node."""
    app = FastAPI(openapi_url=None)
    app.include_router(router(*stores))

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return app
