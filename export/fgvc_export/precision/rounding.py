"""What a file with fp16 in it computes on a GPU, emulated on the CPU: every fp16 result is rounded to half."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

from fgvc_export.precision.graph import attribute, replace_nodes, spelt_out_norm

HALF, FULL = TensorProto.FLOAT16, TensorProto.FLOAT


def rounded(model: ModelProto) -> ModelProto:
    """An fp32 model that gives what `model` gives when each result of an fp16 node is rounded to half.

    ONNX Runtime has few fp16 kernels for CPUs: it computes such a file in fp32 and drops the roundings in between, so
    an overflow would go unseen.  Here sums run in fp32 and every result is rounded, as on tensor cores that write
    each layer to memory; squares, sum and root of a norm are rounded one by one.
    """
    emulated = ModelProto()
    emulated.CopyFrom(model)
    replace_nodes(emulated, list(_norms_spelt_out(model)))
    halves = half_tensors(emulated)
    _widen_weights(emulated)
    replace_nodes(emulated, [part for node in emulated.graph.node for part in _rounding(node, halves)])
    return emulated


def _norms_spelt_out(model: ModelProto) -> Iterable[NodeProto]:
    halves = half_tensors(model)
    for node in model.graph.node:
        yield from spelt_out_norm(node) if node.op_type == "ReduceL2" and node.output[0] in halves else [node]


def half_tensors(model: ModelProto) -> frozenset[str]:
    """Names of the fp16 values between nodes."""
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    return frozenset(v.name for v in graph.value_info if v.type.tensor_type.elem_type == HALF)


def _widen_weights(model: ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_type == HALF:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def _rounding(node: NodeProto, halves: frozenset[str]) -> Iterable[NodeProto]:
    """The node, and behind it the rounding of each of its fp16 results."""
    made = [name for name in node.output if name in halves]
    copy = NodeProto()
    copy.CopyFrom(node)
    if node.op_type == "Cast" and {*node.input, *node.output} & halves:
        # Both sides are fp32 now; where this cast was to fp16, the rounding behind it does its work.
        assert attribute(node, "to", FULL) in (HALF, FULL)
        copy = helper.make_node("Identity", node.input, node.output, node.name)
    for index, name in enumerate(node.output):
        if name in halves:
            copy.output[index] = f"{name}_exact"
    yield copy
    for name in made:
        yield helper.make_node("Cast", [f"{name}_exact"], [f"{name}_half"], f"{name}_to_half", to=HALF)
        yield helper.make_node("Cast", [f"{name}_half"], [name], f"{name}_to_full", to=FULL)
