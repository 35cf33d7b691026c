"""On which frames ways home begin: few of them, covering as much as they can."""

from __future__ import annotations

import itertools

import numpy as np

from fgvc_deploy.pipeline.round_trip import departures


def test_everybody_leaves_on_the_last_frame_when_everybody_is_seen_there() -> None:
    assert departures(np.ones((9, 3), bool), np.array([0, 4, 8])).tolist() == [8, 8, -1]


def test_a_point_never_seen_again_does_not_leave() -> None:
    visible = np.ones((9, 3), bool)
    visible[:, 1] = False
    visible[5:, 2] = False
    # The third is past the end of the video, as a wrong query is.
    assert departures(visible, np.array([0, 0, 12])).tolist() == [8, -1, -1]


def test_few_departures_cover_most_frames() -> None:
    """Ten points each seen up to a frame of its own, one of them hidden on the best of these frames."""
    visible = np.arange(50)[:, None] < np.arange(5, 55, 5)
    visible[44, 9] = False
    leaving = departures(visible, np.zeros(10, np.int64), 3)
    assert len(set(leaving.tolist()) - {-1}) == 3
    for point, frame in enumerate(leaving):
        assert frame == -1 or visible[frame, point]
    covered = int(leaving.clip(min=0).sum())
    # Any one frame c covers c for each of the points seen there; no three of them cover more than the best three.
    best = max(
        sum(max((c for c in chosen if visible[c, p]), default=0) for p in range(10))
        for chosen in itertools.combinations(range(4, 50, 5), 3)
    )
    assert covered >= (1 - 1 / np.e) * best, "what choosing one after the other guarantees at least"


def test_departures_are_few_whatever_was_seen() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        visible, starts = rng.random((40, 30)) < 0.5, rng.integers(0, 40, 30)
        leaving = departures(visible, starts)
        left = leaving >= 0
        assert len(set(leaving[left].tolist())) <= 4
        assert (leaving[left] > starts[left]).all()
        assert visible[leaving[left], np.flatnonzero(left)].all()
