"""Pseudo labels on real video: dense flow over a few frames, kept only where going there and back agrees.

The estimator is OpenCV's DIS (Kroeger et al. 2016): far from perfect, but where it returns to its start it is right
to a fraction of a pixel, and that is where its labels are used.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fgvc_training.errors import TrainingError
from fgvc_training.sampling import flow_targets, inside_image, sample


class MissingOpenCV(TrainingError):
    """Flow is needed and OpenCV is not installed."""


class ChainedFlow(NamedTuple):
    """`flow` [2, H, W], (x, y) pixels from the first frame to the last; `valid` bool [H, W]: where to trust it."""

    flow: Tensor
    valid: Tensor


def estimate_flow(frame: NDArray[np.uint8], other: NDArray[np.uint8]) -> Tensor:
    """DIS flow of the pixels of `frame` to `other`, uint8 RGB [H, W, 3] -> float32 [2, H, W].

    Raises MissingOpenCV.
    """
    cv2 = _opencv()
    grey = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in (frame, other)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return torch.from_numpy(flow).permute(2, 0, 1).contiguous()


def chain(flows: list[Tensor], flows_back: list[Tensor], tolerance: float) -> ChainedFlow:
    """Flow over all steps, `flows[i]` [2, H, W] from frame i to i + 1 and `flows_back[i]` the way back.

    Valid are pixels that stay inside the image and whose way back ends within `tolerance` px.
    """
    there, inside = _follow(flows, torch.zeros_like(flows[0]))
    back, also_inside = _follow(flows_back[::-1], there)
    return ChainedFlow(there, inside & also_inside & (back.norm(dim=0) < tolerance))


def _follow(flows: list[Tensor], start: Tensor) -> tuple[Tensor, Tensor]:
    """Displacement [2, H, W] after following `flows` from pixel + start, and whether it was always inside."""
    total = start.clone()
    inside = torch.ones(total.shape[1:], dtype=torch.bool)
    for flow in flows:
        positions = flow_targets(total[None])
        inside &= inside_image(positions, *total.shape[1:])[0]
        total = total + sample(flow[None], positions)[0]
    return total, inside & inside_image(flow_targets(total[None]), *total.shape[1:])[0]


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise MissingOpenCV(
            "flow on real video needs OpenCV: pip install opencv-python-headless, or set longest_chain to 0"
        ) from None
    cv2.setNumThreads(1)
    return cv2
