"""What a point tracker says of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.preprocess.size import PixelMap
from fgvc_deploy.propagation.base import Float32Array
from fgvc_deploy.trackers.point_group import PointGroup


class PointStep(NamedTuple):
    """Points on one frame, in the order they were added.

    `ids` int64 [P]; `xy` float32 [P, 2] in source pixels; `visible` bool [P]; `confidence` float32 [P].
    `refined` bool [P]: where `xy` is the fine stage's answer; elsewhere, and with it off, it is the labels'.
    """

    frame_index: int
    ids: NDArray[np.int64]
    xy: Float32Array
    visible: NDArray[np.bool_]
    confidence: Float32Array
    refined: NDArray[np.bool_]


def step_of(
    frame_index: int, groups: Sequence[PointGroup], pixel_map: PixelMap, visible_threshold: float
) -> PointStep:
    """The points of all groups; ids count up as points are added."""
    ids = np.concatenate([np.zeros(0, np.int64), *(group.ids for group in groups)])
    order = np.argsort(ids)
    answers = [group.answer for group in groups]
    xy = np.concatenate([np.zeros((0, 2), np.float32), *(places for places, _ in answers)])[order]
    refined = np.concatenate([np.zeros(0, np.bool_), *(which for _, which in answers)])[order]
    sure = np.concatenate([np.zeros(0, np.float32), *(group.confidence for group in groups)])[order]
    source_xy = pixel_map.to_source(xy).astype(np.float32)
    return PointStep(frame_index, ids[order], source_xy, sure >= visible_threshold, sure, refined)
