"""Multiply-accumulate operations of an encoder, counted from its ONNX graph."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

Shapes = dict[str, tuple[int, ...]]


def encoder_gmac(path: Path, hw: tuple[int, int] = (256, 256)) -> float | None:
    """Giga multiply-accumulates of convolutions and matrix products for one frame; None without the package onnx.

    Integer versions of these operations count like their float ones; everything else is left out.
    """
    if importlib.util.find_spec("onnx") is None:
        return None
    import onnx

    model = onnx.load(path)
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, *hw), strict=True):
        dimension.dim_value = size
    shapes = _shapes(onnx.shape_inference.infer_shapes(model))
    return sum(_macs(node, shapes) for node in model.graph.node) / 1e9


def _shapes(model: onnx.ModelProto) -> Shapes:
    graph = model.graph
    found = {i.name: tuple(i.dims) for i in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        found[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    return found


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type not in ("Conv", "ConvInteger", "QLinearConv", "MatMul", "MatMulInteger", "QLinearMatMul"):
        return 0
    # Quantised versions have scales and zero points between data and weights.
    weights = shapes[node.input[3 if node.op_type.startswith("QLinear") else 1]]
    output = math.prod(shapes[node.output[0]])
    if "Conv" in node.op_type:
        return output * math.prod(weights[1:])
    return output * weights[-2]
