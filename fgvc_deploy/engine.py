"""Frame to features: preprocessing, encoder backend and packing, with the settings they came with.

Trackers own an engine and ask it for features; the engine knows nothing about labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.errors import InputError
from fgvc_deploy.preprocess.preprocess import Preprocessor
from fgvc_deploy.preprocess.size import parse_size, resolve_size
from fgvc_deploy.propagation.base import FeatureMap, PropagationBackend
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_deploy.stages import StageTimer
from fgvc_deploy.trackers.propagator import Propagator

Size = str | tuple[int, int] | None


@dataclass(slots=True)
class Engine:
    """The parts of a loaded model that every tracker shares; safe to share between trackers of one thread.

    With `overlap` whole videos are read with the next frame encoded in a thread of its own (`overlap.py`).
    """

    encoder_settings: EncoderSettings
    preprocess_settings: PreprocessSettings
    propagation: PropagationSettings
    default_size: str
    encoder: EncoderBackend
    matcher: PropagationBackend
    overlap: bool = False
    _preprocessor: Preprocessor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._preprocessor = Preprocessor(self.preprocess_settings)

    def network_size(self, size: Size, source_hw: tuple[int, int]) -> tuple[int, int]:
        """Height and width the encoder sees for a source of `source_hw`; None is the bundle's default size."""
        return resolve_size(parse_size(size, parse_size(self.default_size)), source_hw)

    def feature_size(self, network_hw: tuple[int, int]) -> tuple[int, int]:
        """Feature grid for a network size: ceil(size / stride)."""
        stride = self.encoder_settings.stride
        return -(-network_hw[0] // stride), -(-network_hw[1] // stride)

    def features(self, frame: NDArray[np.uint8], network_hw: tuple[int, int], timer: StageTimer) -> FeatureMap:
        """Features of one uint8 RGB frame [H, W, 3], normalised once."""
        with timer.stage("preprocess"):
            image = self._preprocessor(frame, network_hw)
        with timer.stage("encode"):
            features = self.encoder.encode(image)
        with timer.stage("prepare"):
            return self.matcher.prepare(features)

    def propagator(self, *, duplicate_first: bool = False, active_tau: float = 0.0) -> Propagator:
        """A new memory for one tracker; arguments as `Propagator`."""
        return Propagator(self.matcher, self.propagation, duplicate_first=duplicate_first, active_tau=active_tau)


def check_frame(frame: NDArray[np.uint8], expected_hw: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of a uint8 RGB frame [H, W, 3]; raises InputError when it is not one, or its size changed."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        shape = getattr(frame, "shape", None)
        dtype = getattr(frame, "dtype", type(frame).__name__)
        raise InputError(f"a frame must be a uint8 RGB array [H, W, 3], but this one is {dtype} of shape {shape}.")
    hw = (int(frame.shape[0]), int(frame.shape[1]))
    if 0 in hw:
        raise InputError(f"a frame must be a uint8 RGB array [H, W, 3], but this one holds no pixels: {frame.shape}.")
    if expected_hw is not None and hw != expected_hw:
        raise InputError(
            f"this frame is {hw[1]}x{hw[0]}, but the first was {expected_hw[1]}x{expected_hw[0]}: "
            "a tracker follows one frame size; resize the frames, or start a new tracker."
        )
    return hw
