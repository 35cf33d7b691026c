"""A clip that is already in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.video.base import Frame, FrameSource


class ArraySource(FrameSource):
    """Frames of a uint8 RGB array [T, H, W, 3].  Nothing is copied unless a frame is not C-contiguous."""

    def __init__(self, frames: NDArray[Any]) -> None:
        if frames.ndim != 4 or frames.shape[-1] != 3:
            raise InputError(f"The clip has shape {frames.shape}; give a uint8 RGB array of shape [T, H, W, 3].")
        if frames.dtype != np.uint8:
            raise InputError(f"The clip has dtype {frames.dtype}; give uint8 RGB (0..255), for example by rounding.")
        if 0 in frames.shape:
            raise InputError(f"The clip of shape {frames.shape} holds no pixels; give at least one frame.")
        self._frames: NDArray[np.uint8] = frames
        self.name = f"array of {len(frames)} frames"
        self.hw = (frames.shape[1], frames.shape[2])
        self.frame_count = self.frame_estimate = len(frames)

    def __iter__(self) -> Iterator[Frame]:
        return (np.ascontiguousarray(frame) for frame in self._frames)

    def close(self) -> None:
        """Nothing is held open."""
