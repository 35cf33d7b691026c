"""What a read-out returns, and the weighted mean that turns the best pixels of a label map into a coordinate.

Finding those pixels is the business of `points_dense.py` (plain) and `points.py` (fast).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.settings import Compat

TOP = 5
"""Pixels that a coordinate is averaged from (goldens item 23)."""

VANISHED = 1e-6
"""Corrected mode: a label whose best pixels average below this is gone; float32 softmax weights are good to 1e-7."""


class PointReadout(NamedTuple):
    """Coordinates read from P label maps.

    `xy` float64 [P, 2]: (x, y) in pixels of the map that was read; where the label has vanished NaN in corrected mode
    and (-1, -1) in reference mode.  `peak` float32 [P]: mean label value of the pixels used, about 0..1.
    """

    xy: NDArray[np.float64]
    peak: NDArray[np.float32]


class BestPixels(NamedTuple):
    """The best pixels of P maps: label values [P, k] and raster indices y * width + x [P, k]."""

    values: NDArray[np.float32]
    pixels: NDArray[np.intp]


def centroid(best: BestPixels, width: int, compat: Compat) -> PointReadout:
    """Mean of pixel positions weighted by label value, for maps `width` pixels wide.

    The reference divides by sum + 1e-9, which pulls faint labels to the origin; corrected mode divides by the sum.
    """
    values, pixels = best
    weight = values.astype(np.float64)
    total = weight.sum(axis=1)
    peak = total / values.shape[1]
    vanished = total == 0 if compat == "reference" else ~(peak >= VANISHED)
    divisor = total + 1e-9 if compat == "reference" else np.where(vanished, 1.0, total)
    weight /= divisor[:, None]
    xy = np.stack([(weight * (pixels % width)).sum(axis=1), (weight * (pixels // width)).sum(axis=1)], axis=1)
    xy[vanished] = -1.0 if compat == "reference" else np.nan
    return PointReadout(xy, peak.astype(np.float32))
