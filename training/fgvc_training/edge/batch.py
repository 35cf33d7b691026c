"""What the losses of the edge encoder are computed from: pairs as tensors, and the pixels that are asked of it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PairTensors(NamedTuple):
    """B pairs on the feature grid [h, w]; frame 0 is the reference, frame 1 the target whose pixels are asked.

    One pair that is not yet part of a batch has the same fields without the axis B.

    `frames` [B, 2, 3, H, W], ImageNet-normalised RGB; `flow` [B, 2, h, w], target to reference in feature pixels;
    `valid` bool [B, h, w]: where flow is right; `ids` int64 [B, 2, h, w]: objects, -1 = unknown; `colours`
    [B, 2, 2, h, w]: normalised Lab a and b before the photometric change; `synthetic` bool [B].
    """

    frames: Tensor
    flow: Tensor
    valid: Tensor
    ids: Tensor
    colours: Tensor
    synthetic: Tensor


class Queries(NamedTuple):
    """Q target pixels of each pair: raster positions `chosen` int64 [B, Q], the same as (x, y) `own` [B, Q, 2].

    `goal` [B, Q, 2] is where flow ends, `known` bool [B, Q]: whether that is right, inside the image and in reach.
    """

    chosen: Tensor
    own: Tensor
    goal: Tensor
    known: Tensor
