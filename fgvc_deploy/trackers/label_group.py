"""Labels in memory: what a group of points, objects or joints looked like on the frames that are matched to.

Memory is allocated when a group starts; later frames are written over the oldest.  No matching here.
"""

from __future__ import annotations

import numpy as np

from fgvc_deploy.propagation.active_set import label_mass
from fgvc_deploy.propagation.base import BoolArray, FeatureMap, Float32Array

# So many points reach nearly every pixel (docs/active-set.md): looking which ones would cost and save nothing.
MOST_CHANNELS = 32
# The far tails of propagated labels are full of numbers below this, and processors multiply those up to a hundred
# times slower: carrying 256 points took 25 ms with them, 8 without (64x64 features, native backend, 2 threads).
SMALLEST_NORMAL = np.finfo(np.float32).tiny


class LabelGroup:
    """Labels that start on the same frame: they share that first frame and the order of their channels.

    Every label array is float32 [H*W, P], pixel-major; values below 1.2e-38 are stored as 0.  `memory` frames are
    kept beside the first.  With `active_tau` > 0 and few channels the group also remembers where labels have mass.
    """

    def __init__(
        self, frame_index: int, features: FeatureMap, labels: Float32Array, memory: int, active_tau: float = 0.0
    ) -> None:
        self.first_frame = self._newest = frame_index
        self.first_features = features
        self.first_labels = np.where(labels < SMALLEST_NORMAL, np.float32(0), labels)
        self._tau = active_tau
        # One slot more than there are key frames: the labels of a new frame are made from all of them.
        self._ring = np.empty((memory + 1, *labels.shape), np.float32)
        self._masses: dict[int, BoolArray] = {}
        self._remember_mass(frame_index)

    @property
    def labels(self) -> Float32Array:
        """Labels on the newest frame; a view, overwritten once the frame has left the memory."""
        return self.labels_of(self._newest)

    @property
    def frames(self) -> list[int]:
        """Numbers of the first frame and of those in the ring, oldest first."""
        oldest = max(self.first_frame + 1, self._newest - len(self._ring) + 2)
        return [self.first_frame, *range(oldest, self._newest + 1)]

    def labels_of(self, frame_index: int) -> Float32Array:
        """Labels on one of `frames`; a view."""
        return self.first_labels if frame_index == self.first_frame else self._slot(frame_index)

    def next_labels(self) -> Float32Array:
        """Where the labels of the coming frame belong, to be filled before `advance`."""
        return self._slot(self._newest + 1)

    def advance(self) -> None:
        """`next_labels` has been filled: the frame joins the memory, the oldest leaves."""
        labels = self.next_labels()
        np.multiply(labels, labels >= SMALLEST_NORMAL, out=labels)
        self._newest += 1
        self._remember_mass(self._newest)

    def mass(self) -> BoolArray | None:
        """Pixels with label mass on any frame of the memory, bool [H*W]; None where that is not kept track of."""
        if not self._masses:
            return None
        mass: BoolArray = np.logical_or.reduce(list(self._masses.values()))
        return mass

    def keep(self, channels: BoolArray) -> None:
        """Drop the channels whose entry is False, on every frame of the memory."""
        self.first_labels = np.ascontiguousarray(self.first_labels[:, channels])
        self._ring = np.ascontiguousarray(self._ring[:, :, channels])
        for frame in self.frames:
            self._remember_mass(frame)

    def _slot(self, frame_index: int) -> Float32Array:
        slot: Float32Array = self._ring[frame_index % len(self._ring)]
        return slot

    def _remember_mass(self, frame_index: int) -> None:
        if not self._tau or self.first_labels.shape[1] > MOST_CHANNELS:
            return
        self._masses[frame_index] = label_mass(self.labels_of(frame_index), self._tau)
        self._masses = {frame: self._masses[frame] for frame in self.frames if frame in self._masses}
