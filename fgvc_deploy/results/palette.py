"""The DAVIS palette: one colour per object id, shared by palette PNG masks and by overlays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _davis_palette() -> NDArray[np.uint8]:
    """Bit k of r, g, b comes from bits 3(7-k), 3(7-k)+1, 3(7-k)+2 of the id (PASCAL VOC, taken over by DAVIS)."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return palette


DAVIS_PALETTE: NDArray[np.uint8] = _davis_palette()
"""uint8 RGB [256, 3]; id 0 is black."""
DAVIS_PALETTE.setflags(write=False)
