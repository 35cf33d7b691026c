"""Window geometry: offsets a window holds, and a tile of queries against a block of keys.  No features, no scores."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import Window


def reach(window: Window, hw: tuple[int, int]) -> int:
    """Largest offset along one axis, in feature pixels, that the window can contain on a map of this size."""
    limit = max(hw)
    if window.radius > limit:
        return limit
    return math.ceil(window.radius) - 1 if window.shape == "circle" else math.floor(window.radius)


@lru_cache(maxsize=16)
def half_widths(window: Window, hw: tuple[int, int]) -> tuple[int, ...]:
    """Largest |dx| that the window holds at |dy| = 0, 1, ... up to its reach on a map of this size."""
    far = reach(window, hw)
    if window.shape == "square":
        return (far,) * (far + 1)
    squares = np.arange(far + 1) ** 2
    inside = squares[:, None] + squares < float(window.radius) ** 2
    return tuple((np.count_nonzero(inside, axis=1) - 1).tolist())


@lru_cache(maxsize=64)
def allowed_keys(window: Window, dy: tuple[int, int, int], dx: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Which keys of a block each query of a tile may take: bool [key pixels, query pixels], both in raster order.

    `dy` is (first key row - first query row, key rows, query rows), `dx` the same along x.  Tiles away from the
    borders share their geometry, hence the cache.
    """
    off_y = (np.arange(dy[1]) + dy[0])[:, None, None, None] - np.arange(dy[2])[None, None, :, None]
    off_x = (np.arange(dx[1]) + dx[0])[None, :, None, None] - np.arange(dx[2])[None, None, None, :]
    if window.shape == "circle":
        inside = off_y * off_y + off_x * off_x < float(window.radius) ** 2
    else:
        inside = (np.abs(off_y) <= window.radius) & (np.abs(off_x) <= window.radius)
    table = inside.reshape(dy[1] * dx[1], dy[2] * dx[2])
    table.flags.writeable = False
    return table
