"""Bias correction: int8 shifts the mean of a layer's results, and a constant takes the shift out again.

A shift is the same in every pixel, but its effect on the cosine of two features is not: of all of int8's errors it is
the cheapest to undo (Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from fgvc_deploy.encoders.base import Float32Array
from fgvc_export.precision.graph import attribute, weights
from fgvc_export.precision.qdq import scale_for


class InputMeans(NamedTuple):
    """Mean of each channel [C] of a convolution's input over some frames: as it is, and as int8 holds it."""

    exact: NDArray[np.float64]
    quantised: NDArray[np.float64]


def input_means(seen: Sequence[Float32Array], largest: float) -> InputMeans:
    """Means of a tensor's values [1, C, h, w] on some frames, when `largest` becomes 127."""
    values = np.concatenate([array[0].reshape(array.shape[1], -1) for array in seen], axis=1)
    scale = float(scale_for(np.array(largest, np.float32)))
    held = np.rint(values / scale).clip(-128, 127) * scale
    return InputMeans(values.mean(axis=1, dtype=np.float64), held.mean(axis=1, dtype=np.float64))


def with_corrected_bias(exact: ModelProto, quantised: ModelProto, means: Mapping[str, InputMeans]) -> ModelProto:
    """A copy of `quantised` (`qdq.with_qdq`) whose convolutions give the mean that those of `exact` give.

    `means`: name of a quantised convolution -> means of its input.  Borders, where padding adds zeros, are taken like
    the rest.
    """
    copy = ModelProto()
    copy.CopyFrom(quantised)
    arrays, stored = weights(exact), weights(quantised)
    new = {node.name: node for node in copy.graph.node}
    for node in exact.graph.node:
        if node.name not in means:
            continue
        name, groups = node.input[1], attribute(node, "group", 1)
        scales = stored[f"{name}_scale"].astype(np.float64).reshape(-1, 1, 1, 1)
        held = stored[f"{name}_int8"].astype(np.float64) * scales
        bias = _mean_result(arrays[name].astype(np.float64), means[node.name].exact, groups)
        bias -= _mean_result(held, means[node.name].quantised, groups)
        if len(node.input) > 2:
            bias += arrays[node.input[2]].astype(np.float64)
        target = f"{node.output[0]}_corrected_bias"
        copy.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), target))
        del new[node.name].input[2:]
        new[node.name].input.append(target)
    return copy


def _mean_result(weight: NDArray[np.float64], mean: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """Mean of the results [out] of a weight [out, in / groups, h, w] on inputs [in] of this mean."""
    each = weight.sum(axis=(2, 3))
    inputs = mean.reshape(groups, 1, -1).repeat(len(each) // groups, axis=1).reshape(each.shape)
    result: NDArray[np.float64] = (each * inputs).sum(axis=1)
    return result
