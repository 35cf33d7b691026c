"""Scores of tracked points with known visibility, as TAP-Vid defines them: shared by `tapvid` and `synthetic`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Figures, known
from fgvc_benchmarks.metrics.tapvid import TrackedVideos, tapvid_metrics
from fgvc_benchmarks.metrics.tapvid_points import average_over_points, point_scores
from fgvc_deploy.tracks import Tracks

PERCENT = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy", "jaccard_", "pts_within_")


class PointTruth(NamedTuple):
    """N queries of a video: `query_frames` [N], `tracks` [N, T, 2] on the scored frame, `occluded` bool [N, T]."""

    query_frames: NDArray[np.int64]
    tracks: NDArray[Any]
    occluded: NDArray[np.bool_]


def score_points(truth: PointTruth, xy: NDArray[Any], visible: NDArray[np.bool_], options: EvalOptions) -> Figures:
    """TAP-Vid's figures as fractions, of predictions [N, T, 2] on the scored frame; `ade_visible` in pixels there.

    Corrected: of the whole video, with the model's own visibility.  Reference: every point alone, then averaged, as
    FGVC's tables are; its model predicts no visibility, so every point counts as predicted occluded and tracks stand
    at (0, 0) before their query (goldens items 17, 18, 41).
    """
    if options.reference:
        xy, visible = np.nan_to_num(xy), np.zeros_like(visible)
    video = TrackedVideos(
        truth.query_frames[None], truth.occluded[None], truth.tracks[None], ~visible[None], xy[None]
    )
    if options.reference:
        return _per_point(video, options)
    figures = {name: known(value[0]) for name, value in tapvid_metrics(video, options.query_mode).items()}
    return figures | {"ade_visible": _distance(truth, xy)}


def _per_point(video: TrackedVideos, options: EvalOptions) -> Figures:
    points = range(video.query_frames.shape[1])
    scores = [point_scores(video, 0, p, options.query_mode, reference=True) for p in points]
    table = average_over_points([scores])
    return {
        name: known(value / 100 if name.startswith(PERCENT) else value)
        for name, value in table.items()
        if not name.startswith("n_timesteps")
    }


def _distance(truth: PointTruth, xy: NDArray[Any]) -> float | None:
    """Mean distance in pixels where the truth is visible, the query frame left out."""
    frames = np.arange(truth.tracks.shape[1])
    scored = ~truth.occluded & (frames != truth.query_frames[:, None])
    distance = np.linalg.norm(xy - truth.tracks, axis=-1)[scored]
    return known(float(np.nanmean(distance))) if np.isfinite(distance).any() else None


def shown(tracks: Tracks) -> NDArray[np.bool_]:
    """Where a prediction has a position, bool [N, T]."""
    finite: NDArray[np.bool_] = np.isfinite(tracks.tracks.sum(-1))
    return finite
