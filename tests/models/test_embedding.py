"""Our forward pass equals that of transformers, and what it gives tells paraphrases from other things."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from prsm_protocol.models.bundled import ModelNotInstalled, fetch
from prsm_protocol.models.embedding import (
    DIMENSIONS,
    MAX_TOKENS,
    EmbeddingLibraryMissing,
    EmbeddingModelInvalid,
    MiniLM,
    _batches,
    _Bert,
)
from prsm_protocol.settings import settings

TEXTS = [
    "Who paid for the study?",
    "The trial was financed by a public foundation.",
    "Cats sleep.",
    "",
    "Größe, naïve café — µg/ml; 东京 and 1,234.5 %",
    "one word after another " * 200,  # cut at 256 tokens
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return fetch("minilm")


@pytest.fixture(scope="module")
def model(folder: Path) -> MiniLM:
    return MiniLM()


def test_vectors_equal_those_of_transformers(folder: Path, model: MiniLM) -> None:
    import torch
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    reference = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False)
    weights = load_file(folder / "model.safetensors")
    missing = reference.load_state_dict(weights, strict=False).missing_keys
    assert missing == []
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.no_padding()
    with torch.no_grad():
        states = [
            reference.eval()(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0].mean(0) for text in TEXTS
        ]
    expected = np.stack([(state / state.norm()).numpy() for state in states])
    vectors = model.embed(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), DIMENSIONS), np.float32)
    assert np.abs(vectors - expected).max() < 1e-4


def test_a_paraphrase_is_nearer_than_anything_else(model: MiniLM) -> None:
    vectors = model.embed(TEXTS)
    near = vectors @ vectors[0]
    assert near[1] > near[2:].max() + 0.2
    assert np.allclose((vectors * vectors).sum(axis=1), 1, atol=1e-5)


def test_a_vector_does_not_depend_on_its_batch_nor_on_its_place(model: MiniLM) -> None:
    together = model.embed(TEXTS)
    assert np.abs(model.embed(TEXTS[::-1])[::-1] - together).max() < 1e-5
    assert np.abs(model.embed(TEXTS[2:3])[0] - together[2]).max() < 1e-5


def test_no_text_gives_no_vector(model: MiniLM) -> None:
    assert model.embed([]).shape == (0, DIMENSIONS)


def test_batches_hold_every_text_once_and_stay_small() -> None:
    lengths = [(7 * at) % 257 for at in range(300)]
    batches = _batches(lengths)
    assert sorted(at for batch in batches for at in batch) == list(range(300))
    assert max(len(batch) * max(lengths[at] for at in batch) for batch in batches) <= 4096


def test_a_model_that_is_not_there_is_named_at_the_first_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings(), "models", tmp_path)
    model = MiniLM()
    with pytest.raises(ModelNotInstalled, match="prsm models fetch"):
        model.embed(["text"])


def test_a_missing_library_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(EmbeddingLibraryMissing, match="tokenizers"):
        MiniLM().embed(["text"])


def test_another_model_s_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 768, "hidden_act": "gelu"}')
    with pytest.raises(EmbeddingModelInvalid, match="hidden_size is 768, not 384"):
        _Bert(tmp_path, {})
