"""Keypoint label maps as the reference draws them for JHMDB; corrected mode uses `gaussian.py` with its own sigma."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.labels.gaussian import Float32Array, gaussian_maps
from fgvc_deploy.readout.resample import MapTaps, half_pixel_taps, resize_maps

REACH = 3
"""The reference draws each keypoint into a square patch that ends this many sigma from its centre."""


def keypoint_maps(xy: NDArray[Any], hw: tuple[int, int], sigma: float = 4.0) -> Float32Array:
    """Gaussians around the truncated (x, y) [P, 2] -> float32 [P, h, w] (goldens item 31).

    Values further than 3 sigma from the centre in x or y are zero.
    """
    centre = np.trunc(np.asarray(xy, dtype=np.float64))
    maps = gaussian_maps(centre, hw, sigma)
    inside_y = np.abs(np.arange(hw[0]) - centre[:, 1:]) <= REACH * sigma
    inside_x = np.abs(np.arange(hw[1]) - centre[:, :1]) <= REACH * sigma
    maps *= inside_y[:, :, None] & inside_x[:, None, :]
    return maps


def keypoint_labels(
    xy: NDArray[Any], hw: tuple[int, int], feature_hw: tuple[int, int], sigma: float = 4.0
) -> Float32Array:
    """Pixel-major labels float32 [h' * w', P]: the maps brought to the feature size bilinearly, not sampled."""
    taps = MapTaps(half_pixel_taps(hw[0], feature_hw[0]), half_pixel_taps(hw[1], feature_hw[1]))
    small = resize_maps(keypoint_maps(xy, hw, sigma), taps)
    return np.ascontiguousarray(small.reshape(len(small), -1).T)
