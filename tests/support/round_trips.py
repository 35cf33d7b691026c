"""What the tests of points that are followed home share: weights, queries, a tracker that judges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.pipeline import PointFrame, point_frames
from fgvc_deploy.settings import RoundTripSettings, VisibilitySettings
from fgvc_deploy.trackers.points import PointTracker

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
SEEN = VisibilitySettings(bias=3.0, peak=1.0, similarity=0.0, log_mass=0.0)
HOME = RoundTripSettings(bias=1.0, peak=1.0, similarity=0.5, log_mass=0.5, log_gap=-0.5, log_home=-1.0, threshold=0.4)
QUERIES_TYX = np.array([[0, 20, 22], [3, 40, 41.5], [0, 33, 30]], np.float32)
STARTS = np.array([0, 3, 0])


def tracker(make: EngineFactory, home: RoundTripSettings | None = HOME) -> PointTracker:
    engine = make()
    engine.propagation = engine.propagation.model_copy(update={"visibility": SEEN, "round_trip": home})
    return PointTracker(engine)


def run(
    clip: Clip, tracker: PointTracker, queries: NDArray[np.float32], bidirectional: bool = False
) -> list[PointFrame]:
    return list(point_frames(clip, tracker, queries, round_trip=True, bidirectional=bidirectional))


def gaps(results: list[PointFrame]) -> NDArray[np.float32]:
    """[N, T]"""
    return np.stack([result.gap for result in results if result.gap is not None], axis=1)
