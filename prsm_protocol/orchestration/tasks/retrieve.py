"""Passages of the given documents that answer a question, quoted to the letter with page and offset.

Spans of about two hundred words on sentence bounds, ranked by BM25. A second ranking (an embedder's) joins by reciprocal rank
(constant 60) through `fuse`. No passage is better than a guess: nothing is quoted below the least score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Protocol

from prsm_protocol.orchestration import words
from prsm_protocol.orchestration.question import DataInput

SPAN_WORDS = 200
QUOTES = 3
RANK_CONSTANT = 60
_K1, _B = 1.2, 0.75  # the usual BM25 constants
_STOP = frozenset(
    words.stem(word)
    for word in [
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "by",
        "with",
        "from",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "do",
        "does",
        "did",
        "what",
        "which",
        "who",
        "whom",
        "whose",
        "when",
        "where",
        "why",
        "how",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "there",
        "as",
        "about",
        "say",
        "says",
        "said",
        "tell",
        "me",
        "find",
        "show",
        "quote",
        "passage",
        "sentence",
        "section",
        "report",
        "paper",
        "document",
        "text",
        "study",
        "according",
        "given",
        "any",
    ]
)
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?=\s|$)|\n+|$)", re.MULTILINE)


class Embedder(Protocol):
    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Unit vectors, one a text."""
        ...


@dataclass(frozen=True)
class Span:
    """A piece of a page; `start` and `end` are character offsets in the page's text."""

    document: bytes
    page: int
    start: int
    end: int
    text: str


def spans(documents: Sequence[DataInput]) -> list[Span]:
    """Sentences gathered into spans; no span crosses a page or cuts a sentence."""
    found: list[Span] = []
    for document in documents:
        for number, page in enumerate(document.pages, 1):
            start: int | None = None
            end = count = 0
            for sentence in _SENTENCE.finditer(page):
                size = len(sentence.group().split())
                if not size:
                    continue
                if start is not None and count + size > SPAN_WORDS:
                    found.append(_span(document.digest, number, page, start, end))
                    start, count = None, 0
                if start is None:
                    start = sentence.start()
                end, count = sentence.end(), count + size
            if start is not None:
                found.append(_span(document.digest, number, page, start, end))
    return found


def _span(document: bytes, number: int, page: str, start: int, end: int) -> Span:
    raw = page[start:end]
    start += len(raw) - len(raw.lstrip())
    end -= len(raw) - len(raw.rstrip())
    return Span(document, number, start, end, page[start:end])


def bm25(question: str, texts: Sequence[str]) -> list[float]:
    """Scores of texts for the question's words."""
    bags = [Counter(words.stems(text)) for text in texts]
    lengths = [sum(bag.values()) for bag in bags]
    average = sum(lengths) / len(lengths) if lengths else 1.0
    asked = [term for term in dict.fromkeys(words.stems(question)) if term not in _STOP]
    weight = {}
    for term in asked:
        holding = sum(term in bag for bag in bags)
        weight[term] = log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
    return [
        sum(
            weight[term] * bag[term] * (_K1 + 1) / (bag[term] + _K1 * (1 - _B + _B * length / average))
            for term in asked
            if bag[term]
        )
        for bag, length in zip(bags, lengths, strict=True)
    ]


def fuse(*rankings: Sequence[int]) -> list[int]:
    """Several rankings of the same things in one, by reciprocal rank; ties keep the first ranking's order."""
    score: dict[int, float] = {}
    for ranking in rankings:
        for place, item in enumerate(ranking, 1):
            score[item] = score.get(item, 0.0) + 1 / (RANK_CONSTANT + place)
    first = {item: place for place, item in enumerate(rankings[0])} if rankings else {}
    return sorted(score, key=lambda item: (-score[item], first.get(item, len(first)), item))


def search(question: str, found: Sequence[Span], embedder: Embedder | None = None) -> list[Span]:
    """The best spans, best first; empty when no word of the question stands in any of them."""
    scores = bm25(question, [span.text for span in found])
    by_words = sorted((i for i in range(len(found)) if scores[i] > 0), key=lambda i: (-scores[i], i))
    rankings = [by_words]
    if embedder is not None and by_words:
        vectors = embedder.embed([question, *(span.text for span in found)])
        near = [sum(a * b for a, b in zip(vectors[0], vector, strict=True)) for vector in vectors[1:]]
        rankings.append(sorted(range(len(found)), key=lambda i: (-near[i], i)))
    return [found[i] for i in fuse(*rankings)[:QUOTES]] if by_words else []


def best_sentences(question: str, span: Span, most: int = 2) -> Span:
    """The sentences of a span that hold most of the question's words, in a row: what is quoted is short."""
    sentences = [match for match in _SENTENCE.finditer(span.text) if match.group().strip()]
    scores = bm25(question, [match.group() for match in sentences])
    if not sentences or max(scores) <= 0:
        return span
    best = max(range(len(sentences)), key=lambda i: (scores[i], -i))
    last = best + 1 if best + 1 < len(sentences) and most > 1 and scores[best + 1] > 0 else best
    raw = span.text[sentences[best].start() : sentences[last].end()]
    start = span.start + sentences[best].start() + len(raw) - len(raw.lstrip())
    text = raw.strip()
    return Span(span.document, span.page, start, start + len(text), text)


def block(question: str, documents: Sequence[DataInput], embedder: Embedder | None = None) -> dict[str, object]:
    """The output block; every quote stands in its page at its offsets."""
    found = spans(documents)
    quotes = [best_sentences(question, span) for span in search(question, found, embedder)]
    return {
        "v": 1,
        "kind": "quotes",
        "question": question,
        "quotes": [
            {"document": q.document, "page": q.page, "start": q.start, "end": q.end, "text": q.text} for q in quotes
        ],
        "searched": len(found),
    }
