"""TAP-Vid metrics of whole videos: average Jaccard, points within thresholds, occlusion accuracy (goldens item 40).

Tracks are (x, y) on a 256x256 frame.  Differences between `reference=True` (the code FGVC shipped) and the default:
- query mode `first`: the published filter meant to drop frames before the query drops rows of never-visible points at
  the top instead, so frames before the query are scored.  Default: only frames after the query are scored.
- occlusion accuracy: published sums are divided by the points of the whole batch.  Default: by those of the video.
Per-point scores, as FGVC's tables are made of, are in `tapvid_points`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

QueryMode = Literal["first", "strided"]
Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
THRESHOLDS = (1, 2, 4, 8, 16)
"""Pixels at 256x256; a point counts as within if its squared distance is strictly below the square."""


class TrackedVideos(NamedTuple):
    """Ground truth and predictions of N points in each of B videos of T frames.

    `query_frames` [B, N]; `gt_occluded`, `pred_occluded` bool [B, N, T]; `gt_tracks`, `pred_tracks` [B, N, T, 2].
    """

    query_frames: NDArray[Any]
    gt_occluded: Bools
    gt_tracks: Floats
    pred_occluded: Bools
    pred_tracks: Floats


def tapvid_metrics(
    videos: TrackedVideos, query_mode: QueryMode, *, reference: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Metrics of each video, 0..1, under their official names: dict of float64 [B].

    The query frame itself is not scored.  A video without a visible point to score gives NaN.
    Raises ValueError for another query mode.
    """
    query_frames, gt_occluded, gt_tracks, pred_occluded, pred_tracks = videos
    scored = _scored(query_frames, gt_occluded, query_mode, reference=reference)
    visible, pred_visible = ~gt_occluded, ~pred_occluded
    agree = _count((pred_occluded == gt_occluded) & scored)
    metrics = {"occlusion_accuracy": _divide(agree, scored.sum() if reference else _count(scored))}
    squared_distance = np.square(pred_tracks - gt_tracks).sum(-1)
    gt_positives = _count(visible & scored)
    for threshold in THRESHOLDS:
        within = squared_distance < threshold**2
        correct = within & visible & scored
        false_positives = _count(pred_visible & ~(within & visible) & scored)
        metrics[f"pts_within_{threshold}"] = _divide(_count(correct), gt_positives)
        metrics[f"jaccard_{threshold}"] = _divide(_count(correct & pred_visible), gt_positives + false_positives)
    for average, name in (("average_jaccard", "jaccard"), ("average_pts_within_thresh", "pts_within")):
        metrics[average] = np.mean([metrics[f"{name}_{threshold}"] for threshold in THRESHOLDS], axis=0)
    return metrics


def average_over_videos(videos: Iterable[Mapping[str, NDArray[np.float64]]]) -> dict[str, float]:
    """Benchmark figures: the plain mean of each metric over all videos, videos that give NaN left out."""
    rows = list(videos)
    if not rows:
        raise ValueError("there is no video to average over: pass the metrics of at least one")
    stacked = {name: np.concatenate([np.atleast_1d(row[name]) for row in rows]) for name in rows[0]}
    return {name: mean_without_nan(values) for name, values in stacked.items()}


def mean_without_nan(values: NDArray[np.float64]) -> float:
    """Mean of the values that are numbers; NaN if none is."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else float("nan")


def _scored(query_frames: NDArray[Any], gt_occluded: Bools, query_mode: str, *, reference: bool) -> Bools:
    """Which (video, point, frame) are scored, bool [B, N, T]."""
    if query_mode not in ("first", "strided"):
        raise ValueError(f"query mode {query_mode!r} is unknown: use 'first' or 'strided'")
    frames = np.arange(gt_occluded.shape[-1])
    query = np.round(query_frames).astype(np.int64)[..., None]
    scored = frames != query if query_mode == "strided" or reference else frames > query
    if query_mode == "first" and reference:
        ever_visible = (~gt_occluded).any(-1)
        scored = scored & (np.cumsum(ever_visible, axis=1) > 0)[..., None]
    result: Bools = np.broadcast_to(scored, gt_occluded.shape)
    return result


def _count(points: Bools) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = points.sum(axis=(1, 2))
    return counts


def _divide(part: NDArray[np.int64], whole: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        quotient: NDArray[np.float64] = np.divide(part, whole)
    return quotient
