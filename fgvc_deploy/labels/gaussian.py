"""Gaussian label maps of query points; not masks (`masks.py`), nor the reference's keypoint maps (`keypoints.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


def _profile(centre: NDArray[Any], n: int, sigma: float, stride: int) -> Float32Array:
    """exp(-(stride * i - centre)^2 / (2 sigma^2)) as float32 [P, ceil(n / stride)]."""
    distance = np.arange(0, n, stride) - np.asarray(centre, dtype=np.float64)[:, None]
    profile: Float32Array = np.exp(-(distance * distance) / (2.0 * sigma * sigma)).astype(np.float32)
    return profile


def gaussian_maps(xy: NDArray[Any], hw: tuple[int, int], sigma: float, stride: int = 1) -> Float32Array:
    """exp(-d^2 / (2 sigma^2)) around P points (x, y) [P, 2] -> float32 [P, ceil(h / stride), ceil(w / stride)].

    Everything is in pixels of an image of `hw`; entry (i, j) is the value at pixel (stride * i, stride * j), without
    smoothing, which is where feature (i, j) sits (goldens items 5 and 22).  The Gaussian is a product of two, rounded
    to float32 once per factor and once per product.
    """
    xy = np.asarray(xy)
    return _profile(xy[:, 1], hw[0], sigma, stride)[:, :, None] * _profile(xy[:, 0], hw[1], sigma, stride)[:, None, :]


def gaussian_labels(xy: NDArray[Any], hw: tuple[int, int], sigma: float, stride: int) -> Float32Array:
    """The same values pixel-major for the trackers: float32 [h' * w', P], C-contiguous, rows in raster order."""
    xy = np.asarray(xy)
    rows = np.ascontiguousarray(_profile(xy[:, 1], hw[0], sigma, stride).T)
    cols = np.ascontiguousarray(_profile(xy[:, 0], hw[1], sigma, stride).T)
    return (rows[:, None, :] * cols[None, :, :]).reshape(-1, len(xy))
