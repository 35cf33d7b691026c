"""The memory ring of features, and the step that carries labels from it to a new frame.

Labels here are any channels (points, objects, joints); what they mean is the business of `points.py` and `masks.py`,
how they are stored that of `label_group.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from fgvc_deploy.propagation import weights
from fgvc_deploy.propagation.active_set import within_reach
from fgvc_deploy.propagation.base import (
    BoolArray,
    CarriesLabels,
    FeatureMap,
    Float32Array,
    Matches,
    PropagationBackend,
    Window,
)
from fgvc_deploy.propagation.merge import merge_matches
from fgvc_deploy.readout.centroid import PointReadout
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.readout.masks import UInt8Array, read_masks
from fgvc_deploy.readout.points import read_points
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.label_group import LabelGroup
from fgvc_deploy.trackers.visibility import Appearance, sample_features


class Propagator:
    """Carries the labels of every group to each new frame (goldens items 10, 12, 20).

    A frame t is matched to the group's first frame and to the last `memory` frames.  With `duplicate_first` (the
    reference's habit) the first frame is counted twice while it is also among the last ones.  `harden` maps labels
    [H*W, P] to what is written back into the memory; None writes the soft labels, as FGVC does.  With `active_tau`
    > 0 only pixels that label mass can reach are matched (`propagation/active_set.py`); the others get 0.
    """

    def __init__(
        self,
        backend: PropagationBackend,
        settings: PropagationSettings,
        *,
        duplicate_first: bool = False,
        harden: Callable[[Float32Array], Float32Array] | None = None,
        active_tau: float = 0.0,
    ) -> None:
        self.frame_index = -1
        self.groups: list[LabelGroup] = []
        self._backend = backend
        self._settings = settings
        self._window = Window(settings.window, settings.radius)
        self._duplicate_first = duplicate_first
        self._harden = harden
        self._active_tau = active_tau
        self._recent: deque[tuple[int, FeatureMap]] = deque(maxlen=settings.memory)

    def advance(self, features: FeatureMap) -> list[Float32Array]:
        """Take the next frame; returns each group's soft labels [H*W, P] on it, in the order of `groups`.

        They may be views into the memory: copy what has to outlive the next `memory` frames.
        """
        carried = [self._carry(group, matches) for group, matches in self._match_groups(features)]
        for group in self.groups:
            group.advance()
        self.frame_index += 1
        self._recent.append((self.frame_index, features))
        return carried

    def start_group(self, labels: Float32Array) -> LabelGroup:
        """Start a group on the newest frame with labels [H*W, P]."""
        frame_index, features = self._recent[-1]
        group = LabelGroup(frame_index, features, labels, self._settings.memory, self._active_tau)
        self.groups.append(group)
        return group

    def remove_group(self, group: LabelGroup) -> None:
        """Forget a group and its first frame."""
        self.groups.remove(group)

    def read_points(self, grid: ReadGrid) -> list[PointReadout]:
        """Coordinates, in network pixels, of every group's labels on the newest frame, in the order of `groups`."""
        return [
            read_points(group.labels, grid.feature_hw, grid.network_hw, grid.stride, grid.compat)
            for group in self.groups
        ]

    def appearance(self, xy: Sequence[Float32Array]) -> list[Appearance] | None:
        """How each group's points look on the newest frame, at positions [P, 2] in feature pixels, group by group.

        None where labels and features are out of reach: confidence then falls back on the labels' height.
        """
        features = self._recent[-1][1]
        return [
            Appearance(sample_features(features, at), group.labels.sum(axis=0))
            for group, at in zip(self.groups, xy, strict=True)
        ]

    def read_masks(self, grid: ReadGrid, ids: UInt8Array, out_hw: tuple[int, int]) -> UInt8Array:
        """Object ids uint8 [H, W] of the first group's labels on the newest frame; `ids` names its channels."""
        labels = self.groups[0].labels
        return read_masks(labels, ids, grid.feature_hw, out_hw, grid.stride, grid.network_hw, grid.compat)

    def _key_frames(self, group: LabelGroup) -> list[int]:
        newest = [f for f, _ in self._recent if f > group.first_frame]
        repeated = self._duplicate_first and any(f == group.first_frame for f, _ in self._recent)
        return [group.first_frame, *([group.first_frame] if repeated else []), *newest]

    def _match_groups(self, query: FeatureMap) -> list[tuple[LabelGroup, Matches]]:
        active = self._active(query.hw)
        if len(self.groups) == 1:
            group = self.groups[0]
            keys = [self._features_of(group, f) for f in self._key_frames(group)]
            return [(group, self._match(query, keys, active))]
        # With several groups the frames they share are matched once; the merge of per-frame top-k is the joint top-k.
        lists: dict[int, Matches] = {}
        result = []
        for group in self.groups:
            frames = self._key_frames(group)
            for frame in frames:
                if frame not in lists:
                    lists[frame] = self._match(query, [self._features_of(group, frame)], active)
            merged = merge_matches([lists[f] for f in frames], len(query.unit), self._settings.topk)
            result.append((group, merged))
        return result

    def _active(self, hw: tuple[int, int]) -> BoolArray | None:
        """Pixels that the labels of any group can reach, bool [H*W]; None for all."""
        if not self._active_tau:
            return None
        masses = [group.mass() for group in self.groups]
        known = [mass for mass in masses if mass is not None]
        if not known or len(known) < len(masses):
            return None
        return within_reach(np.logical_or.reduce(known), hw, self._window)

    def _match(self, query: FeatureMap, keys: Sequence[FeatureMap], active: BoolArray | None) -> Matches:
        return self._backend.match(query, keys, self._window, self._settings.topk, active)

    def _features_of(self, group: LabelGroup, frame_index: int) -> FeatureMap:
        if frame_index == group.first_frame:
            return group.first_features
        return next(features for f, features in self._recent if f == frame_index)

    def _carry(self, group: LabelGroup, matches: Matches) -> Float32Array:
        """Soft labels of the coming frame; what is to be remembered of them is in the group's `next_labels`."""
        labels = [group.labels_of(f) for f in self._key_frames(group)]
        backend, temperature = self._backend, self._settings.temperature
        carry = backend.carry if isinstance(backend, CarriesLabels) else weights.carry
        if self._harden is None:
            return carry(matches, labels, temperature, group.next_labels())
        carried = carry(matches, labels, temperature)
        np.copyto(group.next_labels(), self._harden(carried))
        return carried
