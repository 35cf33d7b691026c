"""int8 for one encoder: the best range for each input of a convolution, and the graph with some of them in int8.

Which convolutions are chosen is `recipe.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto

from fgvc_deploy.encoders.base import Float32Array
from fgvc_export.precision.balanced import balanced
from fgvc_export.precision.bias import InputMeans, input_means, with_corrected_bias
from fgvc_export.precision.calibration import METHODS, magnitudes
from fgvc_export.precision.graph import weights
from fgvc_export.precision.layers import Layer
from fgvc_export.precision.observe import values
from fgvc_export.precision.qdq import with_qdq


class Range(NamedTuple):
    """Which magnitude of a tensor becomes 127, by which method, and the tensor's means then."""

    method: str
    largest: float
    means: InputMeans


def quantised(model: ModelProto, ranges: Mapping[Layer, Range]) -> ModelProto:
    """A copy of an fp32 model with the convolutions of these layers in int8, clips balanced and biases corrected."""
    exact = balanced(model, frozenset(layer.conv for layer in ranges))
    lowered = with_qdq(exact, {layer.conv: chosen.largest for layer, chosen in ranges.items()})
    return with_corrected_bias(exact, lowered, {layer.conv: chosen.means for layer, chosen in ranges.items()})


def best_ranges(
    model: ModelProto,
    layers: Sequence[Layer],
    frames: Sequence[Float32Array],
    error: Callable[[ModelProto], float],
) -> tuple[dict[Layer, Range], dict[Layer, float]]:
    """For each layer the range of its input, and `error` of the model with that layer alone in int8.

    Layers that read the same tensor share its range: the one with the least sum of squared errors, so that the tensor
    is quantised once.
    """
    exact = balanced(model, frozenset(layer.conv for layer in layers))
    inputs = {node.name: node.input[0] for node in exact.graph.node}
    ranges: dict[Layer, Range] = {}
    errors: dict[Layer, float] = {}
    for name, seen in values(exact, sorted({inputs[layer.conv] for layer in layers}), frames):
        readers = [layer for layer in layers if inputs[layer.conv] == name]
        tried = [
            (chosen, {layer: error(quantised(model, {layer: chosen})) for layer in readers})
            for chosen in _candidates(seen)
        ]
        best, alone = min(tried, key=lambda one: float(np.sum(np.square(list(one[1].values())))))
        ranges |= dict.fromkeys(readers, best)
        errors |= alone
    return ranges, errors


def _candidates(seen: Sequence[Float32Array]) -> Iterator[Range]:
    """The ranges of the methods, each once: where nothing is rare they agree."""
    histogram = magnitudes(seen)
    known: set[float] = set()
    for method, choose in METHODS.items():
        largest = choose(*histogram)
        if largest not in known:
            known.add(largest)
            yield Range(method, largest, input_means(seen, largest))


def multiplications(model: ModelProto, layers: Iterable[Layer], frame: Float32Array) -> dict[Layer, int]:
    """Multiply-adds of each layer's convolution on a frame."""
    arrays, nodes = weights(model), {node.name: node for node in model.graph.node}
    convolutions = {nodes[layer.conv].output[0]: layer for layer in layers}
    return {
        convolutions[name]: result.size * arrays[nodes[convolutions[name].conv].input[1]][0].size
        for name, (result,) in values(model, list(convolutions), [frame])
    }
