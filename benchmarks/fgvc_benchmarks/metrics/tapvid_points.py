"""TAP-Vid scores as FGVC's tables are made: every point scored alone, then averaged (goldens item 41).

Points of a video are averaged first, then videos; a point that gives NaN (never visible after its query) is left out.
`reference=True` passes through to `tapvid.tapvid_metrics`.  Percentages are 0..100, distances pixels at 256x256.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.metrics.tapvid import Bools, QueryMode, TrackedVideos, mean_without_nan, tapvid_metrics


def point_scores(
    videos: TrackedVideos, video: int, point: int, query_mode: QueryMode = "first", *, reference: bool = False
) -> dict[str, float]:
    """TAP-Vid metrics x 100 and displacement errors of one point of one video.

    `ade`, `ade_visible`, `ade_visible_chain`: mean distance over all frames, over visible ones, and over the unbroken
    run of visible frames around the query, each including the query frame; `n_timesteps*` count them.
    """
    alone = TrackedVideos(*(array[video, point][None, None] for array in videos))
    metrics = tapvid_metrics(alone, query_mode, reference=reference)
    gt_occluded = videos.gt_occluded[video, point]
    pred_track, gt_track = videos.pred_tracks[video, point], videos.gt_tracks[video, point]
    distance = np.sqrt(np.square(pred_track.astype(np.float64) - gt_track).sum(-1))
    chain = visible_chain(~gt_occluded, int(videos.query_frames[video, point]))
    return {
        **{name: float(value[0]) * 100 for name, value in metrics.items()},
        "ade": float(distance.mean()),
        "ade_visible": mean_without_nan(distance[~gt_occluded]),
        "ade_visible_chain": float(distance[chain].mean()),
        "n_timesteps": float(len(distance)),
        "n_timesteps_visible": float((~gt_occluded).sum()),
        "n_timesteps_visible_chain": float(chain.stop - chain.start),
    }


def visible_chain(visible: Bools, query_frame: int) -> slice:
    """The unbroken run of visible frames around the query.  Raises ValueError if the point is hidden there."""
    if not visible[query_frame]:
        raise ValueError(f"the query frame {query_frame} of a point is marked as occluded: queries must be visible")
    hidden = np.flatnonzero(~visible)
    before, after = hidden[hidden < query_frame], hidden[hidden > query_frame]
    return slice(int(before[-1]) + 1 if before.size else 0, int(after[0]) if after.size else len(visible))


def average_over_points(videos: Sequence[Sequence[dict[str, float]]]) -> dict[str, float]:
    """Figures of the published table: mean over the points of each video, then over videos, NaN left out."""
    return {
        name: mean_without_nan(np.array([mean_without_nan(_column(points, name)) for points in videos if points]))
        for name in videos[0][0]
    }


def _column(points: Sequence[dict[str, float]], name: str) -> NDArray[Any]:
    return np.array([point[name] for point in points])
