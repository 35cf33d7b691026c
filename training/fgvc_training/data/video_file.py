"""A video file as a training video: a few frames at a time, by seeking."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from fgvc_training.errors import DataError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")


class VideoFile:
    """A video file; frame i is the i-th in order of presentation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    def __len__(self) -> int:
        return len(self._timestamps)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The frames at ascending `indices`, uint8 RGB [n, H, W, 3].

        Raises DataError if the file is damaged there.
        """
        wanted = [self._timestamps[index] for index in indices]
        frames: dict[int, NDArray[np.uint8]] = {}
        try:
            with av.open(str(self.path)) as container:
                stream = container.streams.video[0]
                container.seek(wanted[0], stream=stream)
                for frame in container.decode(stream):
                    if frame.pts in wanted:
                        frames[frame.pts] = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                    if len(frames) == len(set(wanted)):
                        break
        except av.FFmpegError as error:
            raise DataError(f"the video {self.path} cannot be read ({error}): leave it out") from error
        if len(frames) != len(set(wanted)):
            raise DataError(f"the video {self.path} breaks off before frame {max(indices)}: leave it out")
        return np.stack([frames[timestamp] for timestamp in wanted])

    @cached_property
    def _timestamps(self) -> list[int]:
        """Presentation time of every frame, from the packets alone: nothing is decoded."""
        try:
            with av.open(str(self.path)) as container:
                packets = container.demux(container.streams.video[0])
                return sorted(packet.pts for packet in packets if packet.pts is not None)
        except (av.FFmpegError, IndexError) as error:
            raise DataError(f"the video {self.path} cannot be opened ({error}): leave it out") from error
