"""A point tracker without tricks: one group, every map upsampled whole, any way to attend.

With `dense.py` inside it is the reference pipeline that speed-ups are measured against; `referee.py` makes the judge
of the real tracker's coordinates from it.  It shares label drawing and the plain read-out with the runtime, and
nothing of its propagator, memory or fast read-out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.labels.gaussian import gaussian_labels
from fgvc_deploy.propagation.base import Float32Array
from fgvc_deploy.readout.points_dense import read_points_dense
from fgvc_deploy.settings import PropagationSettings

Attend = Callable[[Float32Array, Float32Array, Float32Array], Float32Array]
"""(query [H, W, C], keys [T, H, W, C], labels [T, H*W, P]) -> labels [H*W, P]."""


class Grid(NamedTuple):
    """Sizes (height, width) of the network's input and of its features, and the stride between them."""

    network_hw: tuple[int, int]
    feature_hw: tuple[int, int]
    stride: int


class PlainTracker:
    """Follows points from the first frame on, in network pixels, corrected mode.

    Keys are kept in slots, the first frame in slot 0 and the last `memory` frames in the others; their order does not
    matter.
    """

    def __init__(self, attend: Attend, settings: PropagationSettings, grid: Grid, xy: Float32Array) -> None:
        self._attend, self._settings, self._grid = attend, settings, grid
        self._first_labels = self._draw(xy)
        self._frames = 0
        self._keys = np.zeros((0, 0, 0, 0), np.float32)
        self._labels = np.zeros((0, 0, 0), np.float32)

    def start(self, features: Float32Array) -> None:
        """The first frame's features [H, W, C]."""
        slots = self._settings.memory + 1
        self._keys = np.empty((slots, *features.shape), np.float32)
        self._labels = np.empty((slots, *self._first_labels.shape), np.float32)
        self._store(features, self._first_labels)

    def fill(self, features: Float32Array) -> None:
        """Take a frame as if the points had not moved: reaches the steady state without propagating."""
        self._store(features, self._first_labels)

    def propagate(self, features: Float32Array) -> Float32Array:
        """Label maps [H*W, P] of a new frame; it joins the memory."""
        used = min(self._frames, len(self._keys))
        labels = self._attend(features, self._keys[:used], self._labels[:used])
        self._store(features, labels)
        return labels

    def adopt(self, labels: Float32Array) -> None:
        """Go on from these label maps [H*W, P] of the newest frame instead of one's own."""
        self._labels[self._slot()] = labels

    def read(self, labels: Float32Array) -> NDArray[np.float64]:
        """Points (x, y) [P, 2] read from whole upsampled maps."""
        grid = self._grid
        return read_points_dense(labels, grid.feature_hw, grid.network_hw, grid.stride).xy

    def _draw(self, xy: Float32Array) -> Float32Array:
        """Label maps [H*W, P] of the query points."""
        return gaussian_labels(xy, self._grid.network_hw, self._settings.label_sigma, self._grid.stride)

    def _store(self, features: Float32Array, labels: Float32Array) -> None:
        self._frames += 1
        self._keys[self._slot()], self._labels[self._slot()] = features, labels

    def _slot(self) -> int:
        """Where the newest frame is."""
        newest = self._frames - 1
        return newest if newest == 0 else 1 + (newest - 1) % (len(self._keys) - 1)
