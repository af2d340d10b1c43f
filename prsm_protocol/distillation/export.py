"""A network as files: ONNX with a canonical order, so equal weights give an equal CID, and the block of integers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from prsm_protocol.errors import DistillationError
from prsm_protocol.rules.integer_layers import IntegerNetwork, run, to_block
from prsm_protocol.trace import dag_cbor

OPSET = 17
TOLERANCE = 1e-4


class ExportDiffers(DistillationError):
    text = "the ONNX file answers {got} where the integers answer {expected} (row {row}); the export is refused"


def to_onnx(network: IntegerNetwork, producer: str = "prsm") -> bytes:
    """Input "x" float32 [1, n] (words / 2**bits), output "y" float32 [1, m]."""
    scale = float(1 << network.bits)
    nodes, weights = [], []
    name = "x"
    for index, layer in enumerate(network.layers):
        last = index == len(network.layers) - 1
        w = np.array(layer.weights, dtype=np.float64) / scale
        b = np.array(layer.bias, dtype=np.float64) / (scale * scale)
        weights += [
            numpy_helper.from_array(w.astype(np.float32), f"w{index}"),
            numpy_helper.from_array(b.astype(np.float32), f"b{index}"),
        ]
        out = "y" if last and not layer.relu else f"h{index}"
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], [out], transB=1))
        if layer.relu:
            name = "y" if last else f"r{index}"
            nodes.append(helper.make_node("Relu", [out], [name]))
        else:
            name = out
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, network.inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, network.outputs])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name=producer)
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def to_weights(network: IntegerNetwork) -> bytes:
    """The weights block."""
    return dag_cbor.encode(to_block(network))


def check(network: IntegerNetwork, model: bytes, rows: list[tuple[int, ...]]) -> None:
    """onnxruntime and the integers agree on these rows, up to the rounding of each layer."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    scale = float(1 << network.bits)
    # Each layer rounds by half a step; the next layer multiplies that by its weights.
    slack = 0.5
    for layer in network.layers[1:]:
        slack = 0.5 + slack * max(sum(abs(w) for w in row) for row in layer.weights) / scale
    for index, row in enumerate(rows):
        (floats,) = session.run(["y"], {"x": np.array([row], dtype=np.float32) / np.float32(scale)})
        for got, expected in zip(floats[0].tolist(), run(network, row), strict=True):
            if abs(got * scale - expected) > slack + TOLERANCE * abs(expected):
                raise ExportDiffers(got=got * scale, expected=expected, row=index)
