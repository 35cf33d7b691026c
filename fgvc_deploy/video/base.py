"""What a frame source is: the class that every kind of source extends.

No reading happens here.  `source.py` decides which kind a string names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]


class FrameSource(ABC):
    """Frames of one clip in order: uint8 RGB [H, W, 3], C-contiguous, all of one size.  A context manager.

    Everything but the frames is known once the source is open: the first frame has been decoded by then.
    Frames may share memory with the caller's array: treat them as read-only.

    Iterating raises `SourceFault` when a frame cannot be read or has another size; the frames delivered before it are
    intact and correctly numbered.  Iterating again starts from the first frame when `reopenable`, and raises
    `InputError` otherwise.
    """

    name: str
    """For people: the path, URL or camera as given."""
    hw: tuple[int, int]
    """(height, width) of every frame, after rotation metadata was applied."""
    fps: float | None = None
    """Average frames per second; None where the source has no clock (images, arrays)."""
    frame_count: int | None = None
    """Exact number of frames as far as the container can be trusted; None where it cannot, or for live sources."""
    frame_estimate: int | None = None
    """`frame_count`, or a guess from duration and rate: good enough for a progress bar and nothing else."""
    reopenable: bool = True
    """Whether the source can be iterated more than once (bidirectional tracking needs that)."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Deliver the frames from the first one on."""

    @abstractmethod
    def close(self) -> None:
        """Release every file, socket and decoder.  May be called more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
