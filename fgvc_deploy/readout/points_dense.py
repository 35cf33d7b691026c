"""Plain reference of the point read-out: upsample every map whole, sort every pixel.  `points.py` is the fast one."""

from __future__ import annotations

import numpy as np

from fgvc_deploy.readout.centroid import TOP, BestPixels, PointReadout, centroid
from fgvc_deploy.readout.resample import Float32Array, map_taps, resize_maps
from fgvc_deploy.settings import Compat


def read_full_maps(maps: Float32Array, compat: Compat = "corrected") -> PointReadout:
    """Coordinates of P full-resolution maps float32 [P, H, W]: weighted mean of the 5 best pixels (goldens item 23).

    Of equal values the lower raster index is taken first; the reference's order among ties is an accident of NumPy's
    unstable sort and moves a coordinate by up to 0.6 px (goldens item 25).
    """
    return centroid(best_pixels(maps), maps.shape[-1], compat)


def best_pixels(maps: Float32Array) -> BestPixels:
    """The 5 best pixels of each map [P, H, W], best first, lower raster index first among ties."""
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :TOP]
    return BestPixels(np.take_along_axis(flat, order, axis=1), order)


def read_points_dense(
    labels: Float32Array,
    feature_hw: tuple[int, int],
    network_hw: tuple[int, int],
    stride: int,
    compat: Compat = "corrected",
) -> PointReadout:
    """Coordinates, in network pixels, of P label maps given pixel-major: float32 [h * w, P]."""
    maps = np.ascontiguousarray(labels.T).reshape(-1, *feature_hw)
    return read_full_maps(resize_maps(maps, map_taps(feature_hw, network_hw, stride, network_hw, compat)), compat)
