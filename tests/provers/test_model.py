"""A stranger's model is refused by name, quickly, and without running any of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from provers import model
from provers.errors import ModelRefused
from tests.provers.conftest import network

GOOD = network((4, 3, 2))


def read(tmp_path: Path, proto: onnx.ModelProto | bytes) -> model.Source:
    path = tmp_path / "model.onnx"
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return model.read(path)


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    proto = copy.deepcopy(GOOD)
    change(proto)
    return proto


def claim_two_gibibytes(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend([1 << 15, 1 << 14])


def point_outside(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")


def make_cyclic(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = proto.graph.node[1].output[0]


def put_nan(proto: onnx.ModelProto) -> None:
    weights = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weights[0, 0] = np.nan
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, proto.graph.initializer[0].name))


def add_control_flow(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].attribute.append(helper.make_attribute("then_branch", GOOD.graph))


MALFORMED: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "dynamic shape": (lambda p: setattr(p.graph.input[0].type.tensor_type.shape.dim[1], "dim_param", "n"), "static"),
    "two rows": (lambda p: setattr(p.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2), "static"),
    "external data": (point_outside, "another file"),
    "two gibibytes in a header": (claim_two_gibibytes, "claims 2147483648 bytes"),
    "cyclic": (make_cyclic, "checker"),
    "not a number": (put_nan, "finite"),
    "custom domain": (lambda p: p.opset_import.append(helper.make_opsetid("evil", 1)), "custom domain"),
    "custom operator": (lambda p: setattr(p.graph.node[1], "op_type", "Sigmoid"), "Sigmoid is not supported"),
    "control flow": (add_control_flow, "control flow"),
    "opset 12": (lambda p: setattr(p.opset_import[0], "version", 12), "outside 13 to 18"),
    "opset 19": (lambda p: setattr(p.opset_import[0], "version", 19), "outside 13 to 18"),
    "name of the context": (lambda p: setattr(p.graph.input[0], "name", "context"), "uses itself"),
    "two outputs": (lambda p: p.graph.output.append(p.graph.output[0]), "2 outputs"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_model_is_refused_with_its_reason(case: str, tmp_path: Path):
    change, reason = MALFORMED[case]
    with pytest.raises(ModelRefused, match=reason):
        read(tmp_path, changed(change))


@pytest.mark.parametrize("data", [b"", b"hello", GOOD.SerializeToString()[:-40]], ids=["empty", "text", "truncated"])
def test_what_is_no_model_is_refused(data: bytes, tmp_path: Path):
    with pytest.raises(ModelRefused):
        read(tmp_path, data)


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_opsets_in_range_are_read(opset: int, tmp_path: Path):
    source = read(tmp_path, network((4, 3, 2), opset=opset))
    assert (source.inputs, source.outputs) == (4, 2)
    assert [(layer.inputs, layer.units, layer.relu) for layer in source.layers] == [(4, 3, True), (3, 2, False)]


@pytest.mark.parametrize("hashed", [False, True])
def test_wrapped_model_answers_as_its_source(hashed: bool, tmp_path: Path):
    import onnxruntime as ort

    wrapped = model.wrap(read(tmp_path, GOOD), hashed=hashed)
    row = np.array([[0.5, -1.25, 2.0, 0.0]], np.float32)
    salted = np.concatenate([row, np.full((1, 5), 9.0, np.float32)], axis=1) if hashed else row
    context = np.arange(11, dtype=np.int64)[None]
    plain = ort.InferenceSession(GOOD.SerializeToString()).run(None, {"x": row})
    bound = ort.InferenceSession(wrapped.SerializeToString()).run(None, {"x": salted, "context": context})
    assert np.array_equal(plain[0], bound[0])
    assert len(bound) == 1 + hashed
    if hashed:
        assert np.array_equal(bound[1], context)


def test_wrapping_is_deterministic(tmp_path: Path):
    first, second = (model.wrap(read(tmp_path, GOOD), hashed=True).SerializeToString() for _ in range(2))
    assert first == second


def test_other_differs_from_its_model_in_one_weight(tmp_path: Path):
    wrapped = model.wrap(read(tmp_path, GOOD), hashed=False)
    pairs = zip(wrapped.graph.initializer, model.other(wrapped).graph.initializer, strict=True)
    differing = [int((numpy_helper.to_array(a) != numpy_helper.to_array(b)).sum()) for a, b in pairs]
    assert sum(differing) == 1
