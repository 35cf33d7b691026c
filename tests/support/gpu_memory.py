"""Device memory as the emulated drivers see it: host memory with bounds, poisoned where nothing was written."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGNMENT = 256


class IllegalAddressError(Exception):
    """A kernel or copy went outside the memory that was allocated."""


class EmulatedMemory:
    """Allocations with real addresses.  Fresh memory is all ones: NaN as fp16 and fp32, -1 as int32."""

    def __init__(self) -> None:
        self.live: dict[int, NDArray[np.uint8]] = {}
        self._bases: dict[int, NDArray[np.uint8]] = {}

    def allocate(self, size: int) -> int:
        base = np.full(size + ALIGNMENT, 0xFF, np.uint8)
        offset = -base.ctypes.data % ALIGNMENT
        address = base.ctypes.data + offset
        self._bases[address] = base
        self.live[address] = base[offset : offset + size]
        return address

    def free(self, address: int) -> None:
        self.live.pop(address)[...] = 0xFF
        self._bases.pop(address)

    def view(self, address: int, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """The values at an address, writable; IllegalAddressError unless they lie within one allocation."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        for start, block in self.live.items():
            if start <= address and address + size <= start + len(block):
                return block[address - start : address - start + size].view(dtype).reshape(shape)
        raise IllegalAddressError(f"{size} bytes at {address:#x} are not within one allocation")

    def copy(self, target: int, source: int, size: int) -> None:
        """Between two places of device memory."""
        self.view(target, np.uint8, (size,))[...] = self.view(source, np.uint8, (size,))

    def write(self, target: int, host: int, size: int) -> None:
        """From host memory, which is not checked."""
        self.view(target, np.uint8, (size,))[...] = np.frombuffer(ctypes.string_at(host, size), np.uint8)

    def read(self, host: int, source: int, size: int) -> None:
        """To host memory, which is not checked."""
        ctypes.memmove(host, self.view(source, np.uint8, (size,)).tobytes(), size)
