"""Which layers of an encoder's graph become Winograd convolutions, and the graph with them.

What the layers become is `functions.txt`; nothing of the arithmetic is here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper, parser, shape_inference

from fgvc_export.winograd.matrices import OUTPUTS, output_matrix, weight_matrix, window_matrix

DOMAIN = "fgvc"
FUNCTIONS = "functions.txt"
# Narrower layers lose more on moving pixels than the multiplications cost (ResNet-18 on AVX-512: 64 to 64 channels
# are slower, 64 to 128 equal, 128 to 128 take .85 and 256 to 256 .6 of the time).
LEAST_CHANNELS, LEAST_PRODUCTS = 64, 64 * 128
# A frame size on which two maps of a graph have the same size only if they always have.
EXAMPLE_SIZE = (419, 613)
MATRICES = {"winograd_window": window_matrix, "winograd_weight": weight_matrix, "winograd_output": output_matrix}
Shape = tuple[int, ...]


def rewrite(model: ModelProto) -> int:
    """Replace, in place, what can be replaced; returns how many 3x3 convolutions became Winograd's.

    The output [N, C, h, w] becomes [N, h, w, C]: the tables of Winograd's layers are in that order already.
    """
    work = _Rewriter(model)
    work.run()
    return work.replaced


class _Rewriter:
    """The graph being written: its nodes so far, and for every map the names of its two forms."""

    def __init__(self, model: ModelProto) -> None:
        self.replaced = 0
        self._model = model
        self._shapes = _example_shapes(model)
        self._weights = {entry.name: entry for entry in model.graph.initializer}
        self._nodes: list[NodeProto] = []
        self._tables: dict[str, str] = {}  # map -> its table
        self._lost: set[str] = set()  # maps that exist as a table only
        self._plans: dict[Shape, str] = {}  # frame of a map -> prefix of its plan
        self._handlers: dict[str, Callable[[NodeProto], bool]] = {
            "Conv": self._convolution,
            "Relu": self._pointwise,
            "Add": self._pointwise,
        }

    def run(self) -> None:
        """Write the new graph into the model."""
        graph = self._model.graph
        for node in graph.node:
            handler = self._handlers.get(node.op_type)
            if handler is None or not handler(node):
                for name in node.input:
                    self._restore(name)
                self._nodes.append(node)
        if self.replaced:
            self._output_last()
            self._declare()
        del graph.node[:]
        graph.node.extend(self._nodes)

    def _convolution(self, node: NodeProto) -> bool:
        weight = self._weights.get(node.input[1])
        if weight is None or not _is_plain(node, tuple(weight.dims)):
            return False
        wide = weight.dims[2] == 3 and _is_wide(tuple(weight.dims))
        if not wide and not (weight.dims[2] == 1 and node.input[0] in self._tables):
            return False
        values = numpy_helper.to_array(weight)
        bias = numpy_helper.to_array(self._weights[node.input[2]]) if len(node.input) > 2 else np.zeros(len(values))
        stem, table = node.output[0], self._table(node.input[0])
        taps = np.ascontiguousarray(values.transpose(2, 3, 1, 0).reshape(-1, *values.shape[1::-1]))
        inputs = [self._constant(f"{stem}.weight", taps if wide else taps[0])]
        blocks = np.concatenate([np.broadcast_to(bias, (OUTPUTS**2, 1, len(bias))), np.zeros((1, 1, len(bias)))])
        inputs.append(self._constant(f"{stem}.bias", blocks.astype(np.float32)))
        if wide:
            inputs = [f"{self._plan(node.input[0])}.windows", *inputs, *MATRICES]
        self._emit("Conv3x3" if wide else "Conv1x1", [table, *inputs], [f"{stem}.table"])
        self._became(stem)
        self.replaced += wide
        return True

    def _pointwise(self, node: NodeProto) -> bool:
        """An operator that treats every pixel alike follows its inputs into the table."""
        same = all(self._shapes.get(name) == self._shapes.get(node.output[0]) for name in node.input)
        if not same or not any(name in self._lost for name in node.input):
            return False
        inputs = [self._table(name) for name in node.input]
        self._nodes.append(helper.make_node(node.op_type, inputs, [f"{node.output[0]}.table"], node.name))
        self._became(node.output[0])
        return True

    def _became(self, name: str) -> None:
        self._tables[name] = f"{name}.table"
        self._lost.add(name)

    def _table(self, name: str) -> str:
        if name not in self._tables:
            self._emit("Enter", [name, f"{self._plan(name)}.enter"], [f"{name}.table"])
            self._tables[name] = f"{name}.table"
        return self._tables[name]

    def _plan(self, name: str) -> str:
        frame = self._shapes[name][2:]
        if frame not in self._plans:
            self._plans[frame] = f"plan{len(self._plans)}"
            parts = ("enter", "windows", "leave")
            self._emit("Plan", [name], [f"{self._plans[frame]}.{part}" for part in parts])
        return self._plans[frame]

    def _restore(self, name: str) -> None:
        """Make the map again for an operator that is not replaced."""
        if name in self._lost:
            self._leave(name, f"{name}.last")
            self._nodes.append(helper.make_node("Transpose", [f"{name}.last"], [name], perm=[0, 3, 1, 2]))
            self._lost.remove(name)

    def _leave(self, name: str, last: str) -> None:
        self._emit("Leave", [self._tables[name], f"{self._plan(name)}.leave"], [last])

    def _output_last(self) -> None:
        output = self._model.graph.output[0]
        name, shape = output.name, output.type.tensor_type.shape
        output.name = f"{name}_last"
        if name in self._lost:
            self._leave(name, output.name)
        else:
            self._nodes.append(helper.make_node("Transpose", [name], [output.name], perm=[0, 2, 3, 1]))
        order = [onnx.TensorShapeProto.Dimension() for _ in range(4)]
        for dimension, axis in zip(order, (0, 2, 3, 1), strict=True):
            dimension.CopyFrom(shape.dim[axis])
        del shape.dim[:]
        shape.dim.extend(order)

    def _emit(self, function: str, inputs: list[str], outputs: list[str]) -> None:
        self._nodes.append(helper.make_node(function, inputs, outputs, f"{outputs[0]}.{function}", domain=DOMAIN))

    def _constant(self, name: str, values: NDArray[np.float32]) -> str:
        self._model.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def _declare(self) -> None:
        graph = self._model.graph
        for name, matrix in MATRICES.items():
            self._constant(name, matrix())
        text = resources.files("fgvc_export.winograd").joinpath(FUNCTIONS).read_text(encoding="utf-8")
        self._model.functions.extend(parser.parse_model(text).functions)
        self._model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
        used = {name for node in self._nodes for name in node.input}
        kept = [entry for entry in graph.initializer if entry.name in used]
        del graph.initializer[:]
        graph.initializer.extend(kept)


def _example_shapes(model: ModelProto) -> dict[str, Shape]:
    """Shapes of all maps for one frame of `EXAMPLE_SIZE`."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for dimension, value in zip(copy.graph.input[0].type.tensor_type.shape.dim, (1, 3, *EXAMPLE_SIZE), strict=True):
        dimension.dim_value = value
    graph = shape_inference.infer_shapes(copy, data_prop=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in values}


def _is_wide(dims: Shape) -> bool:
    return min(dims[:2]) >= LEAST_CHANNELS and dims[0] * dims[1] >= LEAST_PRODUCTS


def _is_plain(node: NodeProto, dims: Shape) -> bool:
    """Whether a convolution is 1x1, or 3x3 with one pixel of zeros around, of stride 1, undilated and undivided."""
    if dims[2:] not in ((1, 1), (3, 3)):
        return False
    wanted = {
        "strides": [1, 1],
        "dilations": [1, 1],
        "group": 1,
        "pads": [dims[2] // 2] * 4,
        "kernel_shape": list(dims[2:]),
    }
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if given.pop("auto_pad", b"NOTSET") != b"NOTSET":
        return False
    return given.get("pads", [0] * 4) == wanted["pads"] and all(wanted.get(k) == v for k, v in given.items())
