"""Tracking a whole clip at once, for tests that care for positions only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.trackers.points import PointTracker


def offline(
    clip: NDArray[np.uint8], engine: Engine, queries: NDArray[np.float32], bidirectional: bool = False
) -> NDArray[np.float32]:
    """Positions [N, T, 2] of queries [N, 3] (t, y, x)."""
    results = point_frames(clip, PointTracker(engine), queries, bidirectional=bidirectional)
    return np.stack([r.xy for r in results], axis=1)
