"""DAVIS: region similarity J and boundary accuracy F of object masks, by the official definitions, in plain NumPy.

Boundaries are one pixel wide; a boundary pixel is matched if the other mask's boundary passes within
ceil(0.008 * image diagonal) pixels of it (a disk).  Semi-supervised figures leave out the first frame, whose mask is
given, and the last.  Equal to the PyPI package vos-benchmark 0.1.0, which it is tested against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
BOUND_TH = 0.008
"""Boundary tolerance as a fraction of the image diagonal."""


class FrameScores(NamedTuple):
    """J and F, 0..1, of one object in every scored frame, float64 [frames]."""

    region: NDArray[np.float64]
    boundary: NDArray[np.float64]


class Statistics(NamedTuple):
    """DAVIS statistics of per-frame scores.

    `recall` is the share of frames above 0.5, `decay` the mean of the first quarter minus that of the last.
    """

    mean: float
    recall: float
    decay: float


def score_masks(
    predicted: Sequence[NDArray[Any]], truth: Sequence[NDArray[Any]], *, skip_ends: bool = True
) -> dict[int, FrameScores]:
    """Scores of every object of `truth`, by id: label maps [H, W] per frame, 0 = background.

    `skip_ends` leaves out the first and last frame.  An object is scored from the first frame in which either side
    shows it.  Raises ValueError if numbers of frames or shapes differ, or no frame is left.
    """
    if len(predicted) != len(truth):
        raise ValueError(f"{len(predicted)} predicted masks for {len(truth)} true ones: predict every frame")
    frames = range(1, len(truth) - 1) if skip_ends else range(len(truth))
    if not frames:
        raise ValueError(f"a sequence of {len(truth)} masks leaves no frame to score: it needs at least 3")
    scores: dict[int, list[tuple[float, float]]] = {}
    true_ids: set[int] = set()
    for frame in frames:
        if predicted[frame].shape != truth[frame].shape:
            raise ValueError(
                f"the mask of frame {frame} is {predicted[frame].shape} but the true one {truth[frame].shape}: "
                "score at the size of the annotation"
            )
        ids = _object_ids(truth[frame])
        true_ids |= ids
        for object_id in sorted(true_ids | ids | _object_ids(predicted[frame]) | scores.keys()):
            pair = predicted[frame] == object_id, truth[frame] == object_id
            scores.setdefault(object_id, []).append((region_similarity(*pair), boundary_accuracy(*pair)))
    return {object_id: FrameScores(*np.array(scores[object_id]).T) for object_id in sorted(true_ids)}


def region_similarity(predicted: Bools, truth: Bools) -> float:
    """J: intersection over union of two masks [H, W]; 1 if both are empty."""
    union = int((predicted | truth).sum())
    return int((predicted & truth).sum()) / union if union else 1.0


def boundary_accuracy(predicted: Bools, truth: Bools, bound_th: float = BOUND_TH) -> float:
    """F: harmonic mean of precision and recall of the boundary; 1 if both masks have none, 0 if only one has."""
    radius = int(np.ceil(bound_th * np.linalg.norm(predicted.shape)))
    predicted_boundary, true_boundary = boundary_map(predicted), boundary_map(truth)
    predicted_count, true_count = int(predicted_boundary.sum()), int(true_boundary.sum())
    if not predicted_count or not true_count:
        return float(predicted_count == true_count)
    precision = int((predicted_boundary & dilate(true_boundary, radius)).sum()) / predicted_count
    recall = int((true_boundary & dilate(predicted_boundary, radius)).sum()) / true_count
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_map(mask: Bools) -> Bools:
    """Pixels that differ from their right, lower or lower right neighbour, where they have one; bool [H, W]."""
    boundary = np.zeros_like(mask)
    here = mask[:-1, :-1]
    boundary[:-1, :-1] = (here ^ mask[:-1, 1:]) | (here ^ mask[1:, :-1]) | (here ^ mask[1:, 1:])
    boundary[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    boundary[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return boundary


def dilate(mask: Bools, radius: int) -> Bools:
    """`mask` grown by the disk dx^2 + dy^2 <= radius^2, clipped at the image borders."""
    height, width = mask.shape
    # Running counts along rows: a pixel is reached from row y + dy if the count rises within dx of it there.
    counts = np.zeros((height, width + 2 * radius + 1), np.int32)
    np.cumsum(mask, axis=1, out=counts[:, radius + 1 : radius + 1 + width])
    counts[:, radius + 1 + width :] = counts[:, radius + width, None]
    grown = np.zeros_like(mask)
    vertical = min(radius, height - 1)
    for dy in range(-vertical, vertical + 1):
        reach = int(np.sqrt(radius**2 - dy**2))
        source = counts[max(0, dy) : height + min(0, dy)]
        after, before = (source[:, start : start + width] for start in (radius + reach + 1, radius - reach))
        grown[max(0, -dy) : height + min(0, -dy)] |= after > before
    return grown


def statistics(per_frame: NDArray[np.float64]) -> Statistics:
    """Mean, recall and decay of an object's per-frame scores, as the DAVIS evaluation reports them."""
    edges = np.round(np.linspace(1, len(per_frame), 5) + 1e-10).astype(int) - 1
    first, last = per_frame[edges[0] : edges[1] + 1], per_frame[edges[3] : edges[4] + 1]
    return Statistics(float(per_frame.mean()), float((per_frame > 0.5).mean()), float(first.mean() - last.mean()))


def _object_ids(labels: NDArray[Any]) -> set[int]:
    return {int(label) for label in np.unique(labels)} - {0}
