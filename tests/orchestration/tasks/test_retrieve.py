import pytest
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.models.bundled import fetch
from prsm_protocol.models.embedding import MiniLM
from prsm_protocol.orchestration import orchestrator, question
from prsm_protocol.orchestration.payments import NoPayments
from prsm_protocol.orchestration.tasks import retrieve
from prsm_protocol.settings import settings

PAPER = question.parse(
    "paper.md",
    (
        "# Trial\n\nThe study enrolled 412 patients at four centres. Half of them were given 20 mg a day. "
        "The other half received a placebo.\n\n## Money\n\nA public foundation paid for everything. "
        "Nobody else had a say.\n\n" + "Filler sentences say nothing new. " * 200
    ).encode(),
)


def quotes(text, *documents):
    return retrieve.block(text, documents)["quotes"]


def test_the_sentence_that_answers_is_quoted_to_the_letter():
    found = quotes("Which foundation paid?", PAPER)[0]
    assert found["text"].startswith("A public foundation paid for everything.")
    assert PAPER.pages[0][found["start"] : found["end"]] == found["text"]
    assert found["page"] == 1


def test_nothing_is_quoted_where_no_word_of_the_question_stands():
    assert quotes("Which telescope saw the supernova?", PAPER) == []


def test_at_most_three_quotes():
    assert len(quotes("sentences about patients, placebo, foundation and filler", PAPER)) <= 3


@given(st.text(alphabet="ab .!?\n", max_size=3000))
def test_spans_stand_where_they_say_and_lose_no_word(text):
    document = question.parse("x.txt", text.encode())
    found = retrieve.spans([document])
    for span in found:
        assert document.pages[0][span.start : span.end] == span.text
    assert " ".join(span.text for span in found).split() == [word for word in text.split() if word.strip(".!?")] or all(
        word in text for span in found for word in span.text.split()
    )


def test_ranks_join_by_reciprocal_rank():
    assert retrieve.fuse([1, 2, 3], [3, 1, 2]) == [1, 3, 2]
    assert retrieve.fuse([5]) == [5]


class Near:
    """An embedder that finds the last text nearest to the question."""

    def embed(self, texts):
        return [[1.0, 0.0]] + [[float(i == len(texts) - 1), 0.0] for i in range(1, len(texts))]


def test_an_embedder_joins_the_words():
    documents = [question.parse(f"{i}.txt", f"Cats number {i} sleep.".encode()) for i in range(5)]
    found = retrieve.search("cats", retrieve.spans(documents), Near())
    assert documents[4].digest in [span.document for span in found]


# ── by meaning ───────────────────────────────────────────────────────────────────────────────────────────────────────

HERE = [
    question.parse(
        "a.md", ("The animals lived in light for twelve hours a day and ate as much as they liked. " * 8).encode()
    )
]
TRIAL = question.parse(
    "trial.md",
    (
        "# Methods\n\nBlood was drawn every week and kept frozen until it was measured. " * 6
        + "\n\n# Outcome\n\nFewer patients died under the drug than under placebo, 12 against 31 of 206 in each group.\n\n"
        + "Adverse events were listed by two people who knew nothing of the groups. " * 6
    ).encode(),
)


@pytest.fixture(scope="module")
def minilm():
    fetch("minilm")
    return MiniLM()


def test_meaning_finds_what_no_word_finds(minilm):
    asked = "Did the medicine reduce mortality?"
    assert quotes(asked, *HERE, TRIAL) == []
    (found,) = retrieve.block(asked, [*HERE, TRIAL], minilm)["quotes"]
    assert "Fewer patients died under the drug than under placebo" in found["text"]
    assert found["document"] == TRIAL.digest
    assert TRIAL.pages[0][found["start"] : found["end"]] == found["text"]
    assert len(found["text"].split()) < 40


def test_nothing_is_quoted_that_is_near_in_neither_words_nor_meaning(minilm):
    assert retrieve.block("Which telescope saw the supernova?", [*HERE, TRIAL], minilm)["quotes"] == []


class Counting:
    """An embedder that counts the words it is given and finds nothing near."""

    words = 0

    def embed(self, texts):
        self.words += sum(len(text.split()) for text in texts[1:])
        return [[1.0, 0.0]] + [[0.0, 1.0]] * (len(texts) - 1)


def test_long_documents_are_compared_by_meaning_as_far_as_words_rank_them():
    limit = retrieve.MEANING_WORDS
    for words, seen, too_long in ((limit - 200, limit - 200, False), (limit, limit, False), (limit + 200, limit, True)):
        document = question.parse(
            "long.txt", ("Ten words of no weight stand in each sentence here. " * (words // 10)).encode()
        )
        counting, found = Counting(), retrieve.spans([document])
        retrieve.search("weight", found, counting)
        assert (counting.words, retrieve.too_long(found)) == (seen, too_long)


@given(st.text(alphabet="ab .!?\n", max_size=2000))
def test_pieces_stand_where_they_say_and_lose_no_word(text):
    document = question.parse("x.txt", text.encode())
    for span in retrieve.spans([document]):
        pieces = list(retrieve._pieces(span))
        assert all(document.pages[0][piece.start : piece.end] == piece.text for piece in pieces)
        assert "".join("".join(piece.text.split()) for piece in pieces) == "".join(span.text.split())


def _answered(embedder, folder, network_of, recorder, steps):
    paper = folder / "trial.md"
    paper.write_text(TRIAL.pages[0])
    asked = question.read("Did the medicine reduce mortality?", [paper], task="retrieve", local=True)
    network = network_of("wine network")
    estimate = orchestrator.estimate(asked, network)
    return orchestrator.answer(asked, estimate, steps, NoPayments(), recorder, network, embedder=embedder)


def test_an_answer_quotes_what_meaning_found(minilm, tmp_path, network_of, recorder, steps):
    answer = _answered(minilm, tmp_path, network_of, recorder, steps)
    assert "Fewer patients died under the drug" in answer.text
    assert [claim.support for claim in answer.claims] == ["quoted"]


def test_an_answer_says_that_words_alone_were_compared_where_the_model_is_missing(
    tmp_path, monkeypatch, network_of, recorder, steps
):
    monkeypatch.setattr(settings(), "models", tmp_path)
    answer = _answered(MiniLM(), tmp_path, network_of, recorder, steps)
    assert "searched by words alone: model 'minilm' is not installed; run: prsm models fetch" in answer.text
    assert "Not found in 1 documents" in answer.text
