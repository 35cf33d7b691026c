"""Top-k lists as the emulated kernels make them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_of(
    scores: NDArray[np.float32], places: NDArray[np.int64], k: int, temperature: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Positions and weights (scores without a temperature) [n, k] of scores [n, m] at places [m] or [n, m]."""
    scores = np.pad(np.where(np.isnan(scores), -np.inf, scores), ((0, 0), (0, k)), constant_values=-np.inf)
    places = np.broadcast_to(np.pad(places, [(0, 0)] * (places.ndim - 1) + [(0, k)]), scores.shape)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    found = np.where(np.isneginf(best), 0, np.take_along_axis(places, order, axis=1)).astype(np.int32)
    return found, _values(best, temperature)


def _values(best: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    if not temperature:
        return best
    highest = np.where(np.isneginf(best[:, :1]), np.float32(0), best[:, :1])
    weights: NDArray[np.float32] = np.exp((best - highest) / np.float32(temperature), dtype=np.float32)
    total = weights.sum(axis=1, keepdims=True)
    total[total == 0] = 1
    weights /= total
    return weights
