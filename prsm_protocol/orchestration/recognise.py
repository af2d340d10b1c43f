"""What kind of question is it? Rules over general features: verbs, comparison and cause words, names of classes, targets and
columns, statistics, expressions. The chain is caller → rules → model → default, and the decision says which link spoke.

The rules see the question, column names and listings' names; never a cell of a table nor a sentence of a document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from prsm_protocol.orchestration import words
from prsm_protocol.orchestration.listings import match
from prsm_protocol.orchestration.question import TASKS, Choice, Question
from prsm_protocol.orchestration.tasks import calculate
from prsm_protocol.types import Listing

MODEL_LEAST_PPM = 600_000
"""A model's choice counts from this confidence on; below it the default is taken."""


def _stems(spoken: str) -> frozenset[str]:
    return frozenset(words.stem(word) for word in spoken.split())


# General English; none of these words names a subject matter.
_CAUSE = _stems(
    "why reason cause drive decide explain explanation influence influential matter important importance "
    "contribute responsible ground depend rely driver decisive determinant weigh role makes made behind basis "
    "affect relevant attribute attribution rationale justify justification"
)
_FEATURES = _stems("feature measurement variable property characteristic column factor input predictor parameter")
_MODELS = _stems("model classifier network net linear logistic regression forest algorithm student teacher")
_COMPARISON = _stems(
    "compare comparison versus vs better worse best worst good well beat outperform accurate accuracy equal "
    "equally same agree agreement match mistake error fewer difference against superior inferior rival reliable "
    "precise performance perform wrong right keep differ"
)
_PREDICTING = _stems(
    "predict prediction classify classification label sort assign categorise categorize estimate forecast "
    "diagnose determine identify detect flag recognise recognize screen"
)
_ROWS = _stems("row case sample patient record entry item each every these those them table file data one ones it")
_OUTCOME = _stems("class category label group outcome result prediction classification")
_DOCUMENT = _stems(
    "report paper document article text passage section page sentence quote author according chapter abstract"
)


class ChatModel(Protocol):
    """What orchestration asks of a chat model: to choose among options, and to draft text under a limit."""

    @property
    def name(self) -> str: ...

    def choose(self, prompt: str, options: Sequence[str]) -> tuple[str, float]:
        """(the option taken, confidence between 0 and 1)."""
        ...

    def reply(self, instruction: str, data: str, max_tokens: int) -> str:
        """A draft; `data` is fenced as data and never obeyed."""
        ...


@dataclass(frozen=True)
class Subject:
    """Names a question may use: of columns, of targets, of classes, of listed models."""

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    classes: tuple[str, ...]
    models: tuple[str, ...]
    tables: int
    documents: int


def subject_of(question: Question, listings: Sequence[Listing]) -> Subject:
    columns = [column for table in question.tables for column in table.columns]
    # a class of a model that reads none of these tables is just a word here
    able = [one for one in listings if any(match(one, table).complete for table in question.tables)]
    listings = able or listings
    return Subject(
        columns=tuple(dict.fromkeys(columns)),
        targets=tuple(dict.fromkeys(listing.target for listing in listings if listing.target)),
        classes=tuple(dict.fromkeys(name for listing in listings for name in listing.classes)),
        models=tuple(dict.fromkeys(listing.name for listing in listings)),
        tables=len(question.tables),
        documents=len(question.documents),
    )


def by_rules(text: str, subject: Subject) -> tuple[str, ...]:
    """Kinds in the order predict, explain, compare, retrieve, calculate; empty when the rules do not decide."""
    kinds: set[str] = set()
    for clause in words.clauses(text):
        kinds |= _clause_kinds(clause, subject)
    if not kinds and subject.tables:
        kinds |= _clause_kinds(text, subject)  # what a splitting word tore apart
    if not kinds and not subject.tables and not subject.documents and calculate.find_expression(text) is not None:
        kinds.add("calculate")
    if not kinds and subject.documents:
        kinds.add("retrieve")
    if "explain" in kinds:
        kinds.add("predict")
    return tuple(kind for kind in ("predict", "explain", "compare", "retrieve", "calculate") if kind in kinds)


