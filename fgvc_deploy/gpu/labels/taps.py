"""The read-out's tables on the device: where upsampled pixels read their label map, made from `readout.resample`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.gpu.launches.readout_plans import DeviceTaps
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.tables import DeviceTables
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.readout.resample import Taps, map_taps


class TapTables:
    """Tables of rows and columns for one read-out; uploaded when the geometry is new.

    Use it inside `session.working()`.
    """

    def __init__(self, session: GpuSession) -> None:
        self._tables = DeviceTables(session)

    def starts(self, grid: ReadGrid) -> tuple[DeviceTaps, DeviceTaps]:
        """For points: `start` int32 [features + 1], the first pixel of each cell, and weights fp32 [pixels]."""
        both = map_taps(grid.feature_hw, grid.network_hw, grid.stride, grid.network_hw, grid.compat)
        arrays = [
            (np.searchsorted(taps.low, np.arange(features + 1)).astype(np.int32), taps.weight)
            for taps, features in zip(both, grid.feature_hw, strict=True)
        ]
        return self._upload(arrays)

    def lows(self, grid: ReadGrid, out_hw: tuple[int, int]) -> tuple[DeviceTaps, DeviceTaps]:
        """For masks of `out_hw`: `low` int32 [pixels], the feature before each pixel, and weights fp32 [pixels]."""
        both = map_taps(grid.feature_hw, out_hw, grid.stride, grid.network_hw, grid.compat)
        return self._upload([(_lows(taps), taps.weight) for taps in both])

    def ids(self, ids: NDArray[np.uint8]) -> int:
        """Address of a table of bytes."""
        padded = np.pad(ids, (0, -len(ids) % 4))
        self._tables.reserve(len(padded) // 4, 1)
        return self._tables.address(padded.view(np.int32))

    def _upload(self, axes: list[tuple[NDArray[np.int32], NDArray[np.float32]]]) -> tuple[DeviceTaps, DeviceTaps]:
        rows, cols = axes
        self._tables.reserve(sum(len(a) + len(b) for a, b in axes) + 64, 5)
        return self._device(*rows), self._device(*cols)

    def _device(self, index: NDArray[np.int32], weight: NDArray[np.float32]) -> DeviceTaps:
        bits = np.ascontiguousarray(weight, np.float32).view(np.int32)
        return DeviceTaps(self._tables.address(index), self._tables.address(bits))


def _lows(taps: Taps) -> NDArray[np.int32]:
    return taps.low.astype(np.int32)
