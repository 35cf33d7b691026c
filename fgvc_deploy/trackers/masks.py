"""Streaming mask tracking: give the objects of the first frame, step frame by frame.

Points live in `points.py`; reading whole videos lives in `fgvc_deploy.pipeline`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine, Size, check_frame
from fgvc_deploy.errors import InputError
from fgvc_deploy.labels.masks import MaskLabels, check_mask, label_mask
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.readout.masks import read_mask
from fgvc_deploy.settings import Compat
from fgvc_deploy.trackers.propagator import Propagator

Mask = NDArray[np.uint8]


class MaskTracker:
    """Carries object masks through a stream of frames; memory is constant in the number of frames.

    `first_mask` is uint8 [H, W] object ids in source pixels, 0 = background; it belongs to the first frame stepped.
    Background is a class like the others (goldens item 28).  Raises InputError for an empty mask, one with more than
    255 objects or, on the first step, one of another size than the frame.
    """

    def __init__(self, engine: Engine, first_mask: Mask, *, size: Size = None, compat: Compat = "corrected") -> None:
        self._engine = engine
        self._first_mask = check_mask(first_mask)
        self._size = size
        self._compat: Compat = compat
        self._propagator = Propagator(engine.matcher, engine.propagation, duplicate_first=compat == "reference")
        self._source_hw: tuple[int, int] | None = None
        self._network_hw = (0, 0)
        self._labels: MaskLabels | None = None

    @property
    def frame_index(self) -> int:
        """Number of the newest frame; -1 before the first step."""
        return self._propagator.frame_index

    def renewed(self) -> MaskTracker:
        """A new tracker with the same mask and settings."""
        return MaskTracker(self._engine, self._first_mask, size=self._size, compat=self._compat)

    def step(self, frame: NDArray[np.uint8]) -> Mask:
        """Take the next uint8 RGB frame [H, W, 3]; returns object ids uint8 [H, W].

        The first frame's answer is the mask that was given (`reference`: as the network grid sees it).
        """
        self.open(frame)
        return self.step_features(self.encode(frame))

    def open(self, frame: NDArray[np.uint8]) -> None:
        """Check a frame, and fix the frame size on the first one."""
        hw = check_frame(frame, self._source_hw)
        if self._source_hw is None:
            if self._first_mask.shape != hw:
                h, w = self._first_mask.shape
                raise InputError(
                    f"the mask is {w}x{h}, but the frame is {hw[1]}x{hw[0]}: draw the mask on the frame, at its size."
                )
            self._source_hw, self._network_hw = hw, self._engine.network_size(self._size, hw)

    def encode(self, frame: NDArray[np.uint8]) -> FeatureMap:
        """Features of a frame that `open` accepted; may run in another thread than `step_features`."""
        return self._engine.features(frame, self._network_hw)

    def step_features(self, features: FeatureMap) -> Mask:
        """The part of a step that follows the encoder."""
        stride = self._engine.encoder_settings.stride
        with self._engine.timer.stage("propagate"):
            carried = self._propagator.advance(features)
        if self._labels is None:
            self._labels = label_mask(self._first_mask, self._network_hw, stride, self._compat)
            self._propagator.start_group(self._labels.labels)
            return self._first_mask.copy()
        with self._engine.timer.stage("readout"):
            return read_mask(
                carried[0],
                features.hw,
                self._network_hw,
                self._first_mask.shape,
                stride,
                self._labels.ids,
                self._compat,
            )
