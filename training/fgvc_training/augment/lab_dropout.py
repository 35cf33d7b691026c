"""Channel dropout on Lab images: hide one colour channel, so that it can serve as reconstruction target."""

from __future__ import annotations

import numpy as np
from torch import Tensor

COLOUR_CHANNELS = (1, 2)


def draw_dropped_channel(rng: np.random.RandomState | np.random.Generator) -> int:
    """1 (a) or 2 (b), never L; one draw of `rng`.

    `np.random.RandomState(seed)` gives the published code's channels after np.random.seed(seed): the number of
    channels it also draws can only be 1 and takes nothing from the stream (goldens item 34).
    """
    return int(rng.choice(np.array(COLOUR_CHANNELS), 1, replace=False)[0])


def drop_channel(images: Tensor, channel: int, *, in_place: bool = False) -> Tensor:
    """Lab images [.., 3, H, W] with `channel` set to 0 and the others scaled by 3/2, as dropout does.

    One channel for all frames and samples.  `in_place` overwrites the caller's tensor, as published.
    """
    dropped = images if in_place else images.clone()
    dropped.mul_(1.5)
    dropped.select(-3, channel).zero_()
    return dropped
