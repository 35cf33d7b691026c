"""Bilinear resize of uint8 RGB frames, equal to cv2.resize(INTER_LINEAR) bit for bit.

OpenCV computes it in integers: 11-bit coefficients, horizontal pass first, 4 bits dropped between the passes, each of
the two rows shifted down by 16 before they are added.  All these truncations show in the result, so they are repeated
here.  Float label maps are resized in `fgvc_deploy.readout.resample`, not here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError

UInt8Array = NDArray[np.uint8]
_COEF_ONE = 2048


class _Plan(NamedTuple):
    """Everything about a resize that depends on the sizes only; w is the output width, h its height."""

    rows: NDArray[np.intp]  # [n] source rows that are used at all
    row_low: NDArray[np.intp]  # [h] position in `rows`
    row_high: NDArray[np.intp]  # [h]
    row_coef_low: NDArray[np.int32]  # [h, 1]
    row_coef_high: NDArray[np.int32]  # [h, 1]
    col_low: NDArray[np.intp]  # [w * 3] position in a source row of interleaved channels
    col_high: NDArray[np.intp]  # [w * 3]
    col_coef_low: NDArray[np.int32]  # [w * 3]
    col_coef_high: NDArray[np.int32]  # [w * 3]


def _axis(n_src: int, n_dst: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Position of every output sample: source index (may lie outside) and fraction, rounded as OpenCV rounds them."""
    scale = 1.0 / (n_dst / n_src)
    position = ((np.arange(n_dst) + 0.5) * scale - 0.5).astype(np.float32)
    low = np.floor(position)
    return low.astype(np.intp), position - low


def _coefficients(fraction: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    one = np.float32(_COEF_ONE)
    low = np.rint((np.float32(1) - fraction) * one).astype(np.int32)
    return low, np.rint(fraction * one).astype(np.int32)


@lru_cache(maxsize=16)
def _plan(src_hw: tuple[int, int], dst_hw: tuple[int, int]) -> _Plan:
    y, y_fraction = _axis(src_hw[0], dst_hw[0])
    x, x_fraction = _axis(src_hw[1], dst_hw[1])
    # OpenCV treats the borders differently per axis: outside columns take the border pixel alone, outside rows keep
    # both coefficients on the same row (which truncates twice).
    x_fraction = np.where((x < 0) | (x >= src_hw[1] - 1), np.float32(0), x_fraction)
    pair = np.stack([y, y + 1]).clip(0, src_hw[0] - 1)
    rows, inverse = np.unique(pair, return_inverse=True)
    inverse = inverse.reshape(pair.shape)
    row_coef = _coefficients(y_fraction)
    col_coef = _coefficients(x_fraction)
    channel = np.arange(3)
    cols = [(col.clip(0, src_hw[1] - 1)[:, None] * 3 + channel).reshape(-1) for col in (x, x + 1)]
    return _Plan(
        rows,
        inverse[0],
        inverse[1],
        row_coef[0][:, None],
        row_coef[1][:, None],
        cols[0],
        cols[1],
        np.repeat(col_coef[0], 3),
        np.repeat(col_coef[1], 3),
    )


def resize_linear(rgb: UInt8Array, size: tuple[int, int]) -> UInt8Array:
    """Resize uint8 [H, W, 3] to (h, w); a new array, also when the size is the same.

    Raises InputError for another dtype or shape.  Source: goldens item 1, OpenCV's fixed-point INTER_LINEAR.
    """
    check_rgb(rgb)
    if rgb.shape[:2] == tuple(size):
        return rgb.copy()
    plan = _plan((rgb.shape[0], rgb.shape[1]), (int(size[0]), int(size[1])))
    flat = rgb.reshape(rgb.shape[0], -1)[plan.rows]
    across = flat.take(plan.col_low, axis=1) * plan.col_coef_low
    across += flat.take(plan.col_high, axis=1) * plan.col_coef_high
    across >>= 4
    low = across[plan.row_low]
    low *= plan.row_coef_low
    low >>= 16
    high = across[plan.row_high]
    high *= plan.row_coef_high
    high >>= 16
    low += high
    low += 2
    low >>= 2
    return low.astype(np.uint8).reshape(*size, 3)


def check_rgb(rgb: UInt8Array) -> None:
    """Raise InputError unless `rgb` is a non-empty uint8 [H, W, 3]."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise InputError(f"a frame must be uint8 RGB of shape [H, W, 3]; this one is {rgb.dtype} {list(rgb.shape)}.")
