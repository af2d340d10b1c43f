"""One way to call a model: a request, a reply, what it used. Knows how to run a model, never what it is paid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from prsm_protocol.errors import ModelError
from prsm_protocol.types import Usage


class ReplyInvalid(ModelError):
    text = "model {model} answered something else than was asked ({reason}); the attempt is rejected"


class ModelUnavailable(ModelError):
    exit_code = 6
    text = "model {model} at {url} does not answer ({reason}); start it, or unset PRSM_CHAT_URL to use the local one"


class ModelUnauthorised(ModelError):
    text = "model {model} at {url} refuses the key in PRSM_CHAT_KEY_FILE"


class ModelBusy(ModelError):
    exit_code = 6
    text = "model {model} at {url} is busy; try again in {retry_after} s"


@dataclass(frozen=True)
class Message:
    """`origin` says what the text is: instruction, data or model. Data never stands in the system role."""

    role: str
    text: str
    origin: str = "instruction"


@dataclass(frozen=True)
class ChatRequest:
    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 1
    schema: dict[str, object] | None = None


@dataclass(frozen=True)
class ChatReply:
    text: str
    finish: str
    usage: Usage


class ChatModel(Protocol):
    @property
    def name(self) -> str: ...

    def chat(self, request: ChatRequest) -> ChatReply: ...
