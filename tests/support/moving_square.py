"""A stand-in for a tracker that knows how `tiny_data` moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import tiny_data
from fgvc_benchmarks.datasets.frames import Frames
from fgvc_deploy.tracks import Tracks


class MovingSquare:
    """Stands for a tracker: every point moves as the square does, plus `error` pixels; `asked` are the calls."""

    def __init__(self, error: tuple[float, float] = (0.0, 0.0)) -> None:
        self.error = np.array(error)
        self.asked: list[dict[str, Any]] = []

    def points(
        self, frames: Frames, queries_tyx: NDArray[Any], *, keypoints: bool = False, bidirectional: bool = False
    ) -> Tracks:
        self.asked.append({"queries": queries_tyx, "keypoints": keypoints, "bidirectional": bidirectional})
        times = np.arange(len(frames))[None, :, None] - queries_tyx[:, :1, None]
        tracks = queries_tyx[:, None, :0:-1] + times * tiny_data.SHIFT + (times != 0) * self.error
        seen = np.ones(tracks.shape[:2], bool)
        return Tracks(tracks.astype(np.float32), seen, seen.astype(np.float32), queries_tyx.astype(np.float32))

    def masks(self, frames: Frames, first_mask: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        return list(tiny_data.masks(len(frames), int(first_mask.max())))
