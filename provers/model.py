"""Reads a stranger's ONNX model, refuses what cannot or must not become a circuit, and wraps it.

Runs in a worker. Nothing of a model is executed while it is read, and no size that a header claims is believed before
the bytes are there. Wrapping adds the context that binds a proof and, for a hidden input, its salt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from provers.errors import ModelRefused
from provers.model_limits import MODEL_LIMIT
from prsm_protocol.rules.oracle.context import LIMBS
from prsm_protocol.rules.oracle.instances import SALT_WORDS
from prsm_protocol.rules.oracle.proof_cost import Dense

OPSETS = range(13, 19)
_ARITHMETIC = ("Gemm", "MatMul", "Conv", "Add", "Sub", "Mul", "Relu", "Clip", "Max")
_SHAPES = ("Slice", "Reshape", "Flatten", "Concat", "ArgMax", "Identity")
OPERATORS = frozenset(_ARITHMETIC + _SHAPES)
_ELEMENT_BYTES = {TensorProto.FLOAT: 4, TensorProto.INT64: 8, TensorProto.INT32: 4}
_IR_VERSION = 8
"""The newest that the prover's reader and onnxruntime 1.27 both take."""


@dataclass(frozen=True)
class Source:
    """A model that passed: its graph, the width of its row and of its output, and its weighted sums."""

    proto: Any
    inputs: int
    outputs: int
    layers: tuple[Dense, ...]


def read(path: Path) -> Source:
    data = path.read_bytes()
    if len(data) > MODEL_LIMIT:
        raise ModelRefused(reason=f"{len(data)} bytes, {MODEL_LIMIT} are read", node="")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf raises DecodeError, which derives from Exception alone
        raise ModelRefused(reason="it is no ONNX file, or a truncated one", node="") from error
    if not proto.HasField("graph"):
        raise ModelRefused(reason="it is no ONNX file, or a truncated one", node="")
    _check_opset(proto)
    _check_nodes(proto)
    for tensor in proto.graph.initializer:
        _check_tensor(tensor, tensor.name)
    inputs, outputs = _check_shapes(proto)
    try:
        onnx.checker.check_model(proto)
    except Exception as error:  # ValidationError and whatever the checker's C++ raises
        raise ModelRefused(reason=f"the ONNX checker says: {str(error)[:300]}", node="") from error
    return Source(proto, inputs, outputs, _layers(proto))


def wrap(source: Source, *, hashed: bool) -> Any:
    """The circuit's model: the source, a context that is bound and, where the input is hidden, salt that no node reads.

    A hidden circuit passes its context through as the last outputs, which the hub compares; a public one has its limbs
    among the inputs' words.
    """
    graph = source.proto.graph
    nodes, initializers = list(graph.node), list(graph.initializer)
    x, y = graph.input[-1].name, graph.output[0].name
    width = source.inputs
    outputs = [helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, source.outputs])]
    if hashed:
        width += SALT_WORDS
        row = "prsm_row"
        for node in nodes:
            for at, name in enumerate(node.input):
                if name == x:
                    node.input[at] = row
        bounds = {"prsm_from": 0, "prsm_to": source.inputs, "prsm_axis": 1}
        initializers += [numpy_helper.from_array(np.array([at], np.int64), name) for name, at in bounds.items()]
        nodes.insert(0, helper.make_node("Slice", [x, *bounds], [row], name="prsm_without_salt"))
        nodes.append(helper.make_node("Identity", ["context"], ["context_passed"], name="prsm_context"))
        outputs.append(helper.make_tensor_value_info("context_passed", TensorProto.INT64, [1, LIMBS]))
    wrapped = helper.make_graph(
        nodes,
        "prsm_circuit",
        [
            helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, width]),
            helper.make_tensor_value_info("context", TensorProto.INT64, [1, LIMBS]),
        ],
        outputs,
        initializers,
    )
    model = helper.make_model(
        wrapped, opset_imports=[helper.make_opsetid("", _opset(source.proto))], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def other(wrapped: Any) -> Any:
    """The same circuit with one weight moved: what the verifier of the first must refuse."""
    model = onnx.ModelProto()
    model.CopyFrom(wrapped)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).copy()
            values.flat[0] += 0.5
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
            return model
    raise ModelRefused(reason="it has no weights", node="")


