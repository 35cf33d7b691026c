"""Where answers of a step arrive: pinned memory, and the event that says they are there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.gpu.device.memory import PinnedArray
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Step


class Results:
    """One tracker's answers, one step at a time: `host`, then `run`, then `wait`."""

    def __init__(self, session: GpuSession) -> None:
        self._session = session
        self._done = session.event()
        self._pinned: PinnedArray | None = None

    def host(self, size: int) -> int:
        """Address of pinned memory for so many bytes; inside `session.working()`, with no step under way."""
        if self._pinned is None or len(self._pinned.array) < size:
            if self._pinned is not None:
                self._session.unpin(self._pinned)
            self._pinned = self._session.pinned((max(1, size),), np.uint8, "results")
        return self._pinned.address

    def run(self, step: Step) -> None:
        """Enqueue a step whose last operations fill the memory; inside `session.working()`."""
        self._session.steps.run(step)
        self._session.driver.record_event(self._done, self._session.stream)

    def wait(self) -> NDArray[np.uint8]:
        """The memory, filled; valid until the next step.  Others may use the GPU meanwhile."""
        self._session.wait(self._done, "track a frame")
        if self._pinned is None:
            raise ValueError("nothing was asked for")
        return self._pinned.array

    def close(self) -> None:
        """Free memory and event, which ends the use of this object; nothing may be on its way."""
        self._session.drop(self._done)
        if self._pinned is not None:
            self._session.unpin(self._pinned)
            self._pinned = None
