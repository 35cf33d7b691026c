"""Similarity of query pixels and key pixels.  No windows, no selection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
EPS = 1e-12


def unit_rows(features: FloatArray) -> FloatArray:
    """L2-normalise the last axis: x / max(|x|, 1e-12), so an all-zero row stays zero (goldens item 10)."""
    norm = np.sqrt((features * features).sum(axis=-1, keepdims=True))
    return np.asarray(features / np.maximum(norm, EPS))


def cosine_affinity(query: FloatArray, keys: FloatArray) -> FloatArray:
    """Dot products [Q, K] of query rows [Q, C] and key rows [K, C]; cosines when both are normalised."""
    return np.asarray(query @ keys.T)


def l2_affinity(query: FloatArray, keys: FloatArray) -> FloatArray:
    """Similarity by distance [Q, K]: (2 a.b - |a|^2) / sqrt(C) with a = key (goldens item 14).

    |query|^2 is left out because it does not change the order of a query's keys.
    """
    squared = (keys * keys).sum(axis=-1)
    scale = np.sqrt(np.asarray(query.shape[-1], dtype=query.dtype))
    return np.asarray((2 * (query @ keys.T) - squared[None, :]) / scale)
