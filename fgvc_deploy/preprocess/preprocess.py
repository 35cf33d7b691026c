"""`Preprocessor`: a uint8 frame of any size -> the encoder's normalised float32 input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.preprocess.lab import Float32Array, lab_planes
from fgvc_deploy.preprocess.resize import UInt8Array, check_rgb, resize_linear
from fgvc_deploy.settings import PreprocessSettings


class Preprocessor:
    """Resize, colour conversion and normalisation of one frame, as a bundle's settings ask for."""

    def __init__(self, settings: PreprocessSettings) -> None:
        self.settings = settings
        self._mean = np.array(settings.mean, dtype=np.float32)
        # mmcv multiplies by a float64 reciprocal; so do we, to agree to the last bit (goldens item 2).
        self._inverse_std = 1.0 / np.array(settings.std, dtype=np.float32).astype(np.float64)
        levels = np.arange(256, dtype=np.float32) / np.float32(255)
        self._rgb_tables = [self._normalise(levels.copy(), channel) for channel in range(3)]

    def __call__(self, rgb: UInt8Array, size: tuple[int, int]) -> Float32Array:
        """uint8 RGB [H, W, 3] -> contiguous float32 [1, 3, h, w] for size (h, w).

        Raises InputError when the frame is not uint8 RGB.
        """
        check_rgb(rgb)
        frame = resize_linear(rgb, size) if rgb.shape[:2] != tuple(size) else rgb
        planes = self._lab(frame) if self.settings.color_space == "lab" else self._rgb(frame)
        return planes[None]

    def _lab(self, rgb: UInt8Array) -> Float32Array:
        planes = lab_planes(rgb)
        for channel in range(3):
            self._normalise(planes[channel], channel)
        return planes

    def _rgb(self, rgb: UInt8Array) -> Float32Array:
        return np.stack([table[rgb[..., channel]] for channel, table in enumerate(self._rgb_tables)])

    def _normalise(self, plane: NDArray[np.float32], channel: int) -> Float32Array:
        plane -= self._mean[channel]
        np.multiply(plane, self._inverse_std[channel], out=plane, dtype=np.float64, casting="same_kind")
        return plane
