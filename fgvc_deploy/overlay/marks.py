"""Antialiased dots and rings, centred on their points to a fraction of a pixel.  Trails: `points.py`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

_RIM_SHADE, _RIM_ALPHA = 15.0, 0.65


class MarkPainter:
    """Draws marks of one radius (pixels) into a float32 RGB picture [H, W, 3], later ones over earlier ones.

    `origin` (x, y) is the frame's pixel that the picture begins with; marks are placed on the frame.  A pixel is
    covered by as much of it as the circle's edge leaves, measured at its centre: exact to about 0.1 px.
    """

    def __init__(self, picture: NDArray[np.float32], radius: float, origin: tuple[int, int] = (0, 0)) -> None:
        self._picture = picture
        self._left, self._top = origin
        self._bottom, self._right = self._top + picture.shape[0], self._left + picture.shape[1]
        self._radius = radius
        self._rim = _rim(radius)
        self._reach = self.reach(radius)

    @staticmethod
    def reach(radius: float) -> int:
        """How many pixels from its centre a mark of this radius can touch."""
        return math.ceil(radius + _rim(radius) + 1)

    def dot(self, x: float, y: float, colour: Colour) -> None:
        """A filled circle with a thin dark rim."""
        place, distance = self._around(x, y)
        rim = _RIM_ALPHA * np.clip(self._radius + self._rim + 0.5 - distance, 0, 1)
        fill = np.clip(self._radius + 0.5 - distance, 0, 1)
        place *= (1 - rim) * (1 - fill)
        place += rim * (1 - fill) * _RIM_SHADE
        place += fill * np.array(colour, np.float32)

    def ring(self, x: float, y: float, colour: Colour) -> None:
        """A hollow circle, as large as a dot."""
        place, distance = self._around(x, y)
        cover = np.clip(self._radius + self._rim / 2 + 0.5 - distance, 0, 1)
        cover -= np.clip(0.62 * self._radius + 0.5 - distance, 0, 1)
        place += (np.array(colour, np.float32) - place) * cover

    def _around(self, x: float, y: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The part of the picture that a mark can touch, and its pixels' distances to (x, y), [h, w, 1]."""
        column, row, reach = round(x), round(y), self._reach
        columns = np.arange(max(self._left, column - reach), min(self._right, column + reach + 1), dtype=np.float32)
        rows = np.arange(max(self._top, row - reach), min(self._bottom, row + reach + 1), dtype=np.float32)
        if not (len(columns) and len(rows)):
            return np.zeros((0, 0, 3), np.float32), np.zeros((0, 0, 1), np.float32)
        distance = np.hypot(columns - np.float32(x), rows[:, None] - np.float32(y))
        top, left = int(rows[0]) - self._top, int(columns[0]) - self._left
        return self._picture[top : top + len(rows), left : left + len(columns)], distance[..., None]


def _rim(radius: float) -> float:
    return max(0.5, 0.22 * radius)
