"""How much each layer loses in a lower precision, and the fewest layers that must be kept out of it.

Works on losses alone: what "lower" means is for the caller (`recipe.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import ModelProto

from fgvc_deploy.encoders.base import Float32Array
from fgvc_deploy.onnx_session import open_session
from fgvc_export.precision.layers import Layer

Loss = Callable[[frozenset[Layer]], float]
"""The loss when exactly these layers are lowered."""

# A pass runs the encoder once for each layer and frame; the middle of a frame shows the same values as the whole.
CROP = 192


class Judge:
    """Measures what an encoder loses: 1 - cosine of the feature vectors, mean over the pixels of some frames."""

    def __init__(self, reference: ModelProto, frames: Sequence[Float32Array]) -> None:
        self._frames = [cropped(frame) for frame in frames]
        self._expected = self._run(reference)

    def loss(self, model: ModelProto) -> float:
        """Mean of 1 - cosine; infinite when a feature is not finite."""
        losses = [_loss(a, b) for a, b in zip(self._run(model), self._expected, strict=True)]
        return float(np.mean(losses)) if np.isfinite(losses).all() else float("inf")

    def _run(self, model: ModelProto) -> list[Float32Array]:
        session = open_session(model.SerializeToString(), "the encoder in mixed precision", None)
        feed = session.get_inputs()[0].name
        return [session.run(None, {feed: frame})[0] for frame in self._frames]


def cropped(frame: Float32Array) -> Float32Array:
    """The middle of a frame [1, 3, H, W], at most `CROP` pixels a side."""
    top, left = (max(0, (side - CROP) // 2) for side in frame.shape[2:])
    return np.ascontiguousarray(frame[:, :, top : top + CROP, left : left + CROP])


def _loss(features: Float32Array, expected: Float32Array) -> float:
    a, b = features.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return float(np.mean(1 - (a * b).sum(axis=1) / np.maximum(lengths, 1e-30)))


def alone(candidates: Sequence[Layer], loss: Loss) -> dict[Layer, float]:
    """The loss of each layer when it is the only one lowered, the greatest first."""
    found = {layer: loss(frozenset({layer})) for layer in candidates}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def kept(by_loss: dict[Layer, float], loss: Loss, target: float) -> frozenset[Layer]:
    """The fewest of the most sensitive layers that must stay, so that lowering the others loses at most `target`.

    Found by bisection over their number, so about log2(layers) losses are measured.  All of them when even one alone
    loses more.
    """
    order = list(by_loss)
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if loss(frozenset(order[middle:])) <= target:
            high = middle
        else:
            low = middle + 1
    return frozenset(order[:low])
