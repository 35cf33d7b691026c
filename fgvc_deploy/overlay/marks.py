"""Antialiased dots and rings, centred on their points to a fraction of a pixel.  Trails: `points.py`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

_RIM_SHADE, _RIM_ALPHA = 15.0, 0.65


class MarkPainter:
    """Draws marks of one radius (pixels) into a float32 RGB picture [H, W, 3], later ones over earlier ones.

    A pixel is covered by as much of it as the circle's edge leaves, measured at its centre: exact to about 0.1 px.
    """

    def __init__(self, picture: NDArray[np.float32], radius: float) -> None:
        self._picture = picture
        self._height, self._width = picture.shape[:2]
        self._radius = radius
        self._rim = max(0.5, 0.22 * radius)
        self._reach = math.ceil(radius + self._rim + 1)

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
        columns = np.arange(max(0, column - reach), min(self._width, column + reach + 1), dtype=np.float32)
        rows = np.arange(max(0, row - reach), min(self._height, row + reach + 1), dtype=np.float32)
        if not (len(columns) and len(rows)):
            return np.zeros((0, 0, 3), np.float32), np.zeros((0, 0, 1), np.float32)
        distance = np.hypot(columns - np.float32(x), rows[:, None] - np.float32(y))
        top, left = int(rows[0]), int(columns[0])
        return self._picture[top : top + len(rows), left : left + len(columns)], distance[..., None]
