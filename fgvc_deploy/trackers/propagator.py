"""The memory ring, and the step that carries labels from it to a new frame.

Labels here are any channels (points, objects, joints); what they mean is the business of `points.py` and `masks.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import FeatureMap, Float32Array, Matches, PropagationBackend, Window
from fgvc_deploy.propagation.merge import merge_matches
from fgvc_deploy.propagation.weights import propagate, softmax_weights
from fgvc_deploy.settings import PropagationSettings


class LabelGroup:
    """Labels that start on the same frame: they share that first frame and the order of their channels.

    Every label array is float32 [H*W, P], pixel-major.
    """

    def __init__(self, frame_index: int, features: FeatureMap, labels: Float32Array, memory: int) -> None:
        self.first_frame = frame_index
        self.first_features = features
        self.first_labels = labels
        self._recent: deque[tuple[int, Float32Array]] = deque([(frame_index, labels)], maxlen=memory)

    @property
    def labels(self) -> Float32Array:
        """Labels on the newest frame."""
        return self._recent[-1][1]

    def push(self, frame_index: int, labels: Float32Array) -> None:
        """Store the labels of a new frame; the oldest frame leaves the ring."""
        self._recent.append((frame_index, labels))

    def recent(self) -> dict[int, Float32Array]:
        """Labels of the frames still in the ring, by frame number."""
        return dict(self._recent)

    def keep(self, channels: NDArray[np.bool_]) -> None:
        """Drop the channels whose entry is False, on every frame of the memory."""

        def select(labels: Float32Array) -> Float32Array:
            return np.ascontiguousarray(labels[:, channels])

        self.first_labels = select(self.first_labels)
        self._recent = deque(((f, select(v)) for f, v in self._recent), maxlen=self._recent.maxlen)


class Propagator:
    """Carries the labels of every group to each new frame (goldens items 10, 12, 20).

    A frame t is matched to the group's first frame and to the last `memory` frames.  With `duplicate_first` (the
    reference's habit) the first frame is counted twice while it is also among the last ones.  `harden` maps labels
    [H*W, P] to what is written back into the memory; None writes the soft labels, as FGVC does.
    """

    def __init__(
        self,
        backend: PropagationBackend,
        settings: PropagationSettings,
        *,
        duplicate_first: bool = False,
        harden: Callable[[Float32Array], Float32Array] | None = None,
    ) -> None:
        self.frame_index = -1
        self.groups: list[LabelGroup] = []
        self._backend = backend
        self._settings = settings
        self._window = Window(settings.window, settings.radius)
        self._duplicate_first = duplicate_first
        self._harden = harden
        self._recent: deque[tuple[int, FeatureMap]] = deque(maxlen=settings.memory)

    def advance(self, features: FeatureMap) -> list[Float32Array]:
        """Take the next frame; returns each group's soft labels [H*W, P] on it, in the order of `groups`."""
        carried = [self._carry(group, matches) for group, matches in self._match_groups(features)]
        self.frame_index += 1
        for group, labels in zip(self.groups, carried, strict=True):
            group.push(self.frame_index, self._harden(labels) if self._harden else labels)
        self._recent.append((self.frame_index, features))
        return carried

    def start_group(self, labels: Float32Array) -> LabelGroup:
        """Start a group on the newest frame with labels [H*W, P]."""
        frame_index, features = self._recent[-1]
        group = LabelGroup(frame_index, features, labels, self._settings.memory)
        self.groups.append(group)
        return group

    def remove_group(self, group: LabelGroup) -> None:
        """Forget a group and its first frame."""
        self.groups.remove(group)

    def _key_frames(self, group: LabelGroup) -> list[int]:
        newest = [f for f, _ in self._recent if f > group.first_frame]
        repeated = self._duplicate_first and any(f == group.first_frame for f, _ in self._recent)
        return [group.first_frame, *([group.first_frame] if repeated else []), *newest]

    def _match_groups(self, query: FeatureMap) -> list[tuple[LabelGroup, Matches]]:
        if len(self.groups) == 1:
            group = self.groups[0]
            keys = [self._features_of(group, f) for f in self._key_frames(group)]
            return [(group, self._match(query, keys))]
        # With several groups the frames they share are matched once; the merge of per-frame top-k is the joint top-k.
        lists: dict[int, Matches] = {}
        result = []
        for group in self.groups:
            frames = self._key_frames(group)
            for frame in frames:
                if frame not in lists:
                    lists[frame] = self._match(query, [self._features_of(group, frame)])
            merged = merge_matches([lists[f] for f in frames], len(query.unit), self._settings.topk)
            result.append((group, merged))
        return result

    def _match(self, query: FeatureMap, keys: Sequence[FeatureMap]) -> Matches:
        return self._backend.match(query, keys, self._window, self._settings.topk)

    def _features_of(self, group: LabelGroup, frame_index: int) -> FeatureMap:
        if frame_index == group.first_frame:
            return group.first_features
        return next(features for f, features in self._recent if f == frame_index)

    def _carry(self, group: LabelGroup, matches: Matches) -> Float32Array:
        recent = group.recent()
        recent[group.first_frame] = group.first_labels
        labels = [recent[f] for f in self._key_frames(group)]
        return propagate(matches, softmax_weights(matches.scores, self._settings.temperature), labels)
