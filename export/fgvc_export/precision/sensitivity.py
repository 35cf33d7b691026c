"""How much each layer loses in a lower precision, and the fewest layers that must be kept out of it.

Works on losses alone: what "lower" means is for the caller (`recipe.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from fgvc_deploy.encoders.base import Float32Array
from fgvc_deploy.onnx_session import open_session
from fgvc_export.precision.layers import Layer

Loss = Callable[[frozenset[Layer]], float]
"""The loss when exactly these layers are lowered."""

# A pass runs the encoder once for each layer and frame; the middle of a frame shows the same values as the whole.
CROP = 192
# Keys of each pixel whose scores are compared: enough that the k best and those that may replace them are among them.
COMPARED = 32
# Pixels that are matched, evenly spread: 10,000 keys tell a share of .001 to within .0003.
QUERIES = 1024


class Judge:
    """Measures what an encoder loses where it matters: in matching the last of some frames to the first.

    Cosines of features with themselves tell little: features may have a large part in common, and an error that all
    keys share moves no track.
    """

    def __init__(self, reference: ModelProto, frames: Sequence[Float32Array], topk: int) -> None:
        self._frames = [cropped(frame) for frame in (frames[0], frames[-1])]
        self._topk = topk
        self._features = self._run(reference)
        scores = _scores(self._features)
        self._compared = _best(scores, min(COMPARED, scores.shape[1]))
        self._expected = np.take_along_axis(scores, self._compared, axis=1)
        self._chosen = _best(scores, topk)

    def error(self, model: ModelProto) -> float:
        """Root of the mean square error of the cosines with the best keys, without what all keys of a pixel share.

        Smooth, so it orders layers; infinite when a feature is not finite.
        """
        scores = _scores(self._run(model))
        if not np.isfinite(scores).all():
            return float("inf")
        error = np.take_along_axis(scores, self._compared, axis=1) - self._expected
        return float(np.sqrt(np.mean((error - error.mean(axis=1, keepdims=True)) ** 2)))

    def changed(self, model: ModelProto) -> float:
        """Share of the reference's k best keys that are no longer among the k best: what moves tracks."""
        scores = _scores(self._run(model))

        if not np.isfinite(scores).all():
            return 1.0
        mine = _best(scores, self._topk)
        return 1 - float((mine[:, :, None] == self._chosen[:, None, :]).any(axis=1).mean())

    def _run(self, model: ModelProto) -> list[Float32Array]:
        session = open_session(model.SerializeToString(), "the encoder in mixed precision", None)
        feed = session.get_inputs()[0].name
        return [session.run(None, {feed: frame})[0] for frame in self._frames]


def cropped(frame: Float32Array) -> Float32Array:
    """The middle of a frame [1, 3, H, W], at most `CROP` pixels a side."""
    top, left = (max(0, (side - CROP) // 2) for side in frame.shape[2:])
    return np.ascontiguousarray(frame[:, :, top : top + CROP, left : left + CROP])


def _scores(features: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Cosines [Q, K] of some pixels of the last feature map [1, C, h, w] and all of the first."""
    keys, queries = (_unit(part) for part in (features[0], features[-1]))
    return queries[:: -(-len(queries) // QUERIES)] @ keys.T


def _unit(features: NDArray[np.floating]) -> NDArray[np.float64]:
    vectors = features[0].astype(np.float64).reshape(features.shape[1], -1).T
    with np.errstate(invalid="ignore"):
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30))


def _best(scores: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    return np.argpartition(-scores, min(count, scores.shape[1]) - 1, axis=1)[:, :count]


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
