"""Which query pixels can receive label mass: matching the others would change next to nothing.

A pixel's new label is a weighted mean of labels inside its window, so where no key frame has noticeable mass within
the window the result is next to nothing too (issue 3, item 4; error and choice of tau: docs/active-set.md).
What is skipped, and how, is up to the propagation backend.
"""

from __future__ import annotations

import numpy as np

from fgvc_deploy.propagation.base import BoolArray, Float32Array, Window
from fgvc_deploy.propagation.windows import half_widths


def label_mass(labels: Float32Array, tau: float) -> BoolArray:
    """Pixels of label maps [H*W, P] where some channel is above tau times its own maximum: bool [H*W]."""
    above: BoolArray = (labels > np.float32(tau) * labels.max(axis=0)).any(axis=1)
    return above


def within_reach(mass: BoolArray, hw: tuple[int, int], window: Window) -> BoolArray:
    """Queries with a pixel of `mass` in their window, both bool [H*W].

    Windows are symmetric, so this is a dilation: for each row offset, runs of a fixed width, found by counting.
    """
    height, width = hw
    widths = half_widths(window, hw)
    far = widths[0]
    counted = np.zeros((height, width + 2 * far + 1), np.int32)
    np.cumsum(mass.reshape(hw), axis=1, out=counted[:, far + 1 : far + 1 + width])
    counted[:, far + 1 + width :] = counted[:, far + width, None]
    reached = np.zeros(hw, np.bool_)
    for dy, half in enumerate(widths[:height]):
        first, behind = far - half, far + half + 1
        near = counted[:, behind : behind + width] > counted[:, first : first + width]
        reached[dy:] |= near[: height - dy]
        reached[: height - dy] |= near[dy:]
    return reached.reshape(-1)
