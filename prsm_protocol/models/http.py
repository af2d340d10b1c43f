"""An OpenAI-compatible chat endpoint. No retries of its own: the step's policy repeats what may be repeated."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from prsm_protocol.errors import UsageError
from prsm_protocol.models.base import (
    ChatReply,
    ChatRequest,
    ModelBusy,
    ModelUnauthorised,
    ModelUnavailable,
    ReplyInvalid,
)
from prsm_protocol.types import Usage


class EndpointInvalid(UsageError):
    text = "chat endpoint {url!r} is refused: {reason}"


class HttpChat:
    """A model behind `POST {url}/chat/completions`."""

    def __init__(self, url: str, model: str, *, key: str | None = None, timeout_seconds: float = 60) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointInvalid(url=url, reason="only http and https addresses are used")
        if parts.username or parts.password:
            raise EndpointInvalid(url=parts.hostname, reason="a key in an address is refused; use PRSM_CHAT_KEY_FILE")
        self.name = model
        self._url = url.rstrip("/")
        self._http = httpx.Client(
            timeout=httpx.Timeout(timeout_seconds, connect=5), follow_redirects=False, trust_env=False
        )
        if key:
            self._http.headers["Authorization"] = f"Bearer {key}"

    def chat(self, request: ChatRequest) -> ChatReply:
        body: dict[str, object] = {
            "model": self.name,
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
        }
        if request.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
            }
        begun = time.monotonic_ns()
        try:
            answer = self._http.post(f"{self._url}/chat/completions", json=body)
        except httpx.HTTPError as error:
            raise ModelUnavailable(model=self.name, url=self._url, reason=type(error).__name__) from None
        if answer.status_code in (401, 403):
            raise ModelUnauthorised(model=self.name, url=self._url)
        if answer.status_code in (429, 503):
            raise ModelBusy(model=self.name, url=self._url, retry_after=answer.headers.get("Retry-After", "some"))
        if answer.is_error:
            raise ModelUnavailable(model=self.name, url=self._url, reason=f"status {answer.status_code}")
        return self._read(answer, (time.monotonic_ns() - begun) // 1000)

    def _read(self, answer: httpx.Response, run_us: int) -> ChatReply:
        try:
            document: dict[str, Any] = answer.json()
            choice = document["choices"][0]
            used = document.get("usage") or {}
            text = choice["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            raise ReplyInvalid(model=self.name, reason="no chat completion") from None
        if not isinstance(text, str):
            raise ReplyInvalid(model=self.name, reason="no text")
        usage = Usage(
            input_tokens=int(used.get("prompt_tokens", 0)),
            output_tokens=int(used.get("completion_tokens", 0)),
            run_us=run_us,
        )
        return ChatReply(text, str(choice.get("finish_reason") or "stop"), usage)

    def close(self) -> None:
        self._http.close()


def key_from(path: Path | None) -> str | None:
    return path.read_text().strip() if path is not None else None
