"""ReLU6 as a clip from -3 to 3 in front of 1x1 convolutions: int8 without an offset then uses both signs.

TensorRT's int8 has no zero point, so of a value from 0 to 6 half the codes are lost.  Moving the offset into the
biases of the convolution before and the one behind gives them back, with the same nodes.  Not where a convolution
pads: its zeros would have to move too.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from fgvc_export.precision.graph import used_only, weights


def balanced(model: ModelProto, convolutions: frozenset[str]) -> ModelProto:
    """A copy that computes the same, where the clipped inputs of these convolutions lie evenly around zero.

    Those are inputs that a Clip makes from a convolution's result, both read by one node only, in front of a 1x1
    convolution with a bias.  Other convolutions stay as they are.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    arrays = weights(model)
    made_by = {name: node for node in copy.graph.node for name in node.output}
    readers = Counter(name for node in copy.graph.node for name in node.input)
    for node in copy.graph.node:
        if node.name in convolutions and _is_pointwise(node, arrays):
            clip = made_by.get(node.input[0])
            before = made_by.get(clip.input[0]) if clip is not None and clip.op_type == "Clip" else None
            if clip is None or before is None or not _movable(clip, before, readers, arrays):
                continue
            low, high = (float(arrays[name]) for name in clip.input[1:])
            _move(copy, before, clip, node, (low + high) / 2)
    used_only(copy)
    return copy


def _is_pointwise(node: NodeProto, arrays: dict[str, NDArray[np.generic]]) -> bool:
    return node.op_type == "Conv" and len(node.input) == 3 and arrays[node.input[1]].shape[2:] == (1, 1)


def _movable(
    clip: NodeProto, before: NodeProto, readers: Counter[str], arrays: dict[str, NDArray[np.generic]]
) -> bool:
    bounded = len(clip.input) == 3 and all(name in arrays for name in clip.input[1:])
    alone = readers[clip.output[0]] == readers[before.output[0]] == 1
    return bounded and alone and before.op_type == "Conv" and len(before.input) == 3


def _move(model: ModelProto, before: NodeProto, clip: NodeProto, behind: NodeProto, offset: float) -> None:
    """Take `offset` from the bias before and from the clip's bounds, and give it back in the bias behind."""
    arrays = weights(model)
    weight = arrays[behind.input[1]].astype(np.float64)
    _replace(model, before, 2, arrays[before.input[2]].astype(np.float64) - offset)
    _replace(model, behind, 2, arrays[behind.input[2]] + offset * weight.sum(axis=(1, 2, 3)))
    for index in (1, 2):
        _replace(model, clip, index, arrays[clip.input[index]].astype(np.float64) - offset)


def _replace(model: ModelProto, node: NodeProto, index: int, value: NDArray[np.float64]) -> None:
    """Give the node a constant of its own; others may read the one it had."""
    name = f"{node.output[0]}_input{index}"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    node.input[index] = name
