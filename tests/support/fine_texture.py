"""Pictures for tests of the fine stage: waves that move exactly, points on them, and what labels might say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.fine.patches import FinePoints
from fgvc_deploy.fine.picture import picture_of

HW = (96, 128)
TOLERANCE = 0.1
"""Pixels; issue 5 asks for sub-pixel places, and frames are rounded to 8 bits here as they are in videos."""
Floats = NDArray[np.float64]
UPRIGHT = np.eye(2)


class Texture:
    """A sum of waves: its value is known everywhere, so a moved picture is exact and never resampled."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        angle, length = rng.uniform(0, 2 * np.pi, 24), rng.uniform(5, 24, 24)
        self.wave = np.stack([np.cos(angle), np.sin(angle)]) * 2 * np.pi / length
        self.phase = rng.uniform(0, 2 * np.pi, (3, 24))

    def __call__(self, xy: Floats) -> Floats:
        """Values [.., 3] about 0..255 at positions [.., 2]."""
        waves = np.sin((xy @ self.wave)[..., None, :] + self.phase)
        values: Floats = 128 + 22 * waves.sum(axis=-1)
        return values

    def frame(self, warp: Floats = UPRIGHT, shift: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]: what was at p is at warp (p - middle) + middle + shift."""
        y, x = np.mgrid[: HW[0], : HW[1]]
        seen = np.stack([x, y], axis=-1).astype(np.float64)
        return np.rint(self(back(seen, warp, shift))).clip(0, 255).astype(np.uint8)


MIDDLE = np.array([HW[1] - 1, HW[0] - 1]) / 2


def back(xy: Floats, warp: Floats, shift: tuple[float, float]) -> Floats:
    back: Floats = (xy - MIDDLE - shift) @ np.linalg.inv(warp).T + MIDDLE
    return back


def forth(xy: Floats, warp: Floats, shift: tuple[float, float]) -> Floats:
    forth: Floats = (xy - MIDDLE) @ warp.T + MIDDLE + shift
    return forth


def points(count: int = 40, margin: float = 24.0, seed: int = 3) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.uniform([margin, margin], [HW[1] - margin, HW[0] - margin], (count, 2))


def near(xy: Floats, error: float, seed: int = 4) -> NDArray[np.float32]:
    """What labels might say: the truth and an error of this length in any direction."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(xy))
    return (xy + error * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)


def start(frame: NDArray[np.uint8], xy: Floats) -> FinePoints:
    return FinePoints.start(picture_of(frame), xy.astype(np.float32))


def none(xy: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.zeros(len(xy), np.bool_)


def worst(found: NDArray[np.float32], truth: Floats) -> float:
    return float(np.linalg.norm(found - truth, axis=1).max())
