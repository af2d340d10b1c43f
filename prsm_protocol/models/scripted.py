"""A model that answers from a list, for tests of users and ours; it raises when asked for more."""

from __future__ import annotations

from collections.abc import Iterable

from prsm_protocol.errors import ModelError
from prsm_protocol.models.base import ChatReply, ChatRequest
from prsm_protocol.types import Usage


class ScriptExhausted(ModelError):
    text = "the script has no answer left for: {request}"


class ScriptedChat:
    def __init__(self, answers: Iterable[str], name: str = "scripted") -> None:
        self.name = name
        self._answers = iter(answers)
        self.requests: list[ChatRequest] = []

    def chat(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        try:
            return ChatReply(next(self._answers), "stop", Usage())
        except StopIteration:
            raise ScriptExhausted(request=request.messages[-1].text[:80]) from None
