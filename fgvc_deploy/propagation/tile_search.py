"""Exact search for one block of queries: tiles of queries against their clipped key windows, frame after frame.

How a whole map is cut into blocks and shared among threads is the business of `tiled.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fgvc_deploy.propagation.base import BoolArray, Float32Array, Int32Array, Window
from fgvc_deploy.propagation.topk import RunningTopK
from fgvc_deploy.propagation.windows import allowed_keys, reach

# 8 x 8 queries need 1.9 times the products of a circle of radius 15; smaller tiles multiply slower than they save.
TILE = 8
# Products of one step, so that they stay in the second-level cache however large the window is.
STEP_PRODUCTS = 1 << 18


class Block(NamedTuple):
    """Query pixels y0 <= y < y1, x0 <= x < x1."""

    y0: int
    y1: int
    x0: int
    x1: int


class BlockSearch:
    """The best keys of a block of queries, from feature maps [H, W, C] of the query and of every key slot.

    Queries outside `active` bool [H, W] get no keys, and a tile without any is not looked at.
    """

    def __init__(
        self,
        query: Float32Array,
        keys: Sequence[Float32Array],
        window: Window,
        topk: int,
        block: Block,
        active: BoolArray,
    ) -> None:
        height, width, channels = query.shape
        far = reach(window, (height, width))
        self._keys, self._window, self._block, self._height, self._width = keys, window, block, height, width
        self._reach = far
        self._top, self._bottom = max(0, block.y0 - far), min(height, block.y1 + far)
        self._left, self._right = max(0, block.x0 - far), min(width, block.x1 + far)
        self._query = np.ascontiguousarray(query[block.y0 : block.y1, block.x0 : block.x1]).reshape(-1, channels)
        self._active = active[block.y0 : block.y1, block.x0 : block.x1]
        self._best = RunningTopK(len(self._query), topk)
        # No score is above infinity, so these never take a key.
        self._best.threshold[~self._active.ravel()] = np.inf
        most = TILE * (block.x1 - block.x0) * (self._right - self._left)
        self._products = np.empty(max(STEP_PRODUCTS, most), dtype=np.float32)

    def run(self) -> tuple[Float32Array, Int32Array]:
        """Scores and positions [queries of the block, k], as in `Matches`."""
        tiles = self._tiles()
        if not tiles:
            return self._best.result()
        # The newest frame is the most alike: it gives thresholds that turn most keys of the others away.
        for slot in reversed(range(len(self._keys))):
            # One copy makes the window of every tile of the block a plain matrix.
            strip = np.ascontiguousarray(self._keys[slot][self._top : self._bottom, self._left : self._right])
            for y in tiles:
                for first, last in self._steps(y):
                    self._search(strip, slot, y, first, last)
            self._best.settle()
        return self._best.result()

    def _tiles(self) -> list[int]:
        """First rows of the tiles that hold an active query."""
        rows = range(0, self._block.y1 - self._block.y0, TILE)
        return [self._block.y0 + row for row in rows if self._active[row : row + TILE].any()]

    def _steps(self, y: int) -> list[tuple[int, int]]:
        """Key rows of the tile at row `y`, cut into steps of bounded size, nearest first."""
        end = min(y + TILE, self._block.y1)
        first, last = max(0, y - self._reach), min(self._height, end + self._reach)
        columns = self._right - self._left
        rows = max(1, STEP_PRODUCTS // (columns * TILE * (self._block.x1 - self._block.x0)))
        steps = [(row, min(last, row + rows)) for row in range(first, last, rows)]
        return sorted(steps, key=lambda step: abs(step[0] + step[1] - 2 * y - TILE))

    def _search(self, strip: Float32Array, slot: int, y: int, first: int, last: int) -> None:
        """Offer the keys of rows first..last-1 to the queries of the tile at row `y`."""
        block, columns = self._block, self._right - self._left
        wide, high = block.x1 - block.x0, min(TILE, block.y1 - y)
        queries = slice((y - block.y0) * wide, (y - block.y0 + high) * wide)
        keys = strip[first - self._top : last - self._top].reshape(-1, strip.shape[-1])
        shape = (len(keys), wide * high)
        products = self._products[: shape[0] * shape[1]].reshape(shape)
        np.matmul(keys, self._query[queries].T, out=products)
        allowed = allowed_keys(self._window, (first - y, last - first, high), (self._left - block.x0, columns, wide))
        chosen = self._best.candidates(products[None], allowed[None], queries)
        key, query = np.divmod(chosen, shape[1])
        row, column = np.divmod(key, columns)
        position = (slot * self._height + first + row) * self._width + self._left + column
        self._best.add(query + queries.start, products.ravel()[chosen], position.astype(np.int32))
