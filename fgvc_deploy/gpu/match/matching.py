"""Launches that find the best keys of a frame, and the buffers they leave them in.  Which frames: `propagator.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.gpu.cubins.kernel_set import Kernel
from fgvc_deploy.gpu.device.memory import DeviceBuffer
from fgvc_deploy.gpu.launches import plans
from fgvc_deploy.gpu.launches.kernels_used import Coarse, TrackingKernels
from fgvc_deploy.gpu.launches.offsets import distance_limit, offset_table
from fgvc_deploy.gpu.stream.arena import DeviceFeatures
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Launch
from fgvc_deploy.gpu.stream.tables import DeviceTables
from fgvc_deploy.propagation.base import Window

VALUE_BYTES = 4


class Matching:
    """Matches of frames of one size.  Use it inside `session.working()`.

    `positions` int32 and `weights` fp32 [H*W, k] are the addresses that `joint` and `merge` fill.
    """

    def __init__(
        self, session: GpuSession, kernels: TrackingKernels, tables: DeviceTables, window: Window, hw: tuple[int, int]
    ) -> None:
        self.hw = hw
        self._session = session
        self._kernels = kernels
        self._tables = tables
        self._window = window
        self._list_bytes = VALUE_BYTES * hw[0] * hw[1] * kernels.match.constant("K")
        self._joined = self._take(1)
        self._lists: tuple[DeviceBuffer, DeviceBuffer] | None = None
        self._list_count = 0

    @property
    def positions(self) -> int:
        """Address of the joint matches' positions."""
        return self._joined[0].address

    @property
    def weights(self) -> int:
        """Address of their weights."""
        return self._joined[1].address

    def reserve(self, groups: int, frames: int) -> None:
        """Prepare the tables of a step with so many groups of at most so many key frames."""
        # Offsets and the union of key frames; for each group its key frames, its lists and its labels' places.
        self._tables.reserve(len(self._offsets()) + 4 * groups * frames, 2 + 3 * groups)

    def joint(self, query: DeviceFeatures, slots: Sequence[int]) -> tuple[Launch, ...]:
        """Weights over all key frames together."""
        return self._launch(self._kernels.match, query, slots, len(slots), self.positions, self.weights)

    def scores(self, query: DeviceFeatures, slots: Sequence[int]) -> tuple[Launch, ...]:
        """Scores over all key frames together, where the weights would be."""
        return self._launch(self._kernels.match_frames, query, slots, len(slots), self.positions, self.weights)

    def apart(self, query: DeviceFeatures, slots: Sequence[int]) -> tuple[Launch, ...]:
        """Scores against each frame, a list for each in the order of `slots`."""
        if self._lists is None or self._list_count < len(slots):
            self._lists, self._list_count = self._take(len(slots)), len(slots)
        positions, scores = self._lists
        return self._launch(self._kernels.match_frames, query, slots, 1, positions.address, scores.address)

    def merge(self, lists: Sequence[int]) -> Launch:
        """Joint weights of some of the lists that `apart` made; list i becomes key frame i."""
        if self._lists is None:
            raise ValueError("there are no lists to merge yet")
        return plans.merge(
            self._kernels.merge,
            list_positions=self._lists[0].address,
            list_scores=self._lists[1].address,
            lists=self._table(lists),
            count=len(lists),
            pixels=self.hw[0] * self.hw[1],
            positions=self.positions,
            values=self.weights,
        )

    def _launch(
        self, kernel: Kernel, query: DeviceFeatures, slots: Sequence[int], per_split: int, positions: int, values: int
    ) -> tuple[Launch, ...]:
        offsets = self._offsets()
        launch = plans.match(
            kernel,
            query=query.address,
            keys=query.arena.base,
            slots=self._table(slots),
            frames=len(slots),
            frames_per_split=per_split,
            offsets=self._tables.address(offsets),
            blocks=len(offsets) // kernel.constant("BLOCK"),
            limit=distance_limit(self._window, self.hw),
            hw=self.hw,
            positions=positions,
            values=values,
        )
        return (launch,)

    def _offsets(self) -> NDArray[np.int32]:
        match = self._kernels.match
        return offset_table(self._window, self.hw, plans.tile_of(match), match.constant("BLOCK"))

    def _table(self, values: Sequence[int]) -> int:
        return self._tables.address(np.array(values, np.int32))

    def _take(self, lists: int) -> tuple[DeviceBuffer, DeviceBuffer]:
        what = f"matches of {self.hw[1]}x{self.hw[0]} pixels"
        return (
            self._session.pool.take(lists * self._list_bytes, what),
            self._session.pool.take(lists * self._list_bytes, what),
        )


class CoarseMatching(Matching):
    """Matches of the coarse-to-fine mode: the best cell on each key frame, then the keys around it.

    The counterpart of `propagation/coarse_to_fine.py`.
    """

    def __init__(
        self, session: GpuSession, kernels: TrackingKernels, coarse: Coarse, tables: DeviceTables, hw: tuple[int, int]
    ) -> None:
        self._coarse = coarse
        self._coarse_hw = plans.blocks(hw[0], coarse.scale), plans.blocks(hw[1], coarse.scale)
        self._cells: tuple[DeviceBuffer, DeviceBuffer] | None = None
        self._cell_count = 0
        super().__init__(session, kernels, tables, coarse.window, hw)

    def _launch(
        self, kernel: Kernel, query: DeviceFeatures, slots: Sequence[int], per_split: int, positions: int, values: int
    ) -> tuple[Launch, ...]:
        cells, scores = self._room(len(slots))
        match, offsets, table = self._coarse.match, self._offsets(), self._table(slots)
        coarse = plans.match(
            match,
            query=query.coarse_address,
            keys=query.arena.coarse_base,
            slots=table,
            frames=len(slots),
            frames_per_split=1,
            offsets=self._tables.address(offsets),
            blocks=len(offsets) // match.constant("BLOCK"),
            limit=distance_limit(self._window, self._coarse_hw),
            hw=self._coarse_hw,
            positions=cells.address,
            values=scores.address,
        )
        fine = plans.refine(
            kernel,
            query=query.address,
            keys=query.arena.base,
            slots=table,
            matched=cells.address,
            frames=len(slots),
            frames_per_split=per_split,
            hw=self.hw,
            positions=positions,
            values=values,
        )
        return coarse, fine

    def _offsets(self) -> NDArray[np.int32]:
        match = self._coarse.match
        return offset_table(self._window, self._coarse_hw, plans.tile_of(match), match.constant("BLOCK"))

    def _room(self, frames: int) -> tuple[DeviceBuffer, DeviceBuffer]:
        """For the best cell of each cell on each frame, and its score."""
        if self._cells is None or self._cell_count < frames:
            size = VALUE_BYTES * frames * self._coarse_hw[0] * self._coarse_hw[1]
            take = self._session.pool.take
            self._cells, self._cell_count = (take(size, "coarse matches"), take(size, "coarse matches")), frames
        return self._cells


def matching_of(
    session: GpuSession, kernels: TrackingKernels, tables: DeviceTables, window: Window, hw: tuple[int, int]
) -> Matching:
    """Matching in the mode that the kernels are for; only the exact one looks at `window`."""
    if kernels.coarse is None:
        return Matching(session, kernels, tables, window, hw)
    return CoarseMatching(session, kernels, kernels.coarse, tables, hw)
