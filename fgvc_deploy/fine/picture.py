"""What the fine stage sees of a frame: smoothed grey planes at network size and at half of it.  No templates here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import FeatureMap, Float32Array

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Picture(NamedTuple):
    """Grey planes float32 [h, w] (0..255) and [h // 2, w // 2]; pixel X of the half one lies at 2 X + 0.5."""

    full: Float32Array
    half: Float32Array


def picture_of(rgb: NDArray[np.uint8]) -> Picture:
    """The picture of a uint8 RGB frame [h, w, 3] that has network size already."""
    # Not a matrix product: from about 320 x 512 BLAS shares it among threads, which then spin beside the encoder's.
    full = _smooth(np.einsum("hwc,c->hw", rgb, _LUMA, dtype=np.float32))
    height, width = (side // 2 * 2 for side in full.shape)
    even = full[:height, :width]
    half = (even[0::2, 0::2] + even[1::2, 0::2] + even[0::2, 1::2] + even[1::2, 1::2]) * np.float32(0.25)
    return Picture(full, half)


def to_half(xy: Float32Array) -> Float32Array:
    """Positions on the half plane of positions on the full one."""
    mapped: Float32Array = xy * np.float32(0.5) - np.float32(0.25)
    return mapped


def to_full(xy: Float32Array) -> Float32Array:
    """Inverse of `to_half`."""
    mapped: Float32Array = xy * np.float32(2) + np.float32(0.5)
    return mapped


def sample(plane: Float32Array, x: Float32Array, y: Float32Array) -> Float32Array:
    """Bilinear samples of a plane [h, w] (both sides >= 2) at positions of any shape; clamped to the border."""
    height, width = plane.shape
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    left = np.minimum(x.astype(np.int32), width - 2)
    top = np.minimum(y.astype(np.int32), height - 2)
    across, down = x - left.astype(np.float32), y - top.astype(np.float32)
    corner = top * np.int32(width) + left
    flat = plane.reshape(-1)
    upper: Float32Array = flat.take(corner)
    lower: Float32Array = flat.take(corner + np.int32(width))
    upper += (flat.take(corner + np.int32(1)) - upper) * across
    lower += (flat.take(corner + np.int32(width + 1)) - lower) * across
    lower -= upper
    lower *= down
    lower += upper
    return lower


def _smooth(plane: Float32Array) -> Float32Array:
    """Binomial 3x3 mean: bilinear samples of a smooth plane depend less on where between pixels they fall."""
    padded = np.pad(plane, 1, mode="edge")
    quarter, half = np.float32(0.25), np.float32(0.5)
    rows = (padded[:-2] + padded[2:]) * quarter + padded[1:-1] * half
    smoothed: Float32Array = ((rows[:, :-2] + rows[:, 2:]) * quarter + rows[:, 1:-1] * half).astype(np.float32)
    return smoothed


class PicturedFeatures(FeatureMap):
    """The features of a frame and its picture, on their way from a tracker's `encode` to its `step_features`.

    Only `features` go into the memory, so a picture lives for one frame.
    """

    __slots__ = ("features", "picture")
    features: FeatureMap
    picture: Picture

    def __init__(self, features: FeatureMap, picture: Picture) -> None:
        # The base is frozen, and its own __init__ would want an array, which may be on a device.
        for name, value in (("hw", features.hw), ("packed", None), ("features", features), ("picture", picture)):
            object.__setattr__(self, name, value)

    @property
    def unit(self) -> Float32Array:
        """Those of `features`."""
        return self.features.unit
