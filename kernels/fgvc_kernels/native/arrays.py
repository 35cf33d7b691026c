"""Checks and allocation of the arrays whose pointers go to the library: a wrong one must never get there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fgvc_kernels.native.errors import NativeArgumentError

ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Uninitialised C-contiguous array that starts on a cache line."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    block = np.empty(size + ALIGNMENT, np.uint8)
    offset = -block.ctypes.data % ALIGNMENT
    return block[offset : offset + size].view(dtype).reshape(shape)


def require_array(name: str, array: NDArray[Any], dtype: DTypeLike, shape: Sequence[int | None]) -> None:
    """Raise NativeArgumentError unless `array` has this type, this shape (None = any size) and is C-contiguous."""
    wanted = "x".join("?" if size is None else str(size) for size in shape)
    if not isinstance(array, np.ndarray):
        raise NativeArgumentError(f"`{name}` must be a NumPy array, not {type(array).__name__}.")
    if array.dtype != np.dtype(dtype):
        raise NativeArgumentError(f"`{name}` must be {np.dtype(dtype)}, not {array.dtype}: convert it.")
    fits = array.ndim == len(shape) and all(
        want in (None, have) for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise NativeArgumentError(f"`{name}` must be {wanted}, not {'x'.join(map(str, array.shape)) or 'a scalar'}.")
    if not array.flags.c_contiguous or not array.flags.aligned:
        raise NativeArgumentError(f"`{name}` must be C-contiguous: pass np.ascontiguousarray({name}).")


def require_between(name: str, value: int, low: int, high: int) -> None:
    """Raise NativeArgumentError unless low <= value <= high."""
    if not low <= value <= high:
        raise NativeArgumentError(f"`{name}` must be {low} to {high}, not {value}.")
