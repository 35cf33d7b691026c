"""Query points of TAP-Vid: where on a ground-truth track a tracker is asked to start (goldens item 44)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.metrics.tapvid import Bools

QUERY_STRIDE = 5
"""Frames between queries of the `strided` mode."""


class Queries(NamedTuple):
    """N queries with the ground truth each is scored against.

    `queries_tyx` float64 [N, 3], `tracks` [N, T, 2] (x, y), `occluded` bool [N, T], and `track_ids` int64 [N]: which
    row of the input each came from.  Coordinates are those of the input.
    """

    queries_tyx: NDArray[np.float64]
    tracks: NDArray[Any]
    occluded: Bools
    track_ids: NDArray[np.int64]


def sample_queries_first(tracks: NDArray[Any], occluded: Bools) -> Queries:
    """One query per track, at its first visible frame; tracks that are never visible are dropped.

    `tracks` [N, T, 2], `occluded` bool [N, T].
    """
    ids = np.flatnonzero((~occluded).any(1))
    return _queries(tracks, occluded, ids, np.argmax(~occluded[ids], axis=1))


def sample_queries_strided(tracks: NDArray[Any], occluded: Bools, stride: int = QUERY_STRIDE) -> Queries:
    """Queries at frames 0, stride, 2*stride, .. of every track visible there, ordered by frame, then track."""
    frames = np.arange(0, occluded.shape[1], stride)
    at, ids = np.nonzero(~occluded[:, frames].T)
    return _queries(tracks, occluded, ids, frames[at])


def _queries(tracks: NDArray[Any], occluded: Bools, ids: NDArray[np.int64], frames: NDArray[np.int64]) -> Queries:
    x, y = tracks[ids, frames].astype(np.float64).T
    return Queries(np.stack((frames.astype(np.float64), y, x), axis=-1), tracks[ids], occluded[ids], ids)
