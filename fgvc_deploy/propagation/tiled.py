"""The NumPy backend: exact local-window matching in tiles, on several threads, without a (H*W x H*W) matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.propagation.base import BoolArray, FeatureMap, Float32Array, Matches, Window
from fgvc_deploy.propagation.features import active_map, check_request, unit_features
from fgvc_deploy.propagation.threads import run_jobs, worker_count
from fgvc_deploy.propagation.tile_search import TILE, Block, BlockSearch

# Rows of a block: 64 keep a strip of keys near 3 MB at the reference's size and give two cores 32 blocks to share.
BLOCK_ROWS = 64
# Entries of a block's top-k lists, so that a large k makes small blocks.
BLOCK_ENTRIES = 1 << 18


class TiledBackend:
    """Top-k keys by tiled matrix products, in float32 (goldens items 8, 10 and 11).

    Circle and square windows of any radius, any k, any number of key frames.  The answer does not depend on
    `threads`, nor on earlier calls, bit for bit.  `threads` bounds the cores in use and defaults to those this
    process may use (see `threads.run_jobs` for a NumPy without OpenBLAS).
    """

    name = "numpy"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = worker_count(threads)

    def prepare(self, features: Float32Array) -> FeatureMap:
        """Normalise raw features [H, W, C]; nothing is packed beside them."""
        return unit_features(features)

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """Top-k over all key frames jointly; queries that are not `active` get -inf and 0, and their tiles no work.

        Raises InputError when the arguments do not fit together.
        """
        check_request(query, keys, window, topk)
        wanted = active_map(active, query.hw)
        height, width = query.hw
        maps = [frame.unit.reshape(height, width, -1) for frame in (query, *keys)]
        scores = np.empty((height, width, topk), dtype=np.float32)
        positions = np.empty((height, width, topk), dtype=np.int32)

        def search(block: Block) -> None:
            found = BlockSearch(maps[0], maps[1:], window, topk, block, wanted).run()
            area = (slice(block.y0, block.y1), slice(block.x0, block.x1))
            scores[area], positions[area] = (part.reshape(scores[area].shape) for part in found)

        run_jobs(search, blocks_of(query.hw, topk), self.threads)
        return Matches(scores.reshape(-1, topk), positions.reshape(-1, topk))


def blocks_of(hw: tuple[int, int], topk: int) -> list[Block]:
    """Blocks of queries, one tile wide, that cover a map."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_ENTRIES // (TILE * topk)))
    return [
        Block(y, min(hw[0], y + rows), x, min(hw[1], x + TILE))
        for x in range(0, hw[1], TILE)
        for y in range(0, hw[0], rows)
    ]
