"""Geometry of the fine step of coarse-to-fine: which pixels a cell holds, and which keys they may take."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.signedinteger[Any]]
Bools = NDArray[np.bool_]


class FineCells(NamedTuple):
    """Some coarse cells and the fine keys they may reach on one key frame; s = scale, b = s + 2 * fine_radius.

    `queries` [cells, s*s] and `keys` [cells, b*b] are raster positions, clipped into the image; `real` bool
    [cells, s*s] is False where a cut cell has no pixel; `allowed` is bool [cells, b*b, s*s].
    """

    queries: Indices
    real: Bools
    keys: Indices
    allowed: Bools


def fine_cells(hw: tuple[int, int], scale: int, fine_radius: int, cells: Indices, matched: Indices) -> FineCells:
    """Pixels and keys of `cells`, matched to the cells `matched` of a key frame (both raster positions [n])."""
    height, width = hw
    grid_width = -(-width // scale)
    own, other = np.divmod(cells, grid_width), np.divmod(matched, grid_width)
    query_y, key_y, near_y = _axis(height, scale, fine_radius, own[0], other[0])
    query_x, key_x, near_x = _axis(width, scale, fine_radius, own[1], other[1])
    count, block = len(cells), key_y.shape[1]
    real = (query_y < height)[:, :, None] & (query_x < width)[:, None, :]
    queries = _raster(np.minimum(query_y, height - 1), np.minimum(query_x, width - 1), width)
    keys = _raster(np.clip(key_y, 0, height - 1), np.clip(key_x, 0, width - 1), width)
    allowed = near_y[:, :, None, :, None] & near_x[:, None, :, None, :]
    return FineCells(queries, real.reshape(count, -1), keys, allowed.reshape(count, block**2, scale**2))


def _axis(size: int, scale: int, fine_radius: int, own: Indices, other: Indices) -> tuple[Indices, Indices, Bools]:
    """Along one axis: query coordinates [n, s], key coordinates [n, b], and which of those are near [n, b, s]."""
    inside = np.arange(scale)
    query = own[:, None] * scale + inside
    key = other[:, None] * scale - fine_radius + np.arange(scale + 2 * fine_radius)
    # A matched cell that the border cuts may lack the pixel at this offset; moving the centre keeps a window there.
    center = np.minimum(other[:, None] * scale + inside, size - 1)
    near = np.abs(key[:, :, None] - center[:, None, :]) <= fine_radius
    return query, key, near & ((key >= 0) & (key < size))[:, :, None]


def _raster(y: Indices, x: Indices, width: int) -> Indices:
    return (y[:, :, None] * width + x[:, None, :]).reshape(len(y), -1)
