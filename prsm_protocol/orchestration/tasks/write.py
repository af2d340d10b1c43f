"""A free text by a chat model: nothing checks it, and every sentence says so."""

from __future__ import annotations

import re

from prsm_protocol.errors import OrchestrationError
from prsm_protocol.orchestration.recognise import ChatModel

MAX_TOKENS = 256
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?=\s|$)|\n+|$)")
_INSTRUCTION = "Write what is asked, in plain sentences. Do not state facts or numbers you are not sure of."


class NoChatModel(OrchestrationError):
    text = (
        "nothing else fits this question and no chat model is configured to write; name the kind of work with --task, "
        "add --data, or fetch the local model with `prsm models fetch`"
    )


def block(question: str, chat: ChatModel | None) -> dict[str, object]:
    """The output block: sentences without support."""
    if chat is None:
        raise NoChatModel()
    draft = chat.reply(_INSTRUCTION, question, MAX_TOKENS)
    sentences = [match.group().strip() for match in _SENTENCE.finditer(draft) if match.group().strip()]
    return {"v": 1, "kind": "prose", "sentences": [{"text": sentence, "support": []} for sentence in sentences]}