def _opset(proto: Any) -> int:
    return next(int(item.version) for item in proto.opset_import if item.domain in ("", "ai.onnx"))


def _check_opset(proto: Any) -> None:
    versions = {item.domain: item.version for item in proto.opset_import}
    foreign = [domain for domain in versions if domain not in ("", "ai.onnx")]
    if foreign:
        raise ModelRefused(reason=f"it uses the custom domain {foreign[0]!r}", node="")
    if not versions or _opset(proto) not in OPSETS:
        raise ModelRefused(reason=f"opset {list(versions.values())} is outside 13 to 18", node="")
    if proto.functions:
        raise ModelRefused(reason="it defines functions", node=proto.functions[0].name)


def _check_nodes(proto: Any) -> None:
    if proto.graph.sparse_initializer:
        raise ModelRefused(reason="it has sparse weights", node="")
    for at, node in enumerate(proto.graph.node):
        name = node.name or f"{at}:{node.op_type}"
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise ModelRefused(reason=f"operator {node.domain or 'ai.onnx'}.{node.op_type} is not supported", node=name)
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise ModelRefused(reason="it has control flow", node=name)
            if attribute.HasField("t"):
                _check_tensor(attribute.t, name)


def _check_tensor(tensor: Any, name: str) -> None:
    """Dense, inside the file, as long as it says, and finite."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelRefused(reason="its weights lie in another file", node=name)
    size = _ELEMENT_BYTES.get(tensor.data_type)
    if size is None:
        raise ModelRefused(reason=f"tensor type {tensor.data_type} is none of float32, int64, int32", node=name)
    count = math.prod(tensor.dims)
    held = (
        len(tensor.raw_data)
        if tensor.HasField("raw_data")
        else size * max(len(tensor.float_data), len(tensor.int64_data), len(tensor.int32_data))
    )
    if any(part < 0 for part in tensor.dims) or count * size != held:
        raise ModelRefused(reason=f"a tensor claims {count * size} bytes and holds {held}", node=name)
    if not np.isfinite(numpy_helper.to_array(tensor)).all():
        raise ModelRefused(reason="a weight is not a finite number", node=name)


def _check_shapes(proto: Any) -> tuple[int, int]:
    graph = proto.graph
    constant = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constant]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelRefused(reason=f"{len(inputs)} inputs and {len(graph.output)} outputs, one each is taken", node="")
    if inputs[0].name == "context" or inputs[0].name.startswith("prsm_"):
        raise ModelRefused(reason="its input has a name that the circuit uses itself", node=inputs[0].name)
    widths = [_width(inputs[0]), _width(graph.output[0])]
    if len(graph.input) != 1:  # older exporters list weights among the inputs
        del graph.input[:]
        graph.input.extend(inputs)
    return widths[0], widths[1]


def _width(value: Any) -> int:
    kind = value.type.tensor_type
    shape = [item.dim_value if item.HasField("dim_value") else 0 for item in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(shape) != 2 or shape[0] != 1 or shape[1] < 1:
        raise ModelRefused(reason=f"shape {shape} is not a static float32 [1, n]", node=value.name)
    return int(shape[1])


def _layers(proto: Any) -> tuple[Dense, ...]:
    """Weighted sums as (inputs, units), which is what a proof's size depends on."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    found: list[Dense] = []
    for node in proto.graph.node:
        if node.op_type in ("Gemm", "MatMul", "Conv"):
            name = next((name for name in node.input[1:2] if name in shapes), None)
            shape = shapes.get(name or "", ())
            if len(shape) < 2:
                raise ModelRefused(reason="a product of two variables has no weights", node=node.name)
            turned = node.op_type == "Conv" or any(item.name == "transB" and item.i for item in node.attribute)
            units, inputs = (shape[0], math.prod(shape[1:])) if turned else (shape[-1], shape[0])
            found.append(Dense(int(inputs), int(units)))
        elif node.op_type in ("Relu", "Clip", "Max") and found:
            found[-1] = Dense(found[-1].inputs, found[-1].units, relu=True)
    return tuple(found)
