"""The point read-out on the device: label maps of all groups to coordinates and confidence, in one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.gpu import readout_plans as plans
from fgvc_deploy.gpu.label_group import DeviceLabelGroup
from fgvc_deploy.gpu.memory import DeviceBuffer
from fgvc_deploy.gpu.results import Results
from fgvc_deploy.gpu.session import GpuSession
from fgvc_deploy.gpu.steps import Download, Launch, Operation
from fgvc_deploy.gpu.taps import TapTables
from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.readout.grid import ReadGrid

# x, y and confidence of a label map.
FLOATS = 3


class PointReadouts:
    """`enqueue` a step with the read-out of every group behind it, then ask for the `answer`.

    Raises BundleError when the bundle lacks the kernels.
    """

    def __init__(self, session: GpuSession, results: Results) -> None:
        self._session = session
        self._results = results
        self._taps = TapTables(session)
        self._bounds_kernel = session.kernels.get("readout_bounds")
        self._kernel = session.kernels.get("readout", REFERENCE=False)
        self._bounds: DeviceBuffer | None = None
        self._answers: DeviceBuffer | None = None

    def enqueue(self, step: Sequence[Operation], groups: Sequence[DeviceLabelGroup], grid: ReadGrid) -> None:
        """Inside `session.working()`."""
        starts = _starts(groups)
        size = 4 * starts[-1]
        answers = self._answers = self._room(self._answers, size, "coordinates")
        operations = list(step)
        taps = self._taps.starts(grid)
        for group, start in zip(groups, starts, strict=False):
            operations += self._read(group, grid, taps, answers.address + 4 * start)
        host = self._results.host(size)
        self._results.run((*operations, Download(host, answers.address, size)))

    def answer(self, groups: Sequence[DeviceLabelGroup]) -> list[PointReadout]:
        """Coordinates in network pixels and confidence of every group that was enqueued."""
        values = self._results.wait()[: 4 * _starts(groups)[-1]].view(np.float32)
        readouts = []
        for group, start in zip(groups, _starts(groups), strict=False):
            xy = values[start : start + 2 * group.count].reshape(-1, 2).astype(np.float64)
            peak = values[start + 2 * group.channels : start + 2 * group.channels + group.count].copy()
            readouts.append(PointReadout(xy, peak))
        return readouts

    def _read(
        self,
        group: DeviceLabelGroup,
        grid: ReadGrid,
        taps: tuple[plans.DeviceTaps, plans.DeviceTaps],
        target: int,
    ) -> list[Launch]:
        maps = plans.DeviceMaps(group.newest_address, grid.feature_hw, group.channels, group.count)
        size = 4 * plans.units(maps.hw, self._kernel.constant("CELLS")) * maps.maps
        bounds = self._bounds = self._room(self._bounds, size, "bounds of label maps")
        return [
            plans.bounds(self._bounds_kernel, maps, bounds.address),
            plans.points(
                self._kernel,
                maps,
                bounds=bounds.address,
                rows=taps[0],
                cols=taps[1],
                out_width=grid.network_hw[1],
                xy=target,
                peak=target + 4 * 2 * group.channels,
            ),
        ]

    def _room(self, buffer: DeviceBuffer | None, size: int, what: str) -> DeviceBuffer:
        """A buffer of at least this size: the one there is, or a larger one."""
        if buffer is not None and buffer.size >= size:
            return buffer
        return self._session.pool.take(size, what)


def _starts(groups: Sequence[DeviceLabelGroup]) -> list[int]:
    """Where each group's answers start, in floats, and where the last ones end."""
    ends = np.cumsum([FLOATS * group.channels for group in groups])
    return [0, *ends.tolist()]
