"""Small tools for rewriting an ONNX graph: which tensors are float, who makes and reads them, fresh names.

No precision is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

# Inputs whose type the ONNX standard fixes at float32, by operator and position.
ALWAYS_FLOAT = {("Resize", 1), ("Resize", 2)}


def float_tensors(model: ModelProto) -> frozenset[str]:
    """Names of all float32 tensors of the graph: inputs, weights, values between nodes and outputs."""
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    typed = [(v.name, v.type.tensor_type.elem_type) for v in (*graph.input, *graph.value_info, *graph.output)]
    typed += [(weight.name, weight.data_type) for weight in graph.initializer]
    return frozenset(name for name, kind in typed if kind == TensorProto.FLOAT)


def weights(model: ModelProto) -> dict[str, NDArray[np.generic]]:
    """The initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def attribute(node: NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def labelled(node: NodeProto) -> str:
    """What a node is called in tables: its weight's name without the ending, else its own."""
    weight = next((name for name in node.input if name.endswith(".weight")), "")
    return weight.removesuffix(".weight").removesuffix(".conv") or node.name


def spelt_out_norm(node: NodeProto) -> list[NodeProto]:
    """ReduceL2 as the root of a sum of squares, for what cannot run it or for seeing each step rounded."""
    (x, axes), (length,) = node.input, node.output
    return [
        helper.make_node("Mul", [x, x], [f"{length}_squares"], f"{node.name}_squares"),
        helper.make_node(
            "ReduceSum",
            [f"{length}_squares", axes],
            [f"{length}_sum"],
            f"{node.name}_sum",
            keepdims=attribute(node, "keepdims", 1),
        ),
        helper.make_node("Sqrt", [f"{length}_sum"], [length], f"{node.name}_root"),
    ]


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Put `nodes`, in order, in the place of the graph's."""
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def used_only(model: ModelProto) -> None:
    """Drop weights that no node reads any more."""
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def float_inputs(node: NodeProto, floats: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Position and name of the node's inputs that a lower precision may change."""
    for index, name in enumerate(node.input):
        if name in floats and (node.op_type, index) not in ALWAYS_FLOAT:
            yield index, name
