"""Streaming mask tracking: give the objects of the first frame, step frame by frame.

Points live in `points.py`; reading whole videos lives in `fgvc_deploy.pipeline`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.choices import check_choice
from fgvc_deploy.engine import Engine, Size, check_frame
from fgvc_deploy.errors import InputError
from fgvc_deploy.labels.masks import MaskLabels, check_mask, mask_labels
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.readout.grid import ReadGrid
from fgvc_deploy.settings import Compat
from fgvc_deploy.stages import StageTimer

Mask = NDArray[np.uint8]


class MaskTracker:
    """Carries object masks through a stream of frames; memory is constant in the number of frames.

    `first_mask` is uint8 [H, W] object ids in source pixels, 0 = background; it belongs to the first frame stepped.
    Background is a class like the others (goldens item 28).  Raises InputError for an empty mask, one with more than
    255 objects, an unknown `compat` or, on the first step, a mask of another size than the frame or with more objects
    than there are features.  A frame that was refused does not count.
    """

    def __init__(self, engine: Engine, first_mask: Mask, *, size: Size = None, compat: Compat = "corrected") -> None:
        check_choice("compat", compat, Compat)
        self.compat: Compat = compat
        self.timer = StageTimer()
        self.overlap = engine.overlap
        self._engine = engine
        self._first_mask = check_mask(first_mask)
        self._size = size
        # Without an active set: the background has mass everywhere.
        self._propagator = engine.propagator(duplicate_first=compat == "reference")
        self._source_hw: tuple[int, int] | None = None
        self._network_hw = (0, 0)
        self._labels: MaskLabels | None = None

    @property
    def network_hw(self) -> tuple[int, int]:
        """Height and width the encoder sees; (0, 0) before the first frame."""
        return self._network_hw

    @property
    def frame_index(self) -> int:
        """Number of the newest frame; -1 before the first step."""
        return self._propagator.frame_index

    def renewed(self) -> MaskTracker:
        """A new tracker with the same mask and settings, whose time counts towards this one's `timer`."""
        tracker = MaskTracker(self._engine, self._first_mask, size=self._size, compat=self.compat)
        tracker.timer = self.timer
        return tracker

    def step(self, frame: NDArray[np.uint8]) -> Mask:
        """Take the next uint8 RGB frame [H, W, 3]; returns object ids uint8 [H, W].

        For the first frame that is the mask given.
        """
        with self.timer.stage("frame"):
            self.open(frame)
            return self.step_features(self.encode(frame))

    def open(self, frame: NDArray[np.uint8]) -> None:
        """Check a frame, and fix the frame size on the first one."""
        hw = check_frame(frame, self._source_hw)
        if self._source_hw is None:
            check_mask(self._first_mask, hw)
            network_hw, stride = self._engine.network_size(self._size, hw), self._engine.encoder_settings.stride
            self._labels = mask_labels(self._first_mask, network_hw, stride, self.compat)
            self._source_hw, self._network_hw = hw, network_hw

    def encode(self, frame: NDArray[np.uint8]) -> FeatureMap:
        """Features of a frame that `open` accepted; may run in another thread than `step_features`."""
        return self._engine.features(frame, self._network_hw, self.timer)

    def step_features(self, features: FeatureMap) -> Mask:
        """The part of a step that follows the encoder."""
        if self._labels is None:
            raise InputError("the tracker has not seen a frame yet: call step(frame) first.")
        with self.timer.stage("propagate"):
            self._propagator.advance(features)
        if not self._propagator.groups:
            self._propagator.start_group(self._labels.labels)
            return self._first_mask.copy()
        with self.timer.stage("readout"):
            stride = self._engine.encoder_settings.stride
            grid = ReadGrid(features.hw, self._network_hw, stride, self.compat)
            return self._propagator.read_masks(grid, self._labels.ids, self._first_mask.shape)
