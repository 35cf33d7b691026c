"""Small int32 tables on the device that come again and again: key frames of a step, offsets of a window.

Each is uploaded once and found by its content afterwards.  That matters for slot tables: there is one for each phase
of the ring, and a step that always names the same addresses can be replayed from a graph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.gpu.stream.session import GpuSession

CAPACITY = 1 << 16
# Tables start on 128 bytes: kernels load offsets in vectors of 16 bytes.
ALIGNED = 32


class DeviceTables:
    """int32 tables by content, for one tracker.  Use it inside `session.working()`."""

    def __init__(self, session: GpuSession, capacity: int = CAPACITY) -> None:
        self._session = session
        self._capacity = capacity
        self._pinned = session.pinned((capacity,), np.int32, "tables")
        self._buffer = session.pool.take(4 * capacity, "tables")
        self._places: dict[bytes, int] = {}
        self._used = 0

    def reserve(self, values: int, tables: int) -> None:
        """Make sure that so many more tables with so many values in all fit; earlier ones may be forgotten for it.

        Addresses handed out before must not be used for new steps afterwards.
        """
        needed = values + tables * ALIGNED
        if self._used + needed <= self._capacity:
            return
        # Steps under way may still read the old tables, from memory that is about to change.
        self._session.driver.synchronise(self._session.stream, "finish the steps under way")
        self._places.clear()
        self._used = 0
        if needed > self._capacity:
            self._session.unpin(self._pinned)
            self._buffer.release()
            self._capacity = 2 * needed
            self._pinned = self._session.pinned((self._capacity,), np.int32, "tables")
            self._buffer = self._session.pool.take(4 * self._capacity, "tables")

    def address(self, values: NDArray[np.int32]) -> int:
        """Where a table with these values lies; uploaded first if it is new, by way of pinned memory of its own."""
        key = values.tobytes()
        if key not in self._places:
            self._places[key] = self._upload(values)
        return self._buffer.address + 4 * self._places[key]

    def _upload(self, values: NDArray[np.int32]) -> int:
        start, stop = self._used, self._used + len(values)
        if stop > self._capacity:
            raise ValueError("tables were used without being reserved")
        self._pinned.array[start:stop] = values
        self._session.driver.upload(
            self._buffer.address + 4 * start, self._pinned.address + 4 * start, 4 * len(values), self._session.stream
        )
        self._used = -(-stop // ALIGNED) * ALIGNED
        return start
