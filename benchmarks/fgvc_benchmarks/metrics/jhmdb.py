"""JHMDB: percentage of correct key points, relative to the size of the person (goldens item 42).

A joint is correct if its distance from the truth is at most alpha * 0.6 * the diagonal of the box around the person's
joints in that frame.  Figures are per joint over all videos, then averaged over the joints.
Differences between `reference=True` and the default:
- a joint is counted only if its predicted x is positive, so losing a joint costs nothing, and the box spans only the
  counted joints.  Default: every joint counts, and the box spans all of them.
- the first frame, whose joints are given, is counted.  Default: it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5)


class JhmdbVideo(NamedTuple):
    """One video: `predicted` [J, T', 2], `truth` [J, T, 2], (x, y) pixels from 0; T' >= T (the rest is ignored)."""

    predicted: NDArray[Any]
    truth: NDArray[Any]


class JhmdbCounts(NamedTuple):
    """Joints over all frames of a video: `correct` [alphas, J] and `counted` [J]."""

    correct: NDArray[np.int64]
    counted: NDArray[np.int64]


def jhmdb_pck(
    videos: Sequence[JhmdbVideo], alphas: Sequence[float] = ALPHAS, *, reference: bool = False
) -> dict[str, float]:
    """`PCK@alpha` in percent over all videos; NaN if a joint was never counted."""
    counts = [jhmdb_counts(video, alphas, reference=reference) for video in videos]
    correct, counted = (np.sum([getattr(count, name) for count in counts], axis=0) for name in JhmdbCounts._fields)
    return {f"PCK@{alpha}": joint_average(row, counted) for alpha, row in zip(alphas, correct, strict=True)}


def jhmdb_counts(video: JhmdbVideo, alphas: Sequence[float] = ALPHAS, *, reference: bool = False) -> JhmdbCounts:
    """What one video adds to the counts that `PCK@alpha` is made of."""
    distances, counted = _normalized_distances(video, reference=reference)
    correct = np.stack([((distances <= alpha) & counted).sum(1) for alpha in alphas])
    return JhmdbCounts(correct, counted.sum(1))


def joint_average(correct: NDArray[Any], counted: NDArray[Any]) -> float:
    """Percentage of each joint [J], averaged over joints; NaN if a joint was never counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(100.0 * correct / counted))


def _normalized_distances(video: JhmdbVideo, *, reference: bool) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distance over box size, and whether it is counted, both [J, T] (without frame 0 by default)."""
    first = 0 if reference else 1
    truth = video.truth[:, first:].astype(np.float64)
    predicted = video.predicted[:, first : video.truth.shape[1]].astype(np.float64)
    if predicted.shape != truth.shape:
        raise ValueError(
            f"a video has {video.predicted.shape[:2]} predicted (joints, frames) for {video.truth.shape[:2]} "
            "annotated ones: predict every joint in every annotated frame"
        )
    counted = predicted[..., 0] > 0 if reference else np.ones(truth.shape[:2], bool)
    masked = np.where(counted[..., None], truth, np.nan)
    box = np.fmax.reduce(masked, axis=0) - np.fmin.reduce(masked, axis=0)
    distance = np.linalg.norm(predicted - truth, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized: NDArray[np.float64] = distance / (0.6 * np.linalg.norm(box, axis=-1))
    return normalized, counted
