"""A small network in integers: what anybody can run and get the same bits.

Words are fixed-point at scale 2**bits, weights at 2**bits, biases at 2**(2·bits). One layer: acc = b + Σ w·x, optionally
clamped at zero, then (acc + 2**(bits-1)) >> bits. Python integers never overflow, so the result is exact everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from prsm_protocol.errors import ModelError


class WeightsInvalid(ModelError):
    text = "the weights block is not a network of integer layers: {reason}"


@dataclass(frozen=True)
class Layer:
    weights: tuple[tuple[int, ...], ...]  # [outputs][inputs], scale 2**bits
    bias: tuple[int, ...]  # [outputs], scale 2**(2·bits)
    relu: bool


@dataclass(frozen=True)
class IntegerNetwork:
    bits: int
    layers: tuple[Layer, ...]

    @property
    def inputs(self) -> int:
        return len(self.layers[0].weights[0])

    @property
    def outputs(self) -> int:
        return len(self.layers[-1].bias)

    @property
    def is_linear(self) -> bool:
        return len(self.layers) == 1 and not self.layers[0].relu


def run(network: IntegerNetwork, words: Sequence[int]) -> list[int]:
    """Output words of one row of input words."""
    values = list(words)
    if len(values) != network.inputs:
        raise WeightsInvalid(reason=f"{len(values)} words for {network.inputs} inputs")
    half = 1 << (network.bits - 1)
    for layer in network.layers:
        sums = [
            b + sum(w * x for w, x in zip(row, values, strict=True))
            for row, b in zip(layer.weights, layer.bias, strict=True)
        ]
        values = [((max(s, 0) if layer.relu else s) + half) >> network.bits for s in sums]
    return values


def to_block(network: IntegerNetwork) -> dict[str, object]:
    """The block's map (encode it as DAG-CBOR)."""
    return {
        "v": 1,
        "kind": "integer_layers",
        "bits": network.bits,
        "layers": [
            {"w": [list(row) for row in layer.weights], "b": list(layer.bias), "relu": layer.relu}
            for layer in network.layers
        ],
    }


def from_block(block: Mapping[str, object]) -> IntegerNetwork:
    """Read a decoded weights block; checks shapes, since files come from strangers."""
    if block.get("kind") != "integer_layers" or block.get("v") != 1:
        raise WeightsInvalid(reason=f"kind {block.get('kind')!r}, version {block.get('v')!r}")
    bits = block.get("bits")
    if not isinstance(bits, int) or not 1 <= bits <= 30:
        raise WeightsInvalid(reason=f"bits {bits!r}")
    layers: list[Layer] = []
    raw = block.get("layers")
    if not isinstance(raw, list) or not 1 <= len(raw) <= 16:
        raise WeightsInvalid(reason="1 to 16 layers are allowed")
    for index, entry in enumerate(raw):
        if not isinstance(entry, Mapping):
            raise WeightsInvalid(reason=f"layer {index} is not a map")
        rows, bias = entry.get("w"), entry.get("b")
        if not isinstance(rows, list) or not isinstance(bias, list) or not rows or len(rows) != len(bias):
            raise WeightsInvalid(reason=f"layer {index}: weights and bias do not fit")
        width = len(layers[-1].bias) if layers else len(cast("list[int]", rows[0]))
        for row in rows:
            if not isinstance(row, list) or len(row) != width or not all(type(w) is int for w in row):
                raise WeightsInvalid(reason=f"layer {index}: every row needs {width} integers")
        if not all(type(b) is int for b in bias):
            raise WeightsInvalid(reason=f"layer {index}: bias is not integers")
        layers.append(Layer(tuple(tuple(row) for row in rows), tuple(bias), entry.get("relu") is True))
    return IntegerNetwork(bits, tuple(layers))
