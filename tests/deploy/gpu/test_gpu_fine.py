"""The fine stage beside the GPU: pictures are made on the host, whatever computes features and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.trackers.points import PointTracker

from .conftest import Engines

QUERIES_TYX = np.array([[0, 12, 20], [3, 20, 31.5], [0, 22, 14]], np.float32)


def test_points_are_refined_as_on_the_cpu(engines: Engines, clip: NDArray[np.uint8]) -> None:
    tracks = []
    for engine in engines(fine="patch"):
        tracker = PointTracker(engine)
        tracks.append(np.stack([r.xy for r in point_frames(clip[:9], tracker, QUERIES_TYX)], axis=1))
        assert tracker.timer.summary()["fine"].count == 9
    # Labels differ in the order of summation; an alignment stops at a step below .01 px, from wherever it came.
    np.testing.assert_allclose(tracks[0], tracks[1], atol=0.02)
    truth = QUERIES_TYX[0, :0:-1] + np.arange(9)[:, None] * [1, 0.5]
    # The clip moves down by a whole pixel every other frame.
    assert np.abs(tracks[1][0] - truth).max() < 0.6
