"""Reading points and masks out of label maps on the device; only what was read comes back to the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.gpu.label_group import DeviceLabelGroup
from fgvc_deploy.gpu.memory import PinnedArray
from fgvc_deploy.gpu.session import GpuSession
from fgvc_deploy.gpu.steps import Download, Operation
from fgvc_deploy.propagation.base import Float32Array
from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.readout.masks import UInt8Array, read_masks
from fgvc_deploy.readout.points import read_points


class DeviceReadout:
    """Runs a step with its read-out and waits for the answer.  One for each tracker."""

    def __init__(self, session: GpuSession) -> None:
        self._session = session
        self._done = session.event()
        self._pinned: dict[str, PinnedArray] = {}

    def points(
        self, step: Sequence[Operation], groups: Sequence[DeviceLabelGroup], grid: ReadGrid
    ) -> list[PointReadout]:
        """Enqueue the step; coordinates in network pixels of every group's labels on the newest frame."""
        maps = self._fetch_maps(step, groups)
        return [read_points(labels, grid.feature_hw, grid.network_hw, grid.stride, grid.compat) for labels in maps]

    def masks(
        self,
        step: Sequence[Operation],
        group: DeviceLabelGroup,
        grid: ReadGrid,
        ids: UInt8Array,
        out_hw: tuple[int, int],
    ) -> UInt8Array:
        """Enqueue the step; object ids uint8 [H, W] of a group's labels on the newest frame."""
        (labels,) = self._fetch_maps(step, [group])
        return read_masks(labels, ids, grid.feature_hw, out_hw, grid.stride, grid.network_hw, grid.compat)

    def _fetch_maps(self, step: Sequence[Operation], groups: Sequence[DeviceLabelGroup]) -> list[Float32Array]:
        """Whole label maps [H*W, P], for the reference's read-out, which is defined by NumPy's own arithmetic."""
        pixels = [group.pixels for group in groups]
        sizes = [4 * n * group.channels for n, group in zip(pixels, groups, strict=True)]
        starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        with self._session.working() as driver:
            pinned = self._buffer("maps", starts[-1])
            downloads = [
                Download(pinned.address + start, group.newest_address, size)
                for start, size, group in zip(starts, sizes, groups, strict=False)
            ]
            self._session.steps.run((*step, *downloads))
            driver.record_event(self._done, self._session.stream)
        self._session.wait(self._done, "track a frame")
        return [
            np.ascontiguousarray(
                pinned.array[start : start + size].view(np.float32).reshape(n, group.channels)[:, : group.count]
            )
            for start, size, n, group in zip(starts, sizes, pixels, groups, strict=False)
        ]

    def _buffer(self, name: str, size: int) -> PinnedArray:
        """Pinned bytes, kept for the next frames; nothing is on its way into the one that is replaced."""
        found = self._pinned.get(name)
        if found is None or len(found.array) < size:
            if found is not None:
                self._session.unpin(found)
            found = self._pinned[name] = self._session.pinned((max(1, size),), np.uint8, "results")
        return found
