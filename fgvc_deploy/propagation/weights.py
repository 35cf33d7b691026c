"""From matches to label maps: softmax over the k entries, then a weighted sum of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import Float32Array, Int32Array, Matches

# Label values gathered at a time (2 MB): the scratch does not grow with the map or the number of labels.
GATHERED = 1 << 19


def carry(
    matches: Matches, labels: Sequence[Float32Array], temperature: float, out: Float32Array | None = None
) -> Float32Array:
    """Soft labels [H*W, P] of a query from its matches, one array [H*W, P] of labels for each key slot.

    They are written into `out`, which must be none of `labels`, or into a new array.  Raises InputError when the
    arrays do not fit the matches.
    """
    return propagate(matches, softmax_weights(matches.scores, temperature), labels, out)


def softmax_weights(scores: Float32Array, temperature: float) -> Float32Array:
    """Weights [H*W, k]: softmax of scores / temperature over the k entries (goldens items 10 and 11).

    -inf weighs exactly 0; a row without any valid key weighs 0 throughout.
    """
    highest = scores.max(axis=1, keepdims=True)
    highest[np.isneginf(highest)] = 0
    weights: Float32Array = np.exp((scores - highest) / np.float32(temperature))
    total = weights.sum(axis=1, keepdims=True)
    total[total == 0] = 1
    weights /= total
    return weights


def propagate(
    matches: Matches, weights: Float32Array, labels: Sequence[Float32Array], out: Float32Array | None = None
) -> Float32Array:
    """Label maps [H*W, P] as weighted sums of the matched labels; arguments and errors as `carry`."""
    size, topk = weights.shape
    points = labels[0].shape[1] if labels else 0
    if any(array.shape != (size, points) for array in labels):
        raise InputError(f"label maps have shapes {[array.shape for array in labels]}: each must be ({size}, P)")
    if matches.positions.max(initial=0) >= size * len(labels):
        raise InputError(f"matches name more key frames than the {len(labels)} whose labels were given")
    carried = np.empty((size, points), dtype=np.float32) if out is None else out
    if carried.shape != (size, points) or carried.dtype != np.float32:
        raise InputError(f"labels go into float32 ({size}, {points}), not {carried.dtype} {carried.shape}")
    rows = max(1, GATHERED // max(1, topk * points))
    for start in range(0, size, rows):
        part = slice(start, start + rows)
        positions = matches.positions[part]
        gathered = _gather(positions.ravel(), labels).reshape(*positions.shape, points)
        np.matmul(weights[part, None, :], gathered, out=carried[part, None, :])
    return carried


def _gather(positions: Int32Array, labels: Sequence[Float32Array]) -> Float32Array:
    """Labels [len(positions), P] of keys in several frames, without joining the frames."""
    size, points = labels[0].shape
    slots, pixels = np.divmod(positions, size)
    gathered = np.empty((len(positions), points), dtype=np.float32)
    for slot, array in enumerate(labels):
        chosen = np.flatnonzero(slots == slot)
        gathered[chosen] = array[pixels[chosen]]
    return gathered
