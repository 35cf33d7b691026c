"""Coarse-to-fine matching: an explicit mode that is cheaper and not exact.  It is never chosen silently.

How it differs from the repository's coarse-to-fine, which is never called there (goldens item 15):
- the coarse map is pooled from the fine features, not given by a second layer;
- the answer is on the fine grid, not on the coarse one;
- each fine query keeps its own offset from the coarse match, instead of sharing the point scale * match;
- keys outside the image do not exist, instead of competing with affinity 0;
- the coarse match is the arg-max of the cosines themselves, without a softmax that rounds some of them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import (
    BoolArray,
    FeatureMap,
    Float32Array,
    Int32Array,
    Matches,
    PropagationBackend,
    Window,
)
from fgvc_deploy.propagation.features import check_request, unit_features
from fgvc_deploy.propagation.fine_cells import Indices, fine_cells
from fgvc_deploy.propagation.threads import run_jobs, worker_count
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.propagation.topk import RunningTopK

# Numbers gathered (8 MB) and queries answered in one step.
STEP_VALUES = 1 << 21
STEP_QUERIES = 1 << 10


class CoarseToFineBackend:
    """Top-k inside a small fine window around each coarse cell's best match.

    Pooled cells of scale x scale pixels find their best cell on each key frame within `coarse_radius` cells (distance
    < radius); every fine query then takes the (2 * fine_radius + 1)^2 keys around its own position plus scale times
    that displacement, moved into the image when a cut cell makes it leave, and clipped.  Top-k over all key frames
    jointly.  Scores are fine cosines, as in exact matching; only the candidates differ.

    `coarse` matches the cells (None: the NumPy backend); the fine search is always NumPy's.  `name` tells both.
    """

    def __init__(
        self,
        scale: int = 4,
        coarse_radius: float = 8.0,
        fine_radius: int = 4,
        threads: int | None = None,
        coarse: PropagationBackend | None = None,
    ) -> None:
        if scale < 2 or fine_radius < 1 or not coarse_radius > 0:
            raise InputError(
                f"coarse-to-fine with scale {scale}, coarse radius {coarse_radius}, fine radius {fine_radius} cannot "
                "work: use a scale of 2 or more, a positive coarse radius and a fine radius of 1 or more"
            )
        self.scale, self.coarse_radius, self.fine_radius = scale, coarse_radius, fine_radius
        self.threads = worker_count(threads)
        self._coarse = coarse or TiledBackend(threads)
        self.name = f"coarse_to_fine ({self._coarse.name})"

    def prepare(self, features: Float32Array) -> FeatureMap:
        """Normalise raw features [H, W, C]; `packed` is the coarse FeatureMap."""
        fine = unit_features(features)
        return FeatureMap(fine.hw, fine.unit, self._coarse.prepare(pool_cells(fine, self.scale)))

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """Top-k over all key frames jointly.

        `window` is checked but not used: the reach is coarse_radius and fine_radius, given to the constructor.
        `active` is not used either: it says what lies within `window`, which is not what this mode searches.
        Raises InputError when the arguments do not fit together or were not prepared by this backend.
        """
        check_request(query, keys, window, topk)
        best = self.coarse_matches(query, keys)
        size = query.hw[0] * query.hw[1]
        scores = np.empty((size, topk), dtype=np.float32)
        positions = np.empty((size, topk), dtype=np.int32)

        def search(cells: Indices) -> None:
            pixels, *found = self._search(query, keys, best, cells, topk)
            scores[pixels], positions[pixels] = found

        run_jobs(search, self._jobs(len(best), query.unit.shape[1]), self.threads)
        return Matches(scores, positions)

    def coarse_matches(self, query: FeatureMap, keys: Sequence[FeatureMap]) -> Int32Array:
        """Best coarse cell of every coarse query cell on each key frame: int32 [cells, T], raster positions."""
        maps = [frame.packed for frame in (query, *keys)]
        expected = tuple(-(-side // self.scale) for side in query.hw)
        if any(not isinstance(coarse, FeatureMap) or coarse.hw != expected for coarse in maps):
            raise InputError("a frame was not prepared by this coarse-to-fine backend: use its own prepare()")
        window = Window("circle", self.coarse_radius)
        found = [self._coarse.match(maps[0], [coarse], window, 1).positions for coarse in maps[1:]]
        return np.concatenate(found, axis=1)

    def _jobs(self, cells: int, channels: int) -> list[Indices]:
        """Runs of coarse cells, so many that the keys gathered for them are of bounded size."""
        reachable = (self.scale + 2 * self.fine_radius) ** 2
        step = max(1, min(STEP_QUERIES // self.scale**2, STEP_VALUES // (reachable * channels)))
        return [np.arange(start, min(cells, start + step)) for start in range(0, cells, step)]

    def _search(
        self, query: FeatureMap, keys: Sequence[FeatureMap], best: Int32Array, cells: Indices, topk: int
    ) -> tuple[Indices, Float32Array, Int32Array]:
        """Raster positions of the queries of some cells, and their top-k scores and positions."""
        height, width = query.hw
        area = fine_cells(query.hw, self.scale, self.fine_radius, cells, cells)
        rows = query.unit[area.queries].transpose(0, 2, 1)
        running = RunningTopK(area.real.size, topk)
        for slot in reversed(range(len(keys))):
            reachable = fine_cells(query.hw, self.scale, self.fine_radius, cells, best[cells, slot])
            products = np.matmul(keys[slot].unit[reachable.keys], rows)
            chosen = running.candidates(products, reachable.allowed)
            key, inside = np.divmod(chosen, self.scale**2)
            owner = key // products.shape[1] * self.scale**2 + inside
            position = reachable.keys.ravel()[key] + slot * height * width
            running.add(owner, products.ravel()[chosen], position.astype(np.int32))
            running.settle()
        scores, positions = running.result()
        real = area.real.ravel()
        return area.queries.ravel()[real], scores[real], positions[real]


def pool_cells(fine: FeatureMap, scale: int) -> Float32Array:
    """Sums [h, w, C] of the unit features of each scale x scale cell, to be normalised again.

    A cell cut by the border has fewer pixels.  Unit features, so that no pixel outweighs another.
    """
    height, width = fine.hw
    rows = np.add.reduceat(fine.unit.reshape(height, width, -1), np.arange(0, height, scale), axis=0)
    sums: Float32Array = np.add.reduceat(rows, np.arange(0, width, scale), axis=1)
    return sums
