"""Read blocks from gateways nobody has to trust: each block is hashed before it is used or kept."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import httpx

from prsm_protocol.content.store import BLOCK_LIMIT, BlockNotFound, Store
from prsm_protocol.content.unixfs import read_file
from prsm_protocol.errors import ContentError
from prsm_protocol.types import Cid


class NotFoundAnywhere(ContentError):
    text = "block {cid} was not found in the store nor at {tried}; is the node that holds it up?"


class GatewayAddressRefused(ContentError):
    text = "gateway {url!r} is not fetched: {reason}"


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuse addresses that a stranger could use to reach inside: other schemes, credentials, private ranges."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise GatewayAddressRefused(url=url, reason="only http and https with a host are read")
    if parts.username or parts.password:
        raise GatewayAddressRefused(url=parts.hostname, reason="credentials in an address are refused")
    if allow_private:
        return
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(parts.hostname, parts.port or 443)}
    except OSError as error:
        raise GatewayAddressRefused(url=url, reason=error) from None
    for address in addresses:
        if not ipaddress.ip_address(address).is_global:
            raise GatewayAddressRefused(
                url=url, reason=f"{address} is a private address; name the gateway in your settings"
            )


class Retriever:
    """The store first, then each gateway in order; verified blocks are kept at once, so resuming is free.

    `gateways` come from the owner's settings and may be local. A gateway that lies is dropped for this process.
    """

    def __init__(self, store: Store, gateways: list[str], timeout_seconds: float = 10) -> None:
        for url in gateways:
            check_url(url, allow_private=True)
        self.store = store
        self.gateways = list(gateways)
        self.lies: list[tuple[str, Cid]] = []
        self._http = httpx.Client(timeout=timeout_seconds, follow_redirects=False, trust_env=False)

    def get(self, cid: Cid) -> bytes:
        try:
            return self.store.get(cid)
        except BlockNotFound:
            pass
        for url in list(self.gateways):
            data = self._fetch(url, cid)
            if data is None:
                continue
            if Cid.of(data, cid.codec) != cid:
                self.lies.append((url, cid))
                self.gateways.remove(url)
                continue
            self.store.put_many([(cid, data)])
            return data
        raise NotFoundAnywhere(cid=cid, tried=", ".join(self.gateways) or "any gateway (none configured)")

    def file(self, cid: Cid, limit: int = 64 * 1024 * 1024) -> bytes:
        """The whole file below `cid`."""
        return read_file(self.get, cid, limit)

    def _fetch(self, url: str, cid: Cid) -> bytes | None:
        try:
            with self._http.stream("GET", f"{url.rstrip('/')}/ipfs/{cid}", params={"format": "raw"}) as answer:
                if answer.status_code != 200:
                    return None
                data = b""
                for part in answer.iter_bytes():
                    data += part
                    if len(data) > BLOCK_LIMIT:
                        return b""  # cannot be the block: counts as a lie
                return data
        except httpx.HTTPError:
            return None

    def close(self) -> None:
        self._http.close()
