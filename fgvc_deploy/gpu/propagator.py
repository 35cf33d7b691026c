"""The memory of one tracker on the GPU, and the step that carries its labels to a new frame.

The counterpart of `trackers/propagator.py`, from which it takes which frames are matched to which.  A step is put
together here as data (`steps.py`); reading points and masks out of the labels is `readout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.gpu.labels.appearance import Appearances
from fgvc_deploy.gpu.labels.label_group import DeviceLabelGroup
from fgvc_deploy.gpu.labels.readout import DeviceReadout
from fgvc_deploy.gpu.launches import plans
from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.match.matching import Matching, matching_of
from fgvc_deploy.gpu.stream.arena import DeviceFeatures
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.gpu.stream.steps import Launch, Operation
from fgvc_deploy.gpu.stream.tables import DeviceTables
from fgvc_deploy.propagation.base import FeatureMap, Float32Array, PropagationBackend
from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.readout.masks import UInt8Array
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.label_group import LabelGroup
from fgvc_deploy.trackers.propagator import Propagator
from fgvc_deploy.trackers.visibility import Appearance


class GpuPropagator(Propagator):
    """See `Propagator`; features and labels stay on the device, so `advance` returns no labels.

    A step is enqueued together with its read-out: call `read_points` or `read_masks` after every `advance`.
    """

    def __init__(
        self,
        backend: PropagationBackend,
        settings: PropagationSettings,
        session: GpuSession,
        kernels: TrackingKernels,
        stride: int,
        *,
        duplicate_first: bool = False,
    ) -> None:
        super().__init__(backend, settings, duplicate_first=duplicate_first)
        self._session = session
        self._kernels = kernels
        self._readout = DeviceReadout(session)
        self._stride = stride
        self._appearances: Appearances | None = None
        with session.working():
            self._tables = DeviceTables(session)
        self._matching: Matching | None = None
        # A step not enqueued yet, and the features it reads: their places must not be used anew before it is.
        self._pending: list[Operation] = []
        self._reads: list[FeatureMap] = []

    def advance(self, features: FeatureMap) -> list[Float32Array]:
        """Take the next frame, whose features `GpuEngine` made; its labels are enqueued with the next read-out."""
        with self._session.working():
            self._flush()
            matching = self._matching_for(features)
            matching.reserve(len(self.groups), self._settings.memory + 2)
            for group, launches in self._match_device_groups(features, matching):
                self._pending += [*launches, self._carry_launch(group, features, matching)]
        self._reads = [features, *(f for _, f in self._recent), *(g.first_features for g in self.groups)]
        for started in self.groups:
            started.advance()
        self.frame_index += 1
        self._recent.append((self.frame_index, features))
        return []

    def start_group(self, labels: Float32Array) -> LabelGroup:
        """Start a group on the newest frame with labels [H*W, P]."""
        frame_index, features = self._recent[-1]
        group = DeviceLabelGroup(self._session, frame_index, features, labels, self._settings.memory)
        self.groups.append(group)
        return group

    def read_points(self, grid: ReadGrid) -> list[PointReadout]:
        """See `Propagator.read_points`; waits for the GPU."""
        return self._readout.points(
            self._take_pending(), self._device_groups(), grid, self._appearances, self._newest
        )

    def appearance(self, xy: Sequence[Float32Array]) -> list[Appearance] | None:
        """See `Propagator.appearance`; on later frames than the first what `read_points` found at its own places.

        Features come as their component along those of the query frame (`DevicePoints`).
        """
        if self._settings.visibility is None:
            return None
        looks = []
        with self._session.working():
            if self._appearances is None:
                channels = self._kernels.match.constant("C")
                self._appearances = Appearances(self._session, self._stride, channels)
            for group, at in zip(self._device_groups(), xy, strict=True):
                if group.points is None:
                    group.points = self._appearances.meet(self._newest, at, group.started_mass)
                looks.append(group.points.newest)
        return looks

    def read_masks(self, grid: ReadGrid, ids: UInt8Array, out_hw: tuple[int, int]) -> UInt8Array:
        """See `Propagator.read_masks`; waits for the GPU."""
        return self._readout.masks(self._take_pending(), self._device_groups()[0], grid, ids, out_hw)

    def _take_pending(self) -> tuple[Operation, ...]:
        pending, self._pending = tuple(self._pending), []
        return pending

    def _flush(self) -> None:
        """Enqueue a step whose labels nobody has read."""
        if self._pending:
            self._session.steps.run(self._take_pending())

    @property
    def _newest(self) -> DeviceFeatures:
        return _on_device(self._recent[-1][1])

    def _device_groups(self) -> list[DeviceLabelGroup]:
        return cast("list[DeviceLabelGroup]", self.groups)

    def _matching_for(self, features: FeatureMap) -> Matching:
        if self._matching is None:
            self._matching = matching_of(self._session, self._kernels, self._tables, self._window, features.hw)
        if self._matching.hw != features.hw:
            raise InputError("the features of this frame have another size than those before; start a new tracker.")
        return self._matching

    def _match_device_groups(
        self, query: FeatureMap, matching: Matching
    ) -> list[tuple[DeviceLabelGroup, list[Launch]]]:
        """Every group with the launches that leave its matches in `matching`; they must run in this order."""
        groups = self._device_groups()
        keys = [[_on_device(self._features_of(group, f)).slot for f in self._key_frames(group)] for group in groups]
        if len(groups) == 1:
            return [(groups[0], [*matching.joint(_on_device(query), keys[0])])]
        # The frames that groups share are matched once; the merge of per-frame top-k is the joint top-k.
        union = list(dict.fromkeys(slot for slots in keys for slot in slots))
        result = []
        for index, (group, slots) in enumerate(zip(groups, keys, strict=True)):
            first = matching.apart(_on_device(query), union) if index == 0 else ()
            result.append((group, [*first, matching.merge([union.index(slot) for slot in slots])]))
        return result

    def _carry_launch(self, group: DeviceLabelGroup, features: FeatureMap, matching: Matching) -> Launch:
        frames = self._key_frames(group)
        places = np.array([group.place_of(frame) for frame in frames], np.int32)
        return plans.propagate(
            self._kernels.propagate,
            positions=matching.positions,
            weights=matching.weights,
            labels=group.base,
            slots=self._tables.address(places),
            pixels=features.hw[0] * features.hw[1],
            channels=group.channels,
            out=group.claim(_on_device(features).slot, frames),
        )


def _on_device(features: FeatureMap) -> DeviceFeatures:
    if not isinstance(features.packed, DeviceFeatures):
        raise InputError("these features were not made by the GPU backend; encode the frame with the same tracker.")
    return features.packed