def _clause_kinds(clause: str, subject: Subject) -> set[str]:
    spoken = words.stems(clause)
    if subject.documents and _DOCUMENT & set(spoken):
        return {"retrieve"}
    if not subject.tables:
        return set()
    rest, columns = words.without(spoken, subject.columns)
    bare = set(rest)
    names = [name for name in subject.classes if words.mentions(spoken, name)]
    targets = [name for name in subject.targets if _mentions_target(clause, name)]
    # what is predicted is no measurement; of a class no mean is taken either
    is_target = [words.stems(name) for name in subject.targets]
    measured = [column for column in columns if words.stems(column) not in is_target]
    if calculate.statistic_of(rest) is not None and (measured or (columns and not subject.classes)):
        return {"calculate"}
    models = _MODELS & bare or {name for name in subject.models if words.mentions(spoken, name)}
    if models and (_COMPARISON & bare or len(models) > 1 or _names_several_models(clause)):
        return {"compare"}
    if _CAUSE & bare or "how come" in " ".join(words.tokens(clause)):
        return {"explain"}
    if (measured or _FEATURES & bare) and (names or targets):
        return {"explain"}
    if names or targets:
        return {"predict"}
    if (_PREDICTING & bare or models) and (_ROWS | _OUTCOME) & bare:
        return {"predict"}
    return set()


def _names_several_models(clause: str) -> bool:
    """`models`, `classifiers`: whoever asks about several wants them compared."""
    return any(
        word.endswith("s") and not word.endswith("ss") and words.stem(word) in _MODELS for word in words.tokens(clause)
    )


def _mentions_target(clause: str, target: str) -> bool:
    if words.mentions(words.stems(clause), target):
        return True
    parts = words.tokens(target)
    return len(parts) == 1 and any(words.related(word, parts[0]) for word in words.tokens(clause))


def decide_kinds(
    question: Question, listings: Sequence[Listing], chat: ChatModel | None
) -> tuple[tuple[str, ...], Choice]:
    """The kinds of the question and the decision that says who chose them."""
    if question.task is not None:
        kinds: tuple[str, ...] = (question.task,)
        if question.task == "explain":
            kinds = ("predict", "explain")
        return kinds, _decision("caller", "task", kinds)
    subject = subject_of(question, listings)
    kinds = by_rules(question.text, subject)
    if kinds:
        return kinds, _decision("rule", "tabular-clauses" if subject.tables else "plain-text", kinds)
    if chat is not None:
        options = [task for task in TASKS if subject.tables or task not in ("predict", "compare", "explain")]
        choice, confidence = chat.choose(_prompt(question.text, subject), options)
        ppm = int(confidence * 1_000_000)
        if choice in options and ppm >= MODEL_LEAST_PPM:
            kinds = ("predict", "explain") if choice == "explain" else (choice,)
            return kinds, _decision("model", chat.name, kinds, ppm)
    kinds = ("retrieve",) if subject.documents else ("write",)
    return kinds, _decision("default", "last-resort", kinds, 0)


def _prompt(text: str, subject: Subject) -> str:
    return (
        f"Question: {text}\nTables: {subject.tables}. Documents: {subject.documents}.\n"
        "Which kind of work answers it? predict: classify rows of a table. explain: why rows are classified so. "
        "compare: which model is better. retrieve: find it in the documents. calculate: arithmetic. write: a free text."
    )


def _decision(how: str, name: str, kinds: tuple[str, ...], confidence_ppm: int = 1_000_000) -> Choice:
    options = tuple(
        (task, 1_000_000 if task in kinds else 0, "named" if task in kinds else "not named") for task in TASKS
    )
    return Choice("kind", how, name, options, "+".join(kinds), confidence_ppm)
