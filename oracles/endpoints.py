"""Several endpoints of one chain as one: reads stick to the best, raw transactions go to all, a dead one is left out.

An endpoint is believed only after it showed the right chain id and code at every contract's address. What two endpoints say
is not compared in this slice: the operator chooses whom to ask.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prsm_protocol.chain import Chain, Deployment
from prsm_protocol.chain.connection import TIMEOUT_SECONDS, ChainMismatch, Connection
from prsm_protocol.chain.errors import EndpointUnreachable, RpcRefused
from prsm_protocol.errors import NodeError

FAILURES = 3
OUT_SECONDS = 30.0
_SEND = "eth_sendRawTransaction"
_BUSY_CODES = (429, -32005)
"""HTTP's and the providers' codes for "too many requests"."""


class EndpointError(NodeError):
    """Anything about the endpoints of a node."""


class NoEndpoint(EndpointError):
    exit_code = 3
    text = "no endpoint of the chain answers; tried {tried}; start the chain or name another in node.toml"


class CodeAbsent(EndpointError):
    text = "endpoint {url} has no code at {contract} ({address}); it serves another chain or lags behind"


@dataclass
class _Endpoint:
    connection: Connection
    failures: int = 0
    out_until: float = 0.0
    delay_seconds: float = 0.0
    is_checked: bool = False


class Endpoints(Chain):
    """A `Chain` whose calls are answered by the first healthy endpoint of a list."""

    def __init__(
        self, urls: Sequence[str], deployment: Deployment, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        super().__init__(urls[0], deployment, timeout_seconds=timeout_seconds)
        self._all = [_Endpoint(Connection(url, timeout_seconds=timeout_seconds)) for url in urls]
        self._lock = threading.Lock()

    def rpc(self, method: str, *parameters: object) -> Any:
        if method == _SEND:
            return self._broadcast(parameters)
        return self._first(lambda connection: connection.rpc(method, *parameters))

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        return list(self._first(lambda connection: connection.batch(calls)))

    def health(self) -> list[dict[str, object]]:
        """Each endpoint as `/metrics` and `check` show it."""
        now = time.monotonic()
        with self._lock:
            return [
                {
                    "url": endpoint.connection.url,
                    "up": endpoint.out_until <= now and endpoint.failures < FAILURES,
                    "delay_seconds": round(endpoint.delay_seconds, 3),
                }
                for endpoint in self._all
            ]

    def _first(self, ask: Any) -> Any:
        tried = []
        for endpoint in self._candidates():
            started = time.monotonic()
            try:
                self._check(endpoint)
                answer = ask(endpoint.connection)
            except EndpointUnreachable:
                self._failed(endpoint)
            except RpcRefused as error:
                if error.values["code"] not in _BUSY_CODES:
                    raise
                self._failed(endpoint)
            except (ChainMismatch, CodeAbsent):
                if len(self._all) == 1:
                    raise
                self._failed(endpoint, FAILURES)
            else:
                self._answered(endpoint, time.monotonic() - started)
                return answer
            tried.append(endpoint.connection.url)
        raise NoEndpoint(tried=", ".join(tried))

    def _broadcast(self, parameters: Sequence[object]) -> Any:
        """Every endpoint gets the same bytes; one that took them is enough."""
        answer, refusal = None, None
        for endpoint in self._candidates():
            try:
                self._check(endpoint)
                answer = endpoint.connection.rpc(_SEND, *parameters)
            except EndpointUnreachable:
                self._failed(endpoint)
            except RpcRefused as error:
                refusal = error
        if answer is not None:
            return answer
        raise refusal if refusal is not None else NoEndpoint(tried=", ".join(e.connection.url for e in self._all))

    def _candidates(self) -> list[_Endpoint]:
        """Healthy ones in the operator's order; when all are out, all are tried again rather than none."""
        now = time.monotonic()
        with self._lock:
            healthy = [endpoint for endpoint in self._all if endpoint.out_until <= now]
            return healthy or list(self._all)

    def _check(self, endpoint: _Endpoint) -> None:
        if endpoint.is_checked:
            return
        connection = endpoint.connection
        if connection.chain_id != self.deployment.chain_id:
            raise ChainMismatch(expected=self.deployment.chain_id, got=connection.chain_id)
        for name, contract in self.deployment.contracts.items():
            if not connection.code(contract.address):
                raise CodeAbsent(url=connection.url, contract=name, address=contract.address)
        endpoint.is_checked = True

    def _failed(self, endpoint: _Endpoint, by: int = 1) -> None:
        with self._lock:
            endpoint.failures += by
            endpoint.is_checked = False  # what comes back under the same address may be another chain
            if endpoint.failures >= FAILURES:
                endpoint.out_until = time.monotonic() + OUT_SECONDS
                endpoint.failures = 0

    def _answered(self, endpoint: _Endpoint, seconds: float) -> None:
        with self._lock:
            endpoint.failures = 0
            endpoint.delay_seconds = 0.8 * endpoint.delay_seconds + 0.2 * seconds
