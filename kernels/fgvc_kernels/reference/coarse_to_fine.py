"""The repository's coarse-to-fine attention, which it never calls, exactly as it computes (goldens item 15).

The run-time coarse-to-fine mode is another algorithm: see `pooled_search.py`.
"""

from __future__ import annotations

import numpy as np

from .affinity import FloatArray, unit_rows
from .attention import AttentionOptions, masked_affinity, selection_weights, softmax_rows
from .windows import BoolArray


def attend_coarse_to_fine(
    coarse: tuple[FloatArray, FloatArray],
    fine: tuple[FloatArray, FloatArray],
    labels: FloatArray,
    radius_fine: int,
    mask: BoolArray | None,
    options: AttentionOptions,
) -> FloatArray:
    """Label maps [h, w, P] on the COARSE grid, from labels [T, H, W, P] on the fine grid.

    `coarse` is (query [h, w, C], keys [T, h, w, C]), `fine` is (query [H, W, D], keys [T, H, W, D]), H = scale * h.
    Each coarse query pixel takes one coarse match per key frame, then looks at the (2 * radius_fine + 1)^2 fine
    window around scale * match; zero-padded positions compete with affinity 0 and label 0.
    """
    query, keys = coarse
    height, width = query.shape[:2]
    scale = fine[0].shape[0] // height
    matches = coarse_matches(query, keys, mask, options)
    query_fine, keys_fine = unit_rows(fine[0]), unit_rows(fine[1])
    offsets = np.arange(2 * radius_fine + 1)
    pad = ((0, 0), (radius_fine, radius_fine), (radius_fine, radius_fine), (0, 0))
    padded_keys, padded_labels = np.pad(keys_fine, pad), np.pad(labels, pad)
    out = np.empty((height * width, labels.shape[-1]), dtype=labels.dtype)
    frames = np.arange(len(keys))[:, None, None]
    for position, per_frame in enumerate(matches):
        y, x = divmod(position, width)
        # In the padded frame the window that is centred on pixel p starts at index p.
        rows = (scale * (per_frame // width))[:, None, None] + offsets[None, :, None]
        columns = (scale * (per_frame % width))[:, None, None] + offsets[None, None, :]
        window = padded_keys[frames, rows, columns].reshape(-1, keys_fine.shape[-1])
        affinity = window @ query_fine[scale * y, scale * x] / options.temperature
        weights = selection_weights(affinity[None, :], options.topk, options.weighting)
        out[position] = weights[0] @ padded_labels[frames, rows, columns].reshape(-1, labels.shape[-1])
    return out.reshape(height, width, -1)


def coarse_matches(
    query: FloatArray, keys: FloatArray, mask: BoolArray | None, options: AttentionOptions
) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Best coarse key of every query pixel on each key frame: positions [h*w, T].

    The arg-max is taken after a softmax over positions, whose rounding can create ties; the first position wins.
    """
    affinity = masked_affinity(query, keys, mask, options)
    per_frame = affinity.reshape(affinity.shape[0], len(keys), -1)
    return np.asarray(softmax_rows(per_frame).argmax(axis=-1))
