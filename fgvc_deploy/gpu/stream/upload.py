"""Getting a frame onto the device: two pinned buffers in turn, so that one is filled while the other is copied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.gpu.stream.session import GpuSession


class Uploader:
    """Uploads float32 arrays of one shape.  Use it inside `session.working()`."""

    def __init__(self, session: GpuSession, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._session = session
        self._pinned = [session.pinned(shape, np.float32, "frames on their way to the GPU") for _ in range(2)]
        self._copied = [session.event() for _ in range(2)]
        self._device = session.pool.take(self._pinned[0].bytes, "a frame")
        self._turn = 0

    def upload(self, array: NDArray[np.float32]) -> int:
        """Enqueue the copy; returns the device address, valid until the next upload.

        Returns as soon as the array may be changed.  Waits only when the copy before the last one is not done yet.
        """
        turn, self._turn = self._turn, 1 - self._turn
        session, pinned = self._session, self._pinned[turn]
        session.driver.wait_event(self._copied[turn], "wait for an earlier frame to reach the GPU")
        np.copyto(pinned.array, array)
        session.driver.upload(self._device.address, pinned.address, pinned.bytes, session.stream)
        session.driver.record_event(self._copied[turn], session.stream)
        return self._device.address

    def close(self) -> None:
        """Give the memory back; waits for the copies under way."""
        for turn, pinned in enumerate(self._pinned):
            self._session.driver.wait_event(self._copied[turn], "wait for a frame to reach the GPU")
            self._session.unpin(pinned)
            self._session.drop(self._copied[turn])
        self._device.release()
