"""The point read-out on the device: label maps of all groups to coordinates and evidence, in one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.labels.appearance import Appearances
from fgvc_deploy.gpu.labels.label_group import DeviceLabelGroup
from fgvc_deploy.gpu.labels.taps import TapTables
from fgvc_deploy.gpu.launches import readout_plans as plans
from fgvc_deploy.gpu.stream.arena import DeviceFeatures
from fgvc_deploy.gpu.stream.results import Results
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Download, Launch, Operation
from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.trackers.visibility import Appearance

# x, y and peak of a label map; similarity and mass where visibility is judged.
FLOATS = 5


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

    def enqueue(
        self,
        step: Sequence[Operation],
        groups: Sequence[DeviceLabelGroup],
        grid: ReadGrid,
        appearances: Appearances | None,
        newest: DeviceFeatures,
    ) -> None:
        """Inside `session.working()`.  `appearances` None: visibility is not judged on the features `newest`."""
        starts = _starts(groups)
        size = 4 * starts[-1]
        answers = self._answers = self._room(self._answers, size, "coordinates")
        operations = list(step)
        taps = self._taps.starts(grid)
        for group, start in zip(groups, starts, strict=False):
            place = answers.address + 4 * start
            operations += self._read(group, grid, taps, place)
            if appearances is not None and group.points is not None:
                behind = place + 4 * 3 * group.channels
                operations += appearances.launches(newest, _maps(group, grid), group.points, place, behind)
        host = self._results.host(size)
        self._results.run((*operations, Download(host, answers.address, size)))

    def answer(self, groups: Sequence[DeviceLabelGroup]) -> list[PointReadout]:
        """Coordinates in network pixels and peaks of every group enqueued; appearances stay with the groups."""
        values = self._results.wait()[: 4 * _starts(groups)[-1]].view(np.float32)
        readouts = []
        for group, start in zip(groups, _starts(groups), strict=False):
            xy = values[start : start + 2 * group.count].reshape(-1, 2).astype(np.float64)
            columns = values[start : start + FLOATS * group.channels].reshape(FLOATS, group.channels)
            peak, similarity, mass = columns[2:, : group.count].copy()
            readouts.append(PointReadout(xy, peak))
            if group.points is not None:
                group.points.newest = Appearance(similarity[:, None], mass)
        return readouts

    def _read(
        self,
        group: DeviceLabelGroup,
        grid: ReadGrid,
        taps: tuple[plans.DeviceTaps, plans.DeviceTaps],
        target: int,
    ) -> list[Launch]:
        maps = _maps(group, grid)
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


def _maps(group: DeviceLabelGroup, grid: ReadGrid) -> plans.DeviceMaps:
    return plans.DeviceMaps(group.newest_address, grid.feature_hw, group.channels, group.count)


def _starts(groups: Sequence[DeviceLabelGroup]) -> list[int]:
    """Where each group's answers start, in floats, and where the last ones end."""
    ends = np.cumsum([FLOATS * group.channels for group in groups])
    return [0, *ends.tolist()]
