"""The NumPy backend: exact local-window matching in tiles, on several threads, without a (H*W x H*W) matrix."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import FeatureMap, Float32Array, Matches, Window
from fgvc_deploy.propagation.blas_threads import one_blas_thread
from fgvc_deploy.propagation.features import check_request, unit_features
from fgvc_deploy.propagation.tile_search import TILE, Block, BlockSearch

# Rows of a block: 64 keep a strip of keys near 3 MB at the reference's size and give two cores 32 blocks to share.
BLOCK_ROWS = 64
# Entries of a block's top-k lists, so that a large k makes small blocks.
BLOCK_ENTRIES = 1 << 18


class TiledBackend:
    """Top-k keys by tiled matrix products, in float32 (goldens items 8, 10 and 11).

    Circle and square windows of any radius, any k, any number of key frames.  The answer does not depend on
    `threads` or on earlier calls, bit for bit.  `threads` bounds the cores in use and defaults to those this process
    may use.  Where NumPy's BLAS cannot be held to one thread (no OpenBLAS), blocks run one after the other and BLAS
    threads as it likes.
    """

    name = "numpy"

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise InputError(f"{threads} threads cannot run anything: give at least 1, or none for all cores")
        self.threads = threads or available_cores()

    def prepare(self, features: Float32Array) -> FeatureMap:
        """Normalise raw features [H, W, C]; nothing is packed beside them."""
        return unit_features(features)

    def match(self, query: FeatureMap, keys: Sequence[FeatureMap], window: Window, topk: int) -> Matches:
        """Top-k over all key frames jointly.  Raises InputError when the arguments do not fit together."""
        check_request(query, keys, window, topk)
        height, width = query.hw
        maps = [frame.unit.reshape(height, width, -1) for frame in (query, *keys)]
        scores = np.empty((height, width, topk), dtype=np.float32)
        positions = np.empty((height, width, topk), dtype=np.int32)

        def search(block: Block) -> None:
            found = BlockSearch(maps[0], maps[1:], window, topk, block).run()
            area = (slice(block.y0, block.y1), slice(block.x0, block.x1))
            scores[area], positions[area] = (part.reshape(scores[area].shape) for part in found)

        with one_blas_thread() as held:
            run_blocks(search, blocks_of(query.hw, topk), self.threads if held else 1)
        return Matches(scores.reshape(-1, topk), positions.reshape(-1, topk))


def available_cores() -> int:
    """Cores this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def blocks_of(hw: tuple[int, int], topk: int) -> list[Block]:
    """Blocks of queries, one tile wide, that cover a map."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_ENTRIES // (TILE * topk)))
    return [
        Block(y, min(hw[0], y + rows), x, min(hw[1], x + TILE))
        for x in range(0, hw[1], TILE)
        for y in range(0, hw[0], rows)
    ]


def run_blocks(search: Callable[[Block], None], blocks: Sequence[Block], threads: int) -> None:
    """Run `search` on every block; the threads end with the call, so that nothing outlives it."""
    if threads == 1 or len(blocks) == 1:
        for block in blocks:
            search(block)
        return
    with ThreadPoolExecutor(min(threads, len(blocks)), thread_name_prefix="fgvc-tiles") as pool:
        # Reading the results raises a worker's error here; leaving early cancels the blocks that have not begun.
        for _ in pool.map(search, blocks):
            pass
