"""Colours of points: a rainbow over where they start, so that motion can be followed and points told apart.

Colours of objects are the DAVIS palette, `fgvc_deploy.results.palette`.
"""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Red to violet; the full circle would end at red again.
_LAST_HUE = 0.83
_GOLDEN_RATIO = 0.6180339887498949


# Bounded: a stream may add points for ever.
@lru_cache(maxsize=4096)
def _colour(hue: float) -> tuple[int, int, int]:
    """RGB of a hue in 0..1, lightened where full saturation looks dark (blue and violet)."""
    red, green, blue = colorsys.hsv_to_rgb(hue, 1.0, 1.0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    white = 0.7 * max(0.0, 0.299 - luma)
    light = [round(255 * (channel + white * (1 - channel))) for channel in (red, green, blue)]
    return light[0], light[1], light[2]


def rainbow(initial_xy: NDArray[np.floating]) -> list[tuple[int, int, int]]:
    """One RGB colour per point of [N, 2]: from red at the top to violet at the bottom, by rank of y, then of x."""
    order = np.lexsort((initial_xy[:, 0], initial_xy[:, 1]))
    last = max(1, len(order) - 1)
    colours = [(0, 0, 0)] * len(order)
    for rank, point in enumerate(order.tolist()):
        colours[point] = _colour(_LAST_HUE * rank / last)
    return colours


def colour_of_late_point(point: int) -> tuple[int, int, int]:
    """Colour of a point that was added while running: successive ids are far apart on the colour circle."""
    return _colour(point * _GOLDEN_RATIO % 1.0)
