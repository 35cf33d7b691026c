"""Propagation problems that are timed: feature grid, window, memory, and the work an exact answer needs.

Sizes only; the features themselves come from `inputs.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fgvc_deploy.propagation.base import Window


@dataclass(frozen=True, slots=True)
class Geometry:
    """Features of height x width x channels matched to `frames` key frames inside a circle of `radius` pixels."""

    name: str
    height: int
    width: int
    channels: int
    radius: float
    frames: int = 6
    topk: int = 10
    temperature: float = 0.07

    @property
    def hw(self) -> tuple[int, int]:
        """Feature grid (height, width)."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The circle as propagation backends take it."""
        return Window("circle", self.radius)

    def useful_gflop(self) -> float:
        """10^9 floating-point operations that an exact answer cannot avoid: 2 * C for each allowed pair."""
        return 2e-9 * self.channels * self.frames * window_pairs(self.hw, self.window)

    def dense_gflop(self) -> float:
        """10^9 operations of the official algorithm's affinities, which mask only afterwards."""
        pixels = self.height * self.width
        return 2e-9 * self.channels * self.frames * pixels * pixels


def window_pairs(hw: tuple[int, int], window: Window) -> int:
    """Pairs (query, key) of one key frame that lie within the window, exact at the borders.

    An offset (dy, dx) is possible for (H - |dy|) * (W - |dx|) queries.
    """
    reach = [min(side - 1, math.floor(window.radius)) for side in hw]
    offsets = ((dy, dx) for dy in range(-reach[0], reach[0] + 1) for dx in range(-reach[1], reach[1] + 1))
    inside = ((dy, dx) for dy, dx in offsets if _within(dy, dx, window))
    return sum((hw[0] - abs(dy)) * (hw[1] - abs(dx)) for dy, dx in inside)


def _within(dy: int, dx: int, window: Window) -> bool:
    if window.shape == "circle":
        return dy * dy + dx * dx < window.radius**2
    return max(abs(dy), abs(dx)) <= window.radius
