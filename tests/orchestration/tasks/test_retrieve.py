from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.orchestration import question
from prsm_protocol.orchestration.tasks import retrieve

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
