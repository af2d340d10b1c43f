"""Blocks kept by a Kubo daemon, behind the same calls as the embedded store.

Trees are built here and sent as CAR, so a daemon's settings cannot change a CID; what it returns is hashed before it is
used. It is asked for what it holds, never to search the network: that is `retrieve.py`'s part.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

import ipfshttpclient
from ipfshttpclient import exceptions

from prsm_protocol.content.store import (
    BLOCK_LIMIT,
    BlockMismatch,
    BlockNotFound,
    BlockTooLarge,
    CarMalformed,
    PinIncomplete,
    links,
)
from prsm_protocol.errors import ContentError, PrsmError
from prsm_protocol.trace import car
from prsm_protocol.types import RAW, Cid

_IMPORT_BYTES = 32 * 1024 * 1024
"""Sent at once: bounds the memory of a large import; a part is repeated whole after a restart of the daemon."""
_T = TypeVar("_T")

# ipfshttpclient passes urllib3 2 an argument that it ignores and warns of at every call; requirements keep urllib3 below 3.
warnings.filterwarnings("ignore", message="The 'strict' parameter is no longer needed", category=FutureWarning)


class KuboUnavailable(ContentError):
    exit_code = 6
    text = "the Kubo daemon at {url} does not answer; start it with: ipfs daemon"


class KuboRefused(ContentError):
    text = "the Kubo daemon refused: {message}"


class KuboAddressInvalid(ContentError):
    exit_code = 2
    text = "{url!r} is no address of a Kubo daemon; use http://127.0.0.1:5001 or /ip4/127.0.0.1/tcp/5001/http"


class KuboPinNamed(ContentError):
    text = "{root} is pinned as {held!r} and a daemon keeps one name a root; unpin that name before pinning as {name!r}"


class BlockStore(Protocol):
    """What keeps blocks: the embedded `Store`, or a daemon."""

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None: ...

    def get(self, cid: Cid) -> bytes: ...

    def has(self, cid: Cid) -> bool: ...

    def pin(self, root: Cid, name: str) -> None: ...

    def unpin(self, root: Cid, name: str) -> None: ...

    def pins(self) -> list[tuple[Cid, str]]: ...

    def import_car(self, stream: BinaryIO) -> list[Cid]: ...

    def export_car(self, root: Cid, out: BinaryIO) -> None: ...


class Kubo:
    """The daemon whose RPC listens at `url`. Whoever reaches that port owns the daemon: keep it on loopback."""

    def __init__(self, url: str, timeout_seconds: float = 120) -> None:
        self.url = url
        try:
            # `connect()` would ask the version and refuse every daemon of the last years.
            self._client = ipfshttpclient.Client(_multiaddress(url), timeout=timeout_seconds, offline=True)
        except exceptions.AddressError:
            raise KuboAddressInvalid(url=url) from None

    def put_many(self, blocks: Iterable[tuple[Cid, bytes]]) -> None:
        """Every block is checked before any is sent; returns after the daemon counted them all."""
        checked = list(blocks)
        for cid, data in checked:
            if len(data) > BLOCK_LIMIT:
                raise BlockTooLarge(bytes=len(data), limit=BLOCK_LIMIT)
            if Cid.of(data, cid.codec) != cid:
                raise BlockMismatch(cid=cid)
        for part in _parts(checked):
            self._import(part)

    def _import(self, blocks: list[tuple[Cid, bytes]]) -> None:
        archive = BytesIO()
        car.write(archive, [], blocks)
        archive.seek(0)
        # Without roots to pin and with the count, the answer is the one item that the client can read.
        options = {"pin-roots": "false", "stats": "true"}
        counted = self._ask(lambda: self._client.dag.imprt(archive, opts=options)["Stats"]["BlockCount"])
        if counted != len(blocks):
            raise KuboRefused(message=f"{counted} of {len(blocks)} blocks were taken")

    def get(self, cid: Cid) -> bytes:
        data = self._find(cid, lambda: bytes(self._client.block.get(cid.text)))
        if Cid.of(data, cid.codec) != cid:
            raise BlockMismatch(cid=cid)
        return data

    def has(self, cid: Cid) -> bool:
        try:
            self._find(cid, lambda: self._client.block.stat(cid.text))
        except BlockNotFound:
            return False
        return True

    # ── pins ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def pin(self, root: Cid, name: str) -> None:
        """Keep a whole tree under a name; refused while a block is missing, or the root has another name."""
        held = dict(self.pins()).get(root)
        if held == name:
            return
        if held is not None:  # its owner's own pin, with or without a name, must not go with ours
            raise KuboPinNamed(root=root, held=held, name=name)
        try:
            self._find(root, lambda: self._client.pin.add(root.text, opts={"name": name}))
        except BlockNotFound:
            raise PinIncomplete(root=root, missing=self._missing(root)) from None

    def unpin(self, root: Cid, name: str) -> None:
        if (root, name) in self.pins():
            self._ask(lambda: self._client.pin.rm(root.text))

    def pins(self) -> list[tuple[Cid, str]]:
        """Roots kept with all below them; what the daemon's owner pinned otherwise is listed too."""
        keys = self._ask(lambda: self._client.pin.ls(type="recursive", opts={"names": "true"}).as_json())["Keys"]
        found = []
        for text, pin in keys.items():
            try:
                found.append((Cid.parse(text), str(pin.get("Name", ""))))
            except ContentError:
                continue  # an id of a form that is not read here cannot be one of ours
        return sorted(found, key=lambda each: (each[1], each[0]))

    # ── archives ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def import_car(self, stream: BinaryIO) -> list[Cid]:
        """Every block is hashed before the first is sent. Returns the roots that the archive names."""
        try:
            roots, blocks = car.read(stream)
            batch = list(blocks)
        except PrsmError as error:
            raise CarMalformed(reason=error) from None
        self.put_many(batch)
        return list(roots)

    def export_car(self, root: Cid, out: BinaryIO) -> None:
        """The tree below `root`, written from checked blocks; a daemon that misses one answers with a cut archive."""
        data = self._find(root, lambda: bytes(self._client.dag.export(root.text)))
        try:
            blocks = dict(car.read(BytesIO(data))[1])
        except PrsmError as error:
            raise CarMalformed(reason=error) from None

        def held(cid: Cid) -> bytes:
            if cid not in blocks:
                raise BlockNotFound(cid=cid)
            return blocks[cid]

        tree = list(_tree(root, held))
        car.write(out, [root], tree)

    # ── the daemon's answers ─────────────────────────────────────────────────────────────────────────────────────────

    def _missing(self, root: Cid) -> int:
        missing = 0

        def counted(cid: Cid) -> bytes:
            nonlocal missing
            try:
                return self.get(cid)
            except BlockNotFound:
                missing += 1
                return b""

        for _ in _tree(root, counted):
            continue
        return missing

    def _find(self, cid: Cid, call: Callable[[], _T]) -> _T:
        try:
            return self._ask(call)
        except KuboRefused as error:
            if "not found" in str(error):  # one status and no code for every refusal: only the words tell
                raise BlockNotFound(cid=cid) from None
            raise

    def _ask(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except exceptions.ErrorResponse as error:
            raise KuboRefused(message=error) from None
        except exceptions.Error as error:
            if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
                raise KuboUnavailable(url=self.url) from None
            raise KuboRefused(message=error) from None


def _multiaddress(url: str) -> str:
    """The client reads multiaddresses only; people have web addresses."""
    if url.startswith("/"):
        return url if url.endswith(("/http", "/https")) else f"{url}/http"
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.path.strip("/"):
        raise KuboAddressInvalid(url=url)
    kind = "ip6" if ":" in parts.hostname else "ip4" if parts.hostname.replace(".", "").isdigit() else "dns"
    return f"/{kind}/{parts.hostname}/tcp/{port}/{parts.scheme}"


def _parts(blocks: list[tuple[Cid, bytes]]) -> Iterator[list[tuple[Cid, bytes]]]:
    part: list[tuple[Cid, bytes]] = []
    size = 0
    for cid, data in blocks:
        if part and size + len(data) > _IMPORT_BYTES:
            yield part
            part, size = [], 0
        part.append((cid, data))
        size += len(data)
    if part:
        yield part


def _tree(root: Cid, get: Callable[[Cid], bytes]) -> Iterator[tuple[Cid, bytes]]:
    """Depth first, each block once: the order of every archive."""
    seen: set[Cid] = set()
    stack = [root]
    while stack:
        cid = stack.pop()
        if cid in seen:
            continue
        seen.add(cid)
        data = get(cid)
        yield cid, data
        if cid.codec != RAW and data:
            stack.extend(reversed(links(cid, data)))
