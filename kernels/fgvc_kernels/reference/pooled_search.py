"""Plain reference of the run-time coarse-to-fine mode: which fine keys each query pixel may take.

It differs from the repository's never-called coarse-to-fine (`coarse_to_fine.py`, goldens item 15): the coarse map
is pooled from the fine features, the output is on the fine grid, every fine query pixel keeps its offset inside its
cell, the window is clipped instead of zero-padded, and no softmax precedes the arg-max.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .affinity import FloatArray, cosine_affinity, unit_rows
from .windows import BoolArray, window_mask

IntArray = NDArray[np.signedinteger[Any]]


def pooled_candidates(
    query: FloatArray, keys: FloatArray, scale: int, coarse_radius: float, fine_radius: int
) -> BoolArray:
    """Allowed keys bool [H*W, T*H*W] of a query frame [H, W, C] on key frames [T, H, W, C], all L2-normalised."""
    best = coarse_scores(query, keys, scale, coarse_radius).argmax(axis=-1)
    return fine_candidates(query.shape[:2], scale, fine_radius, best)


def pool_cells(unit: FloatArray, scale: int) -> FloatArray:
    """Mean of the unit features of each scale x scale cell, L2-normalised: [ceil(H/scale), ceil(W/scale), C].

    A cell cut by the border averages the pixels it has.
    """
    height, width, _ = unit.shape
    rows = [
        [unit[y : y + scale, x : x + scale].mean(axis=(0, 1)) for x in range(0, width, scale)]
        for y in range(0, height, scale)
    ]
    return unit_rows(np.array(rows, dtype=unit.dtype))


def coarse_scores(query: FloatArray, keys: FloatArray, scale: int, coarse_radius: float) -> FloatArray:
    """Coarse cosines [cells, T, cells]; cells at a distance >= coarse_radius (in cells) are -inf."""
    cells = pool_cells(query, scale)
    allowed = window_mask((cells.shape[0], cells.shape[1]), "circle", coarse_radius)
    rows = cells.reshape(-1, cells.shape[-1])
    per_frame = [cosine_affinity(rows, pool_cells(frame, scale).reshape(rows.shape)) for frame in keys]
    return np.stack([np.where(allowed, scores, -np.inf) for scores in per_frame], axis=1)


def fine_candidates(hw: tuple[int, ...], scale: int, fine_radius: int, best: IntArray) -> BoolArray:
    """Allowed keys bool [H*W, T*H*W] once every coarse cell chose a cell per key frame (`best` [cells, T]).

    The window is centred at the query's own position + scale * displacement, moved into the image when a cut cell
    makes it leave, so that it is never empty; then it is clipped.
    """
    height, width = hw
    grid_width = -(-width // scale)
    y, x = np.divmod(np.arange(height * width), width)
    own = (y // scale) * grid_width + x // scale
    frames = []
    for chosen in best.T:
        center_y = np.minimum(y + scale * (chosen[own] // grid_width - y // scale), height - 1)
        center_x = np.minimum(x + scale * (chosen[own] % grid_width - x // scale), width - 1)
        near_y = np.abs(y[None, :] - center_y[:, None]) <= fine_radius
        frames.append(near_y & (np.abs(x[None, :] - center_x[:, None]) <= fine_radius))
    return np.concatenate(frames, axis=1)
