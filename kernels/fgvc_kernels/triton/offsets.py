"""Which keys a tile of queries has to look at: the offset table that `local_topk` walks.  NumPy only, no torch.

A key at (dy, dx) from a tile's first query is listed when any query of the tile may take it, so the corners that a
circle never reaches are left out.  The nearest keys come first: they hold most of the best matches, and a high
threshold early spares later work.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .errors import KernelArgumentError

MAX_SIDE = 32_000
# Added to any row of a map it leaves the map, so that padding never counts as a key.
OUTSIDE = np.int32(0x7FFF << 16)


def distance_limit(window: Literal["circle", "square"], radius: float, hw: tuple[int, int]) -> int:
    """The integer L such that a key is allowed iff its distance measure is < L.

    The measure is dx^2 + dy^2 (`circle`: distance < radius) or max(|dx|, |dy|) (`square`: <= radius).  Whole numbers
    make the test exact for every float radius, which comparing with a rounded radius^2 would not be.
    """
    if not radius > 0:
        raise KernelArgumentError(f"The window radius must be above 0, not {radius}.")
    farthest = max(hw)
    if window == "circle":
        return math.ceil(min(radius, 2.0 * farthest) ** 2)
    if window == "square":
        return math.floor(min(radius, farthest)) + 1
    raise KernelArgumentError(f"The window must be 'circle' or 'square', not {window!r}.")


@lru_cache(maxsize=32)
def offset_table(
    window: Literal["circle", "square"], radius: float, hw: tuple[int, int], tile: tuple[int, int], block: int
) -> NDArray[np.int32]:
    """Packed offsets int32 [n * block], centre first, `dy << 16 | (dx & 0xffff)`, filled up with `OUTSIDE`.

    `tile` is (rows, columns) of queries; offsets count from its first query.  Read-only.
    """
    limit = distance_limit(window, radius, hw)
    reach = math.isqrt(limit - 1) if window == "circle" else limit - 1
    rows, columns = (np.arange(-min(reach, n - 1), t + min(reach, n - 1)) for n, t in zip(hw, tile, strict=True))
    # Distance from the nearest query of the tile: 0 inside.
    gap_y = np.maximum(np.maximum(-rows, rows - (tile[0] - 1)), 0)[:, None]
    gap_x = np.maximum(np.maximum(-columns, columns - (tile[1] - 1)), 0)[None, :]
    measure = gap_y**2 + gap_x**2 if window == "circle" else np.maximum(gap_y, gap_x)
    dy, dx = (index[measure < limit] for index in np.broadcast_arrays(rows[:, None], columns[None, :]))
    from_centre = (2 * dy - (tile[0] - 1)) ** 2 + (2 * dx - (tile[1] - 1)) ** 2
    order = np.argsort(from_centre, kind="stable")
    table = np.full(-(-len(order) // block) * block, OUTSIDE, np.int32)
    table[: len(order)] = (dy[order] << 16) | (dx[order] & 0xFFFF)
    table.flags.writeable = False
    return table
