"""Draws tracked objects on frames: the palette's colour inside, a line around.  Points: `points.py`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.results.palette import DAVIS_PALETTE

Frame = NDArray[np.uint8]


class MaskOverlay:
    """Draws object masks in the colours of the DAVIS palette.  Keeps nothing between frames.

    `alpha` in 0..1 is how much of the palette's colour covers an object; contours are drawn opaque, lightened, and
    inside the object, so they never hide background.  Their width follows the frame's size.
    """

    def __init__(self, alpha: float = 0.45) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must lie in 0..1: {alpha}")
        weight = round(256 * alpha)
        # By id, in 256ths: how much of the frame stays, and what the palette adds.  Background stays as it is.
        self._stays = np.full((256, 1), 256 - weight, np.uint16)
        self._stays[0] = 256
        palette = DAVIS_PALETTE.astype(np.uint16)
        # A grey-scale mask has one object, 255, whose palette colour is a pale grey: give it the first object's.
        palette[255] = palette[1]
        self._adds = palette * np.uint16(weight)
        self._adds[0] = 0
        # Two thirds of the way to white: tells objects apart and stands out on dark and coloured ground.
        self._line = (255 - (255 - palette) // 3).astype(np.uint8)

    def draw(self, frame: Frame, labels: NDArray[np.uint8]) -> Frame:
        """A copy of `frame`, uint8 RGB [H, W, 3], with the objects of `labels`, uint8 ids [H, W], 0 = background."""
        if labels.shape != frame.shape[:2]:
            raise ValueError(f"mask of {labels.shape} on a frame of {frame.shape}")
        out = frame.copy()
        box = _bounding_box(labels)
        ids = labels[box]
        mixed = frame[box] * np.take(self._stays, ids, axis=0)
        mixed += np.take(self._adds, ids, axis=0)
        out[box] = mixed >> 8
        contour = _contour(labels, max(1, round(min(labels.shape) / 240)))
        out[contour] = self._line[labels[contour]]
        return out


def _bounding_box(labels: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns that hold objects; empty slices when there are none."""
    rows, columns = (np.flatnonzero(labels.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _contour(labels: NDArray[np.uint8], width: int) -> NDArray[np.bool_]:
    """Pixels of an object within `width` (city block) of another object or the background; the border is neither."""
    inner = np.ones(labels.shape, np.bool_)
    inner[1:] &= labels[1:] == labels[:-1]
    inner[:-1] &= labels[1:] == labels[:-1]
    inner[:, 1:] &= labels[:, 1:] == labels[:, :-1]
    inner[:, :-1] &= labels[:, 1:] == labels[:, :-1]
    for _ in range(width - 1):
        previous = inner.copy()
        inner[1:] &= previous[:-1]
        inner[:-1] &= previous[1:]
        inner[:, 1:] &= previous[:, :-1]
        inner[:, :-1] &= previous[:, 1:]
    return ~inner & (labels > 0)
