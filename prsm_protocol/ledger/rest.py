"""A Stardust node over plain HTTP: all that messages and archives need, without iota-sdk.

Serves where the SDK has no wheel, and everywhere for what the SDK lacks (receipts of inclusion). Nodes are tried in
order; the first that answers is kept until it fails.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import httpx

from prsm_protocol.ledger.codec import block_id
from prsm_protocol.ledger.transport import (
    AnswerMalformed,
    LedgerBusy,
    LedgerUnavailable,
    MessageNotFound,
    Metadata,
    MilestoneNotFound,
    NodeInfo,
    NodeRefused,
    id_from_text,
    ids_from_json,
    info_from_json,
    metadata_from_json,
)

BINARY = "application/vnd.iota.serializer-v1"
_CORE = "/api/core/v2"


class RestTransport:
    """One connection pool to the nodes; safe for several threads."""

    name = "rest"

    def __init__(self, nodes: Sequence[str], *, timeout: float = 10.0) -> None:
        self._nodes = [each.rstrip("/") for each in nodes]
        self._timeout = timeout
        # A local node must be reached directly, whatever proxy the environment names.
        self._client = httpx.Client(timeout=timeout, trust_env=False)

    def info(self) -> NodeInfo:
        return info_from_json(self._json(self._ask("GET", _CORE + "/info")))

    def is_healthy(self) -> bool:
        return self._ask("GET", "/health", accepted=(503,)).status_code == 200

    def tips(self) -> list[bytes]:
        return ids_from_json(self._json(self._ask("GET", _CORE + "/tips")), "tips")

    def post(self, raw: bytes) -> bytes:
        answer = self._json(self._ask("POST", _CORE + "/blocks", raw))
        id = id_from_text(answer.get("blockId") if isinstance(answer, dict) else None, "blockId")
        if id != block_id(raw):
            raise AnswerMalformed(field="blockId")
        return id

    def block(self, id: bytes) -> bytes:
        """The block's bytes; those of another block are refused, so a node cannot pass one for the other."""
        answer = self._ask("GET", f"{_CORE}/blocks/0x{id.hex()}", binary=True, accepted=(404,))
        if answer.status_code == 404:
            raise MessageNotFound(id=id.hex())
        if block_id(answer.content) != id:
            raise AnswerMalformed(field=f"block {id.hex()}")
        return answer.content

    def metadata(self, id: bytes) -> Metadata:
        answer = self._ask("GET", f"{_CORE}/blocks/0x{id.hex()}/metadata", accepted=(404,))
        if answer.status_code == 404:
            raise MessageNotFound(id=id.hex())
        return metadata_from_json(self._json(answer))

    def milestone(self, index: int) -> bytes:
        answer = self._ask("GET", f"{_CORE}/milestones/by-index/{index}", binary=True, accepted=(404,))
        if answer.status_code == 404:
            raise MilestoneNotFound(index=index)
        return answer.content

    def receipt(self, id: bytes) -> object | None:
        """The node's receipt of inclusion as JSON; None where it has no such route or no receipt yet."""
        answer = self._ask("GET", f"/api/poi/v1/create/0x{id.hex()}", accepted=(400, 404, 500))
        return self._json(answer) if answer.status_code == 200 else None

    def white_flag(self, index: int, timestamp: int, parents: Sequence[bytes], previous: bytes) -> tuple[bytes, bytes]:
        """Inclusion and applied root of a milestone that is not issued yet, as the node computes them."""
        asked = {
            "index": index,
            "timestamp": timestamp,
            "parents": ["0x" + each.hex() for each in parents],
            "previousMilestoneId": "0x" + previous.hex(),
        }
        answer = self._json(
            self._ask("POST", _CORE + "/whiteflag", json.dumps(asked).encode(), kind="application/json")
        )
        fields = answer if isinstance(answer, dict) else {}
        names = ("inclusionMerkleRoot", "appliedMerkleRoot")
        inclusion, applied = (id_from_text(fields.get(name), name) for name in names)
        return inclusion, applied

    def close(self) -> None:
        self._client.close()

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        kind: str = BINARY,
        binary: bool = False,
        accepted: tuple[int, ...] = (),
    ) -> httpx.Response:
        headers = {"Accept": BINARY if binary else "application/json"}
        if body is not None:
            headers["Content-Type"] = kind
        for attempt, url in enumerate(list(self._nodes), 1):
            try:
                answer = self._client.request(method, url + path, content=body, headers=headers)
            except httpx.TransportError:
                if attempt == len(self._nodes):
                    raise LedgerUnavailable(url=url, seconds=self._timeout) from None
                continue
            self._prefer(url)
            if answer.status_code < 300 or answer.status_code in accepted:
                return answer
            raise _refusal(answer)
        raise LedgerUnavailable(url="(none configured)", seconds=0)

    def _prefer(self, url: str) -> None:
        if self._nodes[0] != url:
            self._nodes = [url, *(each for each in self._nodes if each != url)]

    @staticmethod
    def _json(answer: httpx.Response) -> object:
        try:
            return answer.json()
        except ValueError:
            raise AnswerMalformed(field="JSON") from None


def _refusal(answer: httpx.Response) -> LedgerBusy | NodeRefused:
    if answer.status_code in (429, 503):  # 503 is Hornet without tips or not yet synced
        wait = answer.headers.get("Retry-After", "1")
        return LedgerBusy(retry_after=int(wait) if wait.isdigit() else 1)
    return NodeRefused(message=f"{answer.status_code} {answer.text[:300]}")
