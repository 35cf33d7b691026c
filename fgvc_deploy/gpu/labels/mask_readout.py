"""The mask read-out on the device: label maps to object ids of every source pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.labels.label_group import DeviceLabelGroup
from fgvc_deploy.gpu.labels.taps import TapTables
from fgvc_deploy.gpu.launches import readout_plans as plans
from fgvc_deploy.gpu.stream.results import Results
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Download, Operation
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.readout.masks import UInt8Array


class MaskReadout:
    """`enqueue` a step with the read-out of one group behind it, then ask for the `answer`.

    Raises BundleError when the bundle lacks the kernels.
    """

    def __init__(self, session: GpuSession, results: Results) -> None:
        self._session = session
        self._results = results
        self._taps = TapTables(session)
        self._ids = TapTables(session)
        self._ranges_kernel = session.kernels.get("mask_ranges")
        self._kernel = session.kernels.get("argmax_masks", REFERENCE=False)
        self._buffers: tuple[DeviceBuffer, DeviceBuffer] | None = None

    def enqueue(
        self,
        step: Sequence[Operation],
        group: DeviceLabelGroup,
        grid: ReadGrid,
        ids: UInt8Array,
        out_hw: tuple[int, int],
    ) -> None:
        """Inside `session.working()`.  Channels beyond the group's own are zero, and a faint class never wins."""
        maps = plans.DeviceMaps(group.newest_address, grid.feature_hw, group.channels, group.count)
        ranges, mask = self._room(maps, out_hw)
        rows, cols = self._taps.lows(grid, out_hw)
        known = np.pad(ids, (0, group.channels - len(ids)))
        launches = (
            plans.mask_ranges(self._ranges_kernel, maps, rows=rows, cols=cols, out_hw=out_hw, ranges=ranges.address),
            plans.argmax_masks(
                self._kernel,
                maps,
                rows=rows,
                cols=cols,
                out_hw=out_hw,
                ranges=ranges.address,
                ids=self._ids.ids(known),
                mask=mask.address,
            ),
        )
        size = out_hw[0] * out_hw[1]
        host = self._results.host(size)
        self._results.run((*step, *launches, Download(host, mask.address, size)))

    def answer(self, out_hw: tuple[int, int]) -> UInt8Array:
        """The mask that was enqueued, uint8 [H, W]."""
        return self._results.wait()[: out_hw[0] * out_hw[1]].reshape(out_hw).copy()

    def _room(self, maps: plans.DeviceMaps, out_hw: tuple[int, int]) -> tuple[DeviceBuffer, DeviceBuffer]:
        tiles = plans.mask_tiles(out_hw, (self._kernel.constant("TILE_Y"), self._kernel.constant("TILE_X")))
        sizes = 4 * 2 * maps.maps * tiles, out_hw[0] * out_hw[1]
        if self._buffers is None or any(b.size < size for b, size in zip(self._buffers, sizes, strict=True)):
            take = self._session.pool.take
            self._buffers = take(sizes[0], "ranges of masks"), take(sizes[1], "a mask")
        return self._buffers
