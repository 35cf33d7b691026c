"""Bilinear resampling of float label maps: where each output sample reads, and the separable resize itself.

Two placements: `half_pixel_taps` is torch's align_corners=False, which the reference uses; `exact_taps` honours that
feature i sits on network pixel stride * i, so that nothing moves by half a pixel (goldens items 5, 23, 24).
uint8 frames are resized in `fgvc_deploy.preprocess.resize`, not here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.settings import Compat

Float32Array = NDArray[np.float32]


class Taps(NamedTuple):
    """The two input samples of every output sample along one axis: value = low * (1 - weight) + high * weight.

    `low` is non-decreasing, so the outputs that share a `low` are contiguous.
    """

    low: NDArray[np.intp]  # [n_out]
    high: NDArray[np.intp]  # [n_out]
    weight: Float32Array  # [n_out], of `high`


class MapTaps(NamedTuple):
    """Taps of both axes of a label map."""

    rows: Taps
    cols: Taps


def half_pixel_taps(n_in: int, n_out: int) -> Taps:
    """Taps of torch's bilinear align_corners=False, n_in -> n_out samples.

    Torch takes the scale in float32 and positions from a fused multiply-add, that is rounded to float32 once.  Other
    roundings would move the result by up to 9e-6.
    """
    scale = np.float64(np.float32(n_in) / np.float32(n_out))
    position = (scale * (np.arange(n_out) + 0.5) - 0.5).astype(np.float32)
    return _taps(np.maximum(position, np.float32(0)), n_in)


def exact_taps(n_in: int, n_out: int, stride: int, n_network: int) -> Taps:
    """Taps that read output sample o at feature coordinate u / stride, u being its position in network pixels.

    `n_out` samples cover the same extent as `n_network` pixels, pixel centre on pixel centre.  Positions beyond the
    first and last feature take that feature.
    """
    network_pixel = (np.arange(n_out) + 0.5) * (n_network / n_out) - 0.5
    return _taps((network_pixel / stride).clip(0, n_in - 1), n_in)


def _taps(position: NDArray[np.floating], n_in: int) -> Taps:
    low = position.astype(np.intp)
    high = np.minimum(low + 1, n_in - 1)
    return Taps(low, high, (position - low).astype(np.float32))


@lru_cache(maxsize=16)
def map_taps(
    feature_hw: tuple[int, int], out_hw: tuple[int, int], stride: int, network_hw: tuple[int, int], compat: Compat
) -> MapTaps:
    """Taps that bring label maps of `feature_hw` to `out_hw`, as `compat` places them."""
    if compat == "reference":
        rows, cols = (half_pixel_taps(n, m) for n, m in zip(feature_hw, out_hw, strict=True))
    else:
        sizes = zip(feature_hw, out_hw, network_hw, strict=True)
        rows, cols = (exact_taps(n, m, stride, u) for n, m, u in sizes)
    return MapTaps(rows, cols)


def resize_maps(maps: Float32Array, taps: MapTaps) -> Float32Array:
    """Resize float32 [..., h, w] to float32 [..., H, W]; horizontal first, as torch's kernel pairs the products."""
    return _mix(_mix(maps, taps.cols, axis=-1), taps.rows, axis=-2)


def _mix(maps: Float32Array, taps: Taps, axis: int) -> Float32Array:
    weight = taps.weight if axis == -1 else taps.weight[:, None]
    mixed = maps.take(taps.low, axis=axis)
    mixed *= np.float32(1) - weight
    high = maps.take(taps.high, axis=axis)
    high *= weight
    mixed += high
    return mixed
