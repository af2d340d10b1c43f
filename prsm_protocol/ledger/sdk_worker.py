"""iota-sdk in a process of its own.

The SDK holds Python's interpreter lock for the whole of a call, so within this process one slow node would stop
every thread. Here a worker owns the SDK and is spoken to over a pipe, with a deadline per call: a dead worker is
started again and the call repeated, a hung one is killed. Every call may be repeated, because a post of the same
bytes is the same block.

Frames on the pipe: length as 4 bytes big endian, then JSON. `serve` is the worker.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import IO

from prsm_protocol.errors import LedgerError
from prsm_protocol.ledger.transport import (
    AnswerMalformed,
    LedgerBusy,
    LedgerUnavailable,
    MessageNotFound,
    Metadata,
    MilestoneNotFound,
    NodeInfo,
    NodeRefused,
    NodeUnhealthy,
    SdkFailed,
    id_from_text,
    info_from_json,
    metadata_from_json,
)

_FRAME_LIMIT = 1 << 20


def is_available() -> bool:
    """Is there an iota-sdk for this platform? It is looked for without importing it here."""
    return importlib.util.find_spec("iota_sdk") is not None


class _WorkerGone(Exception):
    """The worker died in a call."""


class SdkTransport:
    """iota-sdk behind the `Transport` Protocol. One call at a time; safe for several threads."""

    name = "iota-sdk"

    def __init__(self, nodes: Sequence[str], *, allow_unhealthy: bool = False, timeout: float = 10.0) -> None:
        self._nodes = list(nodes)
        self._allow_unhealthy = allow_unhealthy
        self._timeout = timeout
        self._lock = threading.Lock()
        self._worker: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id while it runs."""
        return None if self._worker is None else self._worker.pid

    def info(self) -> NodeInfo:
        return info_from_json(self._ask("info"))

    def tips(self) -> list[bytes]:
        answer = self._ask("tips")
        if not isinstance(answer, list):
            raise AnswerMalformed(field="tips")
        return [id_from_text(each, "tips") for each in answer]

    def post(self, raw: bytes) -> bytes:
        return id_from_text(self._ask("post", raw.hex()), "blockId")

    def block(self, id: bytes) -> bytes:
        return self._bytes(self._ask("block", "0x" + id.hex()), "block")

    def metadata(self, id: bytes) -> Metadata:
        return metadata_from_json(self._ask("metadata", "0x" + id.hex()))

    def milestone(self, index: int) -> bytes:
        return self._bytes(self._ask("milestone", index), "milestone")

    def close(self) -> None:
        with self._lock:
            self._stop()

    @staticmethod
    def _bytes(value: object, field: str) -> bytes:
        if not isinstance(value, str):
            raise AnswerMalformed(field=field)
        return bytes.fromhex(value)

    # ── the pipe ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, call: str, argument: object = None) -> object:
        with self._lock:
            deadline = time.monotonic() + self._timeout
            try:
                answer = self._exchange(call, argument, deadline)
            except _WorkerGone:
                answer = self._repeated(call, argument, deadline)
            if isinstance(answer, dict) and _is_health_complaint(answer.get("error")):
                # The SDK looks at a node's health once a minute; a fresh one looks now.
                self._stop()
                answer = self._repeated(call, argument, deadline)
        if not isinstance(answer, dict) or not ({"ok", "error"} & set(answer)):
            raise AnswerMalformed(field="ok")
        if "error" in answer:
            raise self._failure(str(answer["error"]), argument)
        return answer["ok"]

    def _repeated(self, call: str, argument: object, deadline: float) -> object:
        try:
            return self._exchange(call, argument, deadline)
        except _WorkerGone:
            raise SdkFailed(message="its process died twice in the same call") from None

    def _exchange(self, call: str, argument: object, deadline: float) -> object:
        worker = self._worker
        if worker is None or worker.poll() is not None:
            self._stop()
            worker = self._worker = self._start()
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            _write(worker.stdin, {"call": call, "argument": argument})
            return json.loads(self._read(worker.stdout.fileno(), deadline))
        except (BrokenPipeError, _WorkerGone):
            self._stop()
            raise _WorkerGone from None
        except TimeoutError:
            self._stop()
            raise LedgerUnavailable(url=self._nodes[0], seconds=self._timeout) from None

    def _read(self, handle: int, deadline: float) -> bytes:
        head = self._exactly(handle, 4, deadline)
        return self._exactly(handle, int.from_bytes(head, "big"), deadline)

    @staticmethod
    def _exactly(handle: int, size: int, deadline: float) -> bytes:
        data = b""
        while len(data) < size:
            ready, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = os.read(handle, size - len(data))
            if not part:
                raise _WorkerGone
            data += part
        return data

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from prsm_protocol.ledger.sdk_worker import serve; serve()"]
        # The worker sees no proxies: a local node must be reached directly.
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each)
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert worker.stdin is not None
        settings = {"nodes": self._nodes, "ignore_node_health": self._allow_unhealthy, "seconds": self._timeout}
        _write(worker.stdin, settings)
        return worker

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.kill()  # it keeps nothing that could be lost
        for pipe in (worker.stdin, worker.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # unsent bytes to a dead worker
                    continue
        worker.wait()

    def _failure(self, message: str, argument: object) -> LedgerError:
        text = message.lower()
        if _is_health_complaint(message):
            return NodeUnhealthy(url=self._nodes[0])
        if "was not found" in text or "404" in text:
            if isinstance(argument, int):
                return MilestoneNotFound(index=argument)
            return MessageNotFound(id=str(argument).removeprefix("0x"))
        if "code 429" in text or "code 503" in text:
            return LedgerBusy(retry_after=1)
        if "error sending request" in text or "error trying to connect" in text or "timed out" in text:
            return LedgerUnavailable(url=self._nodes[0], seconds=self._timeout)
        if "status code" in text or "400" in text:
            return NodeRefused(message=message)
        return SdkFailed(message=message)


def _is_health_complaint(message: object) -> bool:
    return isinstance(message, str) and "no healthy node" in message.lower()


def _write(pipe: IO[bytes], value: object) -> None:
    body = json.dumps(value).encode()
    pipe.write(len(body).to_bytes(4, "big") + body)
    pipe.flush()


# ── the worker ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _frames(pipe: IO[bytes]) -> object:
    head = pipe.read(4)
    size = int.from_bytes(head, "big")
    if len(head) < 4 or size > _FRAME_LIMIT:
        return None
    body = pipe.read(size)
    return json.loads(body) if len(body) == size else None


def serve() -> None:
    """Answer calls until the pipe closes, which it does when the parent ends, however it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the SDK prints must not get between the frames
    calls = sys.stdin.buffer
    settings = _frames(calls)
    if not isinstance(settings, dict):
        return
    from iota_sdk import Client, ClientError

    # local_pow stays at its default: with False the SDK hangs a posted block on tips of its own, which changes its id.
    client = Client(
        nodes=settings["nodes"],
        ignore_node_health=settings["ignore_node_health"],
        api_timeout=timedelta(seconds=settings["seconds"]),
    )
    while isinstance(request := _frames(calls), dict):
        try:
            answer: dict[str, object] = {"ok": _call(client, str(request["call"]), request["argument"])}
        except ClientError as error:
            details = error.args[0] if error.args else ""
            answer = {"error": details.get("error", str(details)) if isinstance(details, dict) else str(details)}
        _write(answers, answer)


def _call(client: object, call: str, argument: object) -> object:
    """One call of the SDK, its answer as JSON."""
    from iota_sdk import Client

    assert isinstance(client, Client)
    if call == "info":
        return client._call_method("getInfo")["nodeInfo"]  # the SDK's own class drops fields
    if call == "tips":
        return client.get_tips()
    if call == "post":
        return client.post_block_raw(list(bytes.fromhex(str(argument))))
    if call == "block":
        return bytes(client.get_block_raw(argument)).hex()
    if call == "metadata":
        return client._call_method("getBlockMetadata", {"blockId": argument})
    return bytes(client.get_milestone_by_index_raw(argument)).hex()
