"""Multiply-accumulate operations of an encoder, counted from its ONNX graph."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

COUNTED = ("Conv", "ConvInteger", "QLinearConv", "MatMul", "MatMulInteger", "QLinearMatMul")
Shapes = dict[str, tuple[int, ...]]


def encoder_gmac(path: Path, hw: tuple[int, int] = (256, 256)) -> float | None:
    """Giga multiply-accumulates of convolutions and matrix products for one frame; None without the package onnx.

    Integer versions of these operations count like their float ones; everything else is left out.
    """
    if importlib.util.find_spec("onnx") is None:
        return None
    import onnx

    model = onnx.load(path)
    shapes = _shapes(model, hw)
    return sum(_macs(node, shapes) for node in model.graph.node) / 1e9


def _shapes(model: onnx.ModelProto, hw: tuple[int, int]) -> Shapes:
    """Shapes of the weights and of every counted output, from a run: inference gives up where sizes are computed."""
    import onnx
    import onnxruntime

    found = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    names = [node.output[0] for node in model.graph.node if node.op_type in COUNTED]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    # Fusing would take outputs away.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = session.run(names, {session.get_inputs()[0].name: np.zeros((1, 3, *hw), np.float32)})
    return found | {name: output.shape for name, output in zip(names, outputs, strict=True)}


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type not in COUNTED:
        return 0
    # Quantised versions have scales and zero points between data and weights.
    weights = shapes[node.input[3 if node.op_type.startswith("QLinear") else 1]]
    output = math.prod(shapes[node.output[0]])
    if "Conv" in node.op_type:
        return output * math.prod(weights[1:])
    return output * weights[-2]
