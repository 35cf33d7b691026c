"""Reading points and masks out of label maps on the device: coordinates or masks come back, nothing else.

A bundle's read-out kernels follow `compat="corrected"`.  The reference's rules are defined by NumPy's own arithmetic,
so with `compat="reference"` whole label maps are fetched and read on the host (`maps`), as on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.gpu.labels.appearance import Appearances
from fgvc_deploy.gpu.labels.label_group import DeviceLabelGroup
from fgvc_deploy.gpu.labels.mask_readout import MaskReadout
from fgvc_deploy.gpu.labels.point_readout import PointReadouts
from fgvc_deploy.gpu.stream.arena import DeviceFeatures
from fgvc_deploy.gpu.stream.results import Results
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Download, Operation
from fgvc_deploy.propagation.base import Float32Array
from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.readout.masks import UInt8Array, read_masks
from fgvc_deploy.readout.points import read_points


class DeviceReadout:
    """Runs a step with its read-out and waits for the answer.  One for each tracker."""

    def __init__(self, session: GpuSession) -> None:
        self._session = session
        self._results = Results(session)
        self._points: PointReadouts | None = None
        self._masks: MaskReadout | None = None

    def points(
        self,
        step: Sequence[Operation],
        groups: Sequence[DeviceLabelGroup],
        grid: ReadGrid,
        appearances: Appearances | None,
        newest: DeviceFeatures,
    ) -> list[PointReadout]:
        """Enqueue the step; coordinates in network pixels of every group's labels on the newest frame.

        With `appearances`, how the points look on its features `newest` is left with the groups.
        """
        if not groups:
            return []
        if grid.compat == "reference":
            maps = self._fetch_maps(step, groups)
            sizes = (grid.feature_hw, grid.network_hw, grid.stride, grid.compat)
            return [read_points(labels, *sizes) for labels in maps]
        with self._session.working():
            if self._points is None:
                self._points = PointReadouts(self._session, self._results)
            self._points.enqueue(step, groups, grid, appearances, newest)
        return self._points.answer(groups)

    def masks(
        self,
        step: Sequence[Operation],
        group: DeviceLabelGroup,
        grid: ReadGrid,
        ids: UInt8Array,
        out_hw: tuple[int, int],
    ) -> UInt8Array:
        """Enqueue the step; object ids uint8 [H, W] of a group's labels on the newest frame."""
        if grid.compat == "reference":
            (labels,) = self._fetch_maps(step, [group])
            return read_masks(labels, ids, grid.feature_hw, out_hw, grid.stride, grid.network_hw, grid.compat)
        with self._session.working():
            if self._masks is None:
                self._masks = MaskReadout(self._session, self._results)
            self._masks.enqueue(step, group, grid, ids, out_hw)
        return self._masks.answer(out_hw)

    def _fetch_maps(self, step: Sequence[Operation], groups: Sequence[DeviceLabelGroup]) -> list[Float32Array]:
        """Whole label maps, float32 [H*W, P] for each group."""
        sizes = [4 * group.pixels * group.channels for group in groups]
        starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        with self._session.working():
            host = self._results.host(starts[-1])
            downloads = [
                Download(host + start, group.newest_address, size)
                for start, size, group in zip(starts, sizes, groups, strict=False)
            ]
            self._results.run((*step, *downloads))
        fetched = self._results.wait()
        return [
            np.ascontiguousarray(
                fetched[start : start + size].view(np.float32).reshape(-1, group.channels)[:, : group.count]
            )
            for start, size, group in zip(starts, sizes, groups, strict=False)
        ]
