"""The mask tracker's window: square, zero-padded, out-of-image keys compete with affinity 0 and label 0."""

from __future__ import annotations

import numpy as np

from .affinity import FloatArray, unit_rows
from .attention import AttentionOptions, selection_weights


def attend_padded(
    query: FloatArray, keys: FloatArray, labels: FloatArray, radius: int, options: AttentionOptions
) -> FloatArray:
    """Label maps [H, W, P] from (2 * radius + 1)^2 windows of T zero-padded key frames (goldens item 32).

    Shapes as `attention.attend`.  A key outside the image is not excluded: it has affinity 0 and label 0, so it can
    displace keys of negative affinity and always takes part when fewer than k keys are left.  The temperature divides
    after the top-k, which selects the same keys.  `similarity`, `weighting` and `non_mask_len` keep their defaults.
    """
    if options.normalize:
        query, keys = unit_rows(query), unit_rows(keys)
    window_keys = np.concatenate([unfold_zero(frame, radius) for frame in keys], axis=2)
    window_labels = np.concatenate([unfold_zero(frame, radius) for frame in labels], axis=2)
    affinity = (window_keys @ query[..., None])[..., 0]
    height, width, count = affinity.shape
    weights = selection_weights(affinity.reshape(-1, count) / options.temperature, options.topk)
    return np.asarray((weights.reshape(height, width, 1, count) @ window_labels)[:, :, 0])


def unfold_zero(frame: FloatArray, radius: int) -> FloatArray:
    """Windows [H, W, (2 * radius + 1)^2, C] of a frame [H, W, C], zeros outside, dy-major order."""
    height, width, _ = frame.shape
    padded = np.pad(frame, ((radius, radius), (radius, radius), (0, 0)))
    span = range(2 * radius + 1)
    return np.stack([padded[dy : dy + height, dx : dx + width] for dy in span for dx in span], axis=2)
