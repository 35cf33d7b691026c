"""Features of frames on the device: one buffer with a place for each frame that is still needed.

The matching kernel takes the whole buffer and a table of places, so a frame stays where it was put, and a group's
first frame needs no copy.  A place is free again when nothing refers to its `DeviceFeatures` any more.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.gpu.memory import DeviceBuffer
from fgvc_deploy.gpu.session import GpuSession
from fgvc_deploy.gpu.steps import Copy

FEATURE_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}


class DeviceFeatures:
    """Unit features [H*W, C] of one frame, in place `slot` of an arena, which gets the place back in the end."""

    __slots__ = ("_returned", "arena", "slot")

    def __init__(self, arena: FeatureArena, slot: int, returned: deque[int]) -> None:
        self.arena = arena
        self.slot = slot
        self._returned = returned

    @property
    def address(self) -> int:
        """Where the features lie now; the arena moves when it grows."""
        return self.arena.base + self.slot * self.arena.frame_bytes

    def __del__(self) -> None:
        # May run in any thread at any time, so it only leaves a note.
        self._returned.append(self.slot)


class FeatureArena:
    """Places for the features of frames of one size; grows when all are taken.

    `kind` is the kernels' feature type.  Use it inside `session.working()`.
    """

    limit: ClassVar[int] = np.iinfo(np.int32).max

    def __init__(self, session: GpuSession, hw: tuple[int, int], channels: int, kind: str, places: int) -> None:
        self.hw = hw
        self.frame_bytes = hw[0] * hw[1] * channels * FEATURE_BYTES[kind]
        self._session = session
        self._buffer = self._take(places)
        self._returned: deque[int] = deque()
        # A stack: the place freed last is used next, so that places, and with them whole steps, come again soon.
        self._free = list(range(places))[::-1]
        self._places = places

    @property
    def base(self) -> int:
        """Address of place 0."""
        return self._buffer.address

    def claim(self) -> DeviceFeatures:
        """A free place, content undefined."""
        while self._returned:
            self._free.append(self._returned.popleft())
        if not self._free:
            self._grow()
        return DeviceFeatures(self, self._free.pop(), self._returned)

    def _grow(self) -> None:
        """Half as many places again: a tracker with many groups keeps a first frame for each."""
        places = self._places + max(2, self._places // 2)
        if places * self.hw[0] * self.hw[1] > self.limit:
            raise InputError(
                "there are more query frames than the GPU can number; remove points, or choose a smaller --size."
            )
        old, self._buffer = self._buffer, self._take(places)
        self._session.steps.run((Copy(self._buffer.address, old.address, self._places * self.frame_bytes),))
        self._free = list(range(self._places, places))[::-1]
        self._places = places
        old.release()

    def _take(self, places: int) -> DeviceBuffer:
        what = f"the features of {places} frames of {self.hw[1]}x{self.hw[0]}"
        return self._session.pool.take(places * self.frame_bytes, what)
