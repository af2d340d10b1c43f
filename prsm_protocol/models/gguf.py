"""The local model in a child process on loopback, behind the same HTTP client: a crash in native code costs one attempt.

Run as a module it is the child: it loads the weights, listens on a free port and tells it in one JSON line.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

from prsm_protocol.errors import ModelError
from prsm_protocol.models.base import ChatReply, ChatRequest, ModelUnavailable
from prsm_protocol.models.http import HttpChat

CONTEXT_TOKENS = 4096
START_SECONDS = 60


class ModelCrashed(ModelError):
    text = "local model {model} ended with code {code}; its last words: {tail}"


class LocalChat:
    """A GGUF file. Nothing is loaded before the first request; the child ends with this process."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._http: HttpChat | None = None
        self._tail: deque[str] = deque(maxlen=20)

    def chat(self, request: ChatRequest) -> ChatReply:
        """Answer; a child that crashed is started once more."""
        for attempt in (1, 2):
            http = self._started()
            try:
                return http.chat(request)
            except ModelUnavailable:
                assert self._child is not None
                if self._child.poll() is None or attempt == 2:
                    raise
                self.close()
        raise AssertionError("unreachable")

    def _started(self) -> HttpChat:
        with self._lock:
            if self._http is not None:
                return self._http
            key = secrets.token_urlsafe(24)
            environment = {**os.environ, "PRSM_LOCAL_MODEL_KEY": key, "HF_HUB_OFFLINE": "1"}
            self._child = subprocess.Popen(
                [sys.executable, "-m", "prsm_protocol.models.gguf", str(self._path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
            )  # fmt: skip
            atexit.register(self.close)
            assert self._child.stdout is not None
            assert self._child.stderr is not None
            threading.Thread(target=self._tail.extend, args=(self._child.stderr,), daemon=True).start()
            timer = threading.Timer(START_SECONDS, self._child.kill)
            timer.start()
            line = self._child.stdout.readline()
            timer.cancel()
            if not line:
                code = self._child.wait()
                raise ModelCrashed(model=self.name, code=code, tail=" ".join(self._tail)[-600:])
            self._http = HttpChat(json.loads(line)["url"], self.name, key=key)
            return self._http

    def close(self) -> None:
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child.wait()
            self._child = None
            if self._http is not None:
                self._http.close()
            self._http = None


def serve(path: Path) -> None:
    """The child: llama.cpp's own server on loopback, ended when the parent closes our standard input."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [os.environ.pop("PRSM_LOCAL_MODEL_KEY")]
    out = os.dup(1)
    os.dup2(2, 1)  # the library talks on standard output; that line is ours
    server = xllamacpp.Server(params)
    os.write(out, (json.dumps({"url": server.listening_address + "/v1"}) + "\n").encode())
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
