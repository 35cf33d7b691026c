"""Features of frames on the device: one buffer with a place for each frame that is still needed.

The matching kernel takes the whole buffer and a table of places, so a frame stays where it was put, and a group's
first frame needs no copy.  A place is free again when nothing refers to its `DeviceFeatures` any more.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Copy

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

    @property
    def coarse_address(self) -> int:
        """Where the frame's pooled features lie; only in an arena with a scale."""
        return self.arena.coarse_base + self.slot * self.arena.coarse_bytes

    def __del__(self) -> None:
        # May run in any thread at any time, so it only leaves a note.
        self._returned.append(self.slot)


class FeatureArena:
    """Places for the features of frames of one size; grows when all are taken.

    `kind` is the kernels' feature type.  With a `scale`, frames have pooled features too, one for each cell of
    scale x scale pixels, in places of the same numbers.  Use it inside `session.working()`.
    """

    limit: ClassVar[int] = np.iinfo(np.int32).max

    def __init__(
        self,
        session: GpuSession,
        hw: tuple[int, int],
        channels: int,
        kind: str,
        places: int,
        scale: int | None = None,
    ) -> None:
        self.hw = hw
        self.coarse_hw = (-(-hw[0] // scale), -(-hw[1] // scale)) if scale else (0, 0)
        self.frame_bytes, self.coarse_bytes = (
            height * width * channels * FEATURE_BYTES[kind] for height, width in (hw, self.coarse_hw)
        )
        self._session = session
        self._buffer, self._coarse = self._take(places)
        self._returned: deque[int] = deque()
        # A stack: the place freed last is used next, so that places, and with them whole steps, come again soon.
        self._free = list(range(places))[::-1]
        self._places = places

    @property
    def base(self) -> int:
        """Address of place 0."""
        return self._buffer.address

    @property
    def coarse_base(self) -> int:
        """Address of the pooled features of place 0."""
        return self._coarse.address

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
        old = self._buffer, self._coarse
        self._buffer, self._coarse = self._take(places)
        sizes = (self.frame_bytes, self.coarse_bytes)
        moves = zip((self._buffer, self._coarse), old, sizes, strict=True)
        self._session.steps.run(
            tuple(Copy(new.address, past.address, self._places * size) for new, past, size in moves if size)
        )
        self._free = list(range(self._places, places))[::-1]
        self._places = places
        for buffer in old:
            buffer.release()

    def _take(self, places: int) -> tuple[DeviceBuffer, DeviceBuffer]:
        what = f"the features of {places} frames of {self.hw[1]}x{self.hw[0]}"
        take = self._session.pool.take
        return take(places * self.frame_bytes, what), take(places * self.coarse_bytes, f"{what}, pooled")
