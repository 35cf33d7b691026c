"""Which keys a query pixel may attend to.  Masks only: no features, no scores."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
WindowShape = Literal["circle", "square"]


def window_rows(hw: tuple[int, int], shape: WindowShape, radius: float, queries: NDArray[np.integer]) -> BoolArray:
    """Allowed keys of some query pixels on one key frame: bool [len(queries), H*W].

    `queries` are raster positions y * W + x; `radius` is in feature pixels and may be fractional.
    `circle`: dx^2 + dy^2 < radius^2, strictly.  `square`: |dx| <= radius and |dy| <= radius.  Clipped at the borders.
    Source: goldens items 8 and 9.
    """
    height, width = hw
    y, x = np.divmod(np.arange(height * width), width)
    dy = y[queries, None] - y[None, :]
    dx = x[queries, None] - x[None, :]
    if shape == "circle":
        return np.asarray(dy * dy + dx * dx < float(radius) ** 2)
    if shape == "square":
        return np.asarray((np.abs(dy) <= radius) & (np.abs(dx) <= radius))
    raise ValueError(f"window shape {shape!r} is unknown: use 'circle' or 'square'")


def window_mask(hw: tuple[int, int], shape: WindowShape, radius: float) -> BoolArray:
    """Allowed keys of every query pixel on one key frame: bool [H*W, H*W], [query, key] (it is symmetric)."""
    return window_rows(hw, shape, radius, np.arange(hw[0] * hw[1]))


def radius_of_range(neighbor_range: int) -> int:
    """Radius in feature pixels of the reference's `neighbor_range` setting (30 -> 15, 9 -> 4; goldens item 8)."""
    return neighbor_range // 2
