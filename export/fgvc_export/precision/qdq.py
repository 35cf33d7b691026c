"""Explicit int8: QuantizeLinear / DequantizeLinear in front of chosen convolutions, as TensorRT 10 and 11 read them.

Symmetric int8 everywhere (TensorRT takes no zero point): weights with a scale for each output channel, activations
with one scale from `calibration.py`.  Sums, results and bias keep the precision around them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from fgvc_export.precision.graph import replace_nodes, used_only, weights

LEVELS = 127
# Scales are stored in the precision of their layer: below this, fp16 has less than its full 11 bits.
SMALLEST_SCALE = float(np.finfo(np.float16).smallest_normal)


def with_qdq(model: ModelProto, ranges: Mapping[str, float]) -> ModelProto:
    """A copy of an fp32 model whose convolutions read int8 where they are named in `ranges`.

    `ranges`: name of a Conv node -> magnitude of its input that becomes 127; larger values are clipped.
    """
    quantised = ModelProto()
    quantised.CopyFrom(model)
    writer = _Writer(quantised)
    for node in model.graph.node:
        writer.add(node, ranges.get(node.name))
    replace_nodes(quantised, writer.nodes)
    used_only(quantised)
    return quantised


def scale_for(largest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scales that fp16 holds exactly, rounded up so that `largest` is not clipped."""
    wanted = np.maximum(largest.astype(np.float64) / LEVELS, SMALLEST_SCALE)
    half = wanted.astype(np.float16)
    up = np.where(half.astype(np.float64) < wanted, np.nextafter(half, np.float16(np.inf)), half)
    return up.astype(np.float32)


class _Writer:
    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = []
        self._weights = weights(model)
        self._made: dict[tuple[str, float], str] = {}

    def add(self, node: NodeProto, largest: float | None) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        if largest is not None:
            copy.input[0] = self._activation(node.input[0], largest)
            copy.input[1] = self._weight(node.input[1])
        self.nodes.append(copy)

    def _activation(self, name: str, largest: float) -> str:
        """The tensor through int8 and back; once for all layers that read it with one range."""
        if (name, largest) not in self._made:
            stem = f"{name}_q{len(self._made)}"
            scale, zero = self._constants(stem, scale_for(np.array(largest, np.float32)), np.array(0, np.int8))
            self.nodes += [
                helper.make_node("QuantizeLinear", [name, scale, zero], [f"{stem}_int8"], f"{stem}_quantize"),
                helper.make_node("DequantizeLinear", [f"{stem}_int8", scale, zero], [stem], f"{stem}_dequantize"),
            ]
            self._made[name, largest] = stem
        return self._made[name, largest]

    def _weight(self, name: str) -> str:
        """The weight [out, in, h, w] as int8 with a scale for each output channel."""
        exact = self._weights[name].astype(np.float32)
        scales = scale_for(np.abs(exact).reshape(len(exact), -1).max(axis=1))
        codes = np.rint(exact / scales.reshape(-1, 1, 1, 1)).clip(-LEVELS, LEVELS).astype(np.int8)
        scale, zero = self._constants(name, scales, np.zeros(len(exact), np.int8))
        self.model.graph.initializer.append(numpy_helper.from_array(codes, f"{name}_int8"))
        inputs = [f"{name}_int8", scale, zero]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_dq"], f"{name}_dequantize", axis=0))
        return f"{name}_dq"

    def _constants(self, stem: str, scale: NDArray[np.float32], zero: NDArray[np.int8]) -> tuple[str, str]:
        scale_name, zero_name = f"{stem}_scale", f"{stem}_zero"
        self.model.graph.initializer.append(numpy_helper.from_array(scale, scale_name))
        self.model.graph.initializer.append(numpy_helper.from_array(zero, zero_name))
        return scale_name, zero_name
