"""The way back of a finished pass: from about the last frame a point is seen on home to its query frame.

A track that is right can be followed back to where it began; one that slid onto something else ends elsewhere (Kalal
et al., Forward-Backward Error, ICPR 2010).  How far the ways are apart becomes part of the confidence
(docs/visibility.md).  Which passes there are is decided in `points.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.pipeline.passes import Frame, OnFrame
from fgvc_deploy.pipeline.point_pass import PointFrame, one_pass
from fgvc_deploy.settings import RoundTripSettings
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.trackers.visibility import Evidence, round_trip_confidence

DEPARTURES = 4
"""Frames that ways home begin on.  Points that begin together share their matching; every other beginning costs a
first frame of its own in the memory, and a merge on every frame."""


def follow_home(
    results: list[PointFrame],
    frames: Iterable[Frame],
    tracker: PointTracker,
    starts: NDArray[np.int64],
    on_frame: OnFrame | None,
) -> None:
    """Follow the points of a pass back to their queries on `starts` [N]; fills in `gap`, confidence and visibility.

    `results` are in the order of the pass that `tracker` made, and `frames` are theirs from the last one back to the
    first query's.  An interrupt leaves the gaps that are known; points whose way back did not reach the query frame
    keep the confidence of the pass.
    """
    gaps = np.full((len(results), len(starts)), np.nan, np.float32)
    results[:] = [result._replace(gap=gap) for result, gap in zip(results, gaps, strict=True)]
    leaving = departures(np.stack([result.visible for result in results]), starts)
    rows = np.flatnonzero(leaving > starts)
    if not len(rows):
        return
    newest = len(results) - 1
    xy = _inside(np.stack([results[leaving[row]].xy[row] for row in rows]), tracker.pixel_map.source_hw)
    try:
        for back in one_pass(frames, tracker.renewed(), xy, newest - leaving[rows], on_frame):
            t = newest - back.frame_index
            apart = np.linalg.norm(results[t].xy[rows] - back.xy, axis=1)
            # Before they leave, points have no position; beyond their query they go on, which says nothing.
            gaps[t, rows] = np.where(starts[rows] <= t, apart, np.nan)
    finally:
        if tracker.settings.round_trip is not None:
            _judge(results, starts, tracker.settings.round_trip, _network_scale(tracker))


def departures(visible: NDArray[np.bool_], starts: NDArray[np.int64], most: int = DEPARTURES) -> NDArray[np.int64]:
    """Frame [N] on which each point's way home begins, given where it was seen [T, N]; -1 for none.

    A point leaves on a frame after its query on which it is visible.  All leave on at most `most` frames, chosen one
    after the other so that the ways home together cover as many frames as can be.
    """
    frames, rows = np.arange(len(visible)), np.arange(len(starts))
    last = np.where(visible.any(axis=0), len(visible) - 1 - np.argmax(visible[::-1], axis=0), -1)
    leaving = np.full(len(starts), -1, np.int64)
    # Only where somebody was last seen can it be best to leave.
    for frame in _best_first(frames[np.isin(frames, last[last > starts])], visible, starts, most):
        later = visible[frame, rows] & (frame > starts) & (frame > leaving)
        leaving[later] = frame
    return leaving


def _best_first(
    candidates: NDArray[np.int64], visible: NDArray[np.bool_], starts: NDArray[np.int64], most: int
) -> Iterator[int]:
    """Up to `most` of the candidate frames, each the one that adds most frames to the ways home."""
    length = np.where(visible[candidates], candidates[:, None] - starts, 0).clip(min=0)
    covered = np.zeros(len(starts), np.int64)
    for _ in range(min(most, len(candidates))):
        gain = np.maximum(length, covered).sum(axis=1) - covered.sum()
        best = int(gain.argmax())
        if not gain[best]:
            return
        yield int(candidates[best])
        covered = np.maximum(covered, length[best])


def _judge(
    results: list[PointFrame], starts: NDArray[np.int64], settings: RoundTripSettings, network_scale: np.float32
) -> None:
    """Confidence and visibility where the way back passed on to the query frame; elsewhere they stay."""
    gaps = np.stack([result.gap for result in results if result.gap is not None])
    home = gaps[starts.clip(max=len(gaps) - 1), np.arange(len(starts))]
    for t, (result, gap) in enumerate(zip(results, gaps, strict=True)):
        if result.evidence is None:
            continue
        rows = np.flatnonzero(np.isfinite(home) & np.isfinite(gap) & (starts < t))
        evidence = Evidence(*(part[rows] for part in result.evidence))
        sure = round_trip_confidence(evidence, gap[rows] * network_scale, home[rows] * network_scale, settings)
        # A vanished label stays at 0, as in the pass itself.
        sure[result.confidence[rows] == 0] = 0
        result.confidence[rows], result.visible[rows] = sure, sure >= settings.threshold


def _network_scale(tracker: PointTracker) -> np.float32:
    """Network pixels in a source pixel, the mean of both axes."""
    network, source = tracker.network_hw, tracker.pixel_map.source_hw
    return np.float32((network[0] / source[0] + network[1] / source[1]) / 2)


def _inside(xy: NDArray[np.float32], hw: tuple[int, int]) -> NDArray[np.float32]:
    """Positions moved into the frame: the fine stage may leave it by a fraction of a pixel."""
    return xy.clip(0, np.array([hw[1] - 1, hw[0] - 1], np.float32))
