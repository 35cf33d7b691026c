"""Device and pinned memory of one session: taken once, handed out again, all freed when the session ends.

A buffer given back may still be in use by work already enqueued.  That is safe because a session has one stream:
whoever gets the memory next can only use it behind that work.  Pinned memory has no such protection; its users wait.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fgvc_deploy.gpu.device.driver import Driver
from fgvc_deploy.gpu.device.faults import CudaError

# Sizes are rounded up so that maps of nearly the same size share memory; vector loads may touch the padding.
UNIT = 512


class DeviceBuffer:
    """Memory on the device: `address` and usable `size`.  Goes back to its pool when released or forgotten."""

    def __init__(self, pool: DevicePool, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self._pool: DevicePool | None = pool

    def release(self) -> None:
        """Give the memory back; again does nothing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.returned.append((self.size, self.address))

    def __del__(self) -> None:
        # May run in any thread at any time: appending to a deque is all it does, the pool collects later.
        self.release()


class DevicePool:
    """Hands out device memory and keeps what comes back, by size.  Not thread-safe: the session's lock guards it."""

    def __init__(self, driver: Driver) -> None:
        self.returned: deque[tuple[int, int]] = deque()
        self._driver = driver
        self._free: dict[int, list[int]] = defaultdict(list)
        self._all: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """Device memory held, in use or not."""
        return sum(self._all.values())

    def take(self, size: int, what: str) -> DeviceBuffer:
        """A buffer of at least `size` bytes with undefined content; `what` names it when memory runs out.

        When the device is full, idle buffers of other sizes are freed before giving up.
        """
        rounded = max(UNIT, -(-size // UNIT) * UNIT)
        self._collect()
        if self._free[rounded]:
            return DeviceBuffer(self, self._free[rounded].pop(), rounded)
        doing = f"get {rounded / 1e6:.1f} MB for {what}"
        try:
            address = self._driver.allocate(rounded, doing)
        except CudaError as error:
            if error.code != _OUT_OF_MEMORY or not self.trim():
                raise
            address = self._driver.allocate(rounded, doing)
        self._all[address] = rounded
        return DeviceBuffer(self, address, rounded)

    def trim(self) -> int:
        """Free every idle buffer; returns how many bytes.  Waits for the device, which may still be using them."""
        self._collect()
        freed = 0
        for size, addresses in self._free.items():
            for address in addresses:
                self._driver.free(address)
                freed += self._all.pop(address, 0) and size
        self._free.clear()
        return freed

    def close(self) -> None:
        """Free everything, in use or not; in a lost context, whose memory is gone already, that fails silently."""
        for address in self._all:
            with suppress(CudaError):
                self._driver.free(address)
        self._all.clear()
        self._free.clear()
        self.returned.clear()

    def _collect(self) -> None:
        while self.returned:
            size, address = self.returned.popleft()
            if address in self._all:
                self._free[size].append(address)


_OUT_OF_MEMORY = 2


class PinnedArray:
    """Page-locked host memory seen as a NumPy array; lives until `close`, whatever refers to it."""

    def __init__(self, driver: Driver, shape: tuple[int, ...], dtype: DTypeLike, what: str) -> None:
        self._driver = driver
        self.bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.address = driver.allocate_pinned(max(1, self.bytes), f"get {self.bytes / 1e6:.1f} MB for {what}")
        raw: Any = (ctypes.c_uint8 * self.bytes).from_address(self.address)
        self.array: NDArray[Any] = np.frombuffer(raw, dtype).reshape(shape)

    def close(self) -> None:
        """Free the memory; the array must not be touched any more."""
        address, self.address = self.address, 0
        self.array = np.empty(0, self.array.dtype)
        if address:
            with suppress(CudaError):
                self._driver.free_pinned(address)
