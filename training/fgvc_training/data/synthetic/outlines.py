"""Videos without masks as material for synthetic scenes: a made-up smooth outline instead of an object's."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_training.data.sources import Video

_HARMONICS = np.arange(2, 6)


class OutlinedVideo:
    """A video whose frames each get one blob, the same every time it is asked for."""

    def __init__(self, video: Video) -> None:
        self._video = video

    @property
    def name(self) -> str:
        """The video's."""
        return self._video.name

    def __len__(self) -> int:
        return len(self._video)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """The frames at `indices`, uint8 RGB [n, H, W, 3]."""
        return self._video.read(indices)

    def mask(self, index: int) -> NDArray[np.uint8]:
        """255 inside a blob of frame `index`, uint8 [H, W]."""
        height, width = self._video.read([index]).shape[1:3]
        return random_outline((height, width), np.random.default_rng((zlib.crc32(self.name.encode()), index)))


def random_outline(hw: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A smooth blob of 2 to 15 % of the image, wholly inside it: 255 inside, uint8 [H, W]."""
    height, width = hw
    radius = min(np.sqrt(rng.uniform(0.02, 0.15) * height * width / np.pi), 0.35 * min(hw))
    swing = rng.normal(size=_HARMONICS.size) * 0.25 / _HARMONICS
    swing *= min(1.0, 0.4 / np.abs(swing).sum())
    phases = rng.uniform(0, 2 * np.pi, _HARMONICS.size)
    reach = 1.4 * radius
    y0, x0 = rng.uniform(reach, height - reach), rng.uniform(reach, width - reach)
    y, x = np.mgrid[:height, :width]
    angle = np.arctan2(y - y0, x - x0)
    outline = radius * (1 + (swing * np.cos(_HARMONICS * angle[..., None] + phases)).sum(-1))
    return np.where(np.hypot(x - x0, y - y0) <= outline, 255, 0).astype(np.uint8)
