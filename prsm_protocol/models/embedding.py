"""MiniLM (all-MiniLM-L6-v2) as unit vectors, on numpy alone: importing torch and transformers would cost more than the work.

Knows one model's shape: a BERT of six layers with mean pooling. `tests/models/test_embedding.py` holds it equal to
transformers' own result.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from prsm_protocol.errors import ModelError
from prsm_protocol.models.bundled import locate

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Array = NDArray[np.float32]

BUNDLED = "minilm"
DIMENSIONS = 384
MAX_TOKENS = 256
"""What the model was made for; the rest of a longer text is not seen."""
_BATCH_TOKENS = 4096
"""Tokens computed at once, padding included: the widest array, 4,096 × 1,536 floats, takes 25 MB."""


class EmbeddingLibraryMissing(ModelError):
    text = "embedding needs the Python package {package!r}; install prsm-protocol[local-models]"


class EmbeddingModelInvalid(ModelError):
    text = "the embedding model in {folder} has another shape than all-MiniLM-L6-v2: {reason}"


class MiniLM:
    """The bundled model. Nothing is read before the first text; a missing model is named then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @cached_property
    def _loaded(self) -> tuple[Tokenizer, _Bert]:
        folder = locate(BUNDLED)
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise EmbeddingLibraryMissing(package=error.name) from None
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()
        return tokenizer, _Bert(folder, load_file(folder / "model.safetensors"))

    def embed(self, texts: Sequence[str]) -> Array:
        """One unit vector a text, in the order of the texts: float32, texts × 384."""
        with self._lock:
            tokenizer, bert = self._loaded
        encodings = tokenizer.encode_batch(list(texts))
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for batch in _batches([len(encoding) for encoding in encodings]):
            vectors[batch] = bert.pooled(*_padded([encodings[at] for at in batch]))
        return vectors


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Texts of like length together, so that little is spent on padding."""
    batches: list[list[int]] = []
    for at in sorted(range(len(lengths)), key=lambda at: lengths[at]):
        if not batches or (len(batches[-1]) + 1) * lengths[at] > _BATCH_TOKENS:
            batches.append([])
        batches[-1].append(at)
    return batches


def _padded(encodings: Sequence[Encoding]) -> tuple[NDArray[np.int64], Array]:
    """Token ids, and a mask with 1 where a token stands."""
    width = max(len(encoding) for encoding in encodings)
    ids = np.zeros((len(encodings), width), np.int64)
    mask = np.zeros((len(encodings), width), np.float32)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding)] = encoding.ids
        mask[row, : len(encoding)] = 1
    return ids, mask


class _Bert:
    """The forward pass; weights carry the names of their file."""

    def __init__(self, folder: Path, weights: dict[str, Array]) -> None:
        config = json.loads((folder / "config.json").read_text())
        expected = {"model_type": "bert", "hidden_size": DIMENSIONS, "hidden_act": "gelu"}
        for key, value in expected.items():
            if config.get(key) != value:
                raise EmbeddingModelInvalid(folder=folder, reason=f"{key} is {config.get(key)!r}, not {value!r}")
        self._weights = weights
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = np.float32(config["layer_norm_eps"])

    def pooled(self, ids: NDArray[np.int64], mask: Array) -> Array:
        """The mean of the last layer over real tokens, scaled to length 1."""
        x = (
            self._weights["embeddings.word_embeddings.weight"][ids]
            + self._weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._normalised(x, "embeddings.LayerNorm")
        # A padded place gets a weight of exp(-huge) = 0 in every softmax, so a text's vector does not know its batch.
        unseen = ((1 - mask) * np.float32(-1e9))[:, None, None, :]
        for layer in range(self._layers):
            x = self._layer(x, unseen, f"encoder.layer.{layer}")
        mean = np.einsum("btd,bt->bd", x, mask) / mask.sum(axis=1, keepdims=True)
        return cast(Array, mean / np.linalg.norm(mean, axis=1, keepdims=True))

    def _layer(self, x: Array, unseen: Array, name: str) -> Array:
        query, key, value = (self._split(self._dense(x, f"{name}.attention.self.{part}")) for part in _ATTENTION)
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(query.shape[-1])) + unseen
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        x = self._normalised(
            x + self._dense(seen, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        wide = _gelu(self._dense(x, f"{name}.intermediate.dense"))
        return self._normalised(x + self._dense(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _dense(self, x: Array, name: str) -> Array:
        flat = x.reshape(-1, x.shape[-1])  # one large product; a stack of small ones takes several times as long
        out = flat @ self._weights[f"{name}.weight"].T
        out += self._weights[f"{name}.bias"]
        return out.reshape(*x.shape[:-1], -1)

    def _split(self, x: Array) -> Array:
        """Texts × heads × tokens × width of a head."""
        return x.reshape(*x.shape[:2], self._heads, -1).transpose(0, 2, 1, 3)

    def _normalised(self, x: Array, name: str) -> Array:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self._epsilon)
        return cast(Array, x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"])


_ATTENTION = ("query", "key", "value")


def _gelu(x: Array) -> Array:
    """x·Φ(x) with the true error function, as the model was trained."""
    from scipy.special import erf

    return cast(Array, x * np.float32(0.5) * (1 + erf(x * np.float32(0.7071067811865476))))
