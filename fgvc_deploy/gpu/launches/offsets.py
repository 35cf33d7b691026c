"""The offset table that the kernel `local_topk` walks: where the keys of a tile of queries lie, nearest first.

The kernel's own package makes the same table for PyTorch users (fgvc_kernels.triton.offsets, which a run time without
triton cannot import); a test holds the two together.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import Window

# The kernel packs an offset into 16 bits, and adds two.
MAX_SIDE = 32_000
# Added to any row it leaves the map.
NOWHERE = 0x7FFF << 16


def distance_limit(window: Window, hw: tuple[int, int]) -> int:
    """A key is allowed iff dx^2 + dy^2 (circle) or max(|dx|, |dy|) (square) is below this whole number."""
    far = max(hw)
    if window.shape == "square":
        return math.floor(min(window.radius, far)) + 1
    return math.ceil(min(window.radius, 2.0 * far) ** 2)


@lru_cache(maxsize=32)
def offset_table(window: Window, hw: tuple[int, int], tile: tuple[int, int], block: int) -> NDArray[np.int32]:
    """Offsets of all keys that some query of a tile [rows, columns] may take, from the tile's first query.

    int32 [n * block]: `dy << 16 | (dx & 0xffff)`, nearest to the tile's centre first, then raster order; filled up
    with an offset that no map has.  Read-only.  Raises InputError for maps with a side above 32000.
    """
    if max(hw) > MAX_SIDE:
        raise InputError(f"feature maps of {hw[0]}x{hw[1]} are too large for the GPU; choose a smaller --size.")
    limit = distance_limit(window, hw)
    circle = window.shape == "circle"
    reach = math.isqrt(limit - 1) if circle else limit - 1
    dy, dx = (np.arange(-min(reach, n - 1), t + min(reach, n - 1)) for n, t in zip(hw, tile, strict=True))
    outside_y, outside_x = (np.maximum(0, np.maximum(-d, d - t + 1)) for d, t in zip((dy, dx), tile, strict=True))
    distance = outside_y[:, None] ** 2 + outside_x**2 if circle else np.maximum(outside_y[:, None], outside_x)
    row, column = np.nonzero(distance < limit)
    centre_distance = (2 * dy[row] - tile[0] + 1) ** 2 + (2 * dx[column] - tile[1] + 1) ** 2
    nearest = np.argsort(centre_distance, kind="stable")
    packed = (dy[row] << 16 | (dx[column] & 0xFFFF))[nearest].astype(np.int32)
    table = np.pad(packed, (0, -len(packed) % block), constant_values=NOWHERE)
    table.flags.writeable = False
    return table
