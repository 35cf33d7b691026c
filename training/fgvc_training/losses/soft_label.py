"""Supervised loss on synthetic pairs: the student's correlation window against a teacher's soft label.

The teacher is a frozen 2D encoder.  Its label for a pixel of the target frame is the similarity, within the reference
frame alone, between the feature where the pixel's flow ends and that position's surroundings (FGVC section 3.2,
goldens items 36, 37).  All flow here is in feature pixels, target frame -> reference frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fgvc_training.correlation import attention_logits, local_correlation, window_offsets
from fgvc_training.losses.reduce import mean_over
from fgvc_training.quirks import Quirks
from fgvc_training.sampling import flow_targets, inside_image, sample


def flow_on_features(flow: Tensor, stride: int) -> Tensor:
    """Flow of the pixels under the features, in feature pixels: [B, 2, H, W] -> [B, 2, ceil(H/s), ceil(W/s)].

    Feature (i, j) sits on pixel (s*i, s*j), so subsampling, not averaging, is exact.
    """
    return flow[:, :, ::stride, ::stride] / stride


def valid_pixels(flow: Tensor, visible: Tensor, radius: int, *, targets_outside_image: bool = False) -> Tensor:
    """Pixels that can be supervised: visible, with the target inside the window and the image.

    `flow` [B, 2, h, w] in feature pixels, `visible` bool [B, h, w] -> bool [B, h, w].
    """
    in_window = (flow.abs() <= radius).all(1)
    if targets_outside_image:
        return visible & in_window
    return visible & in_window & inside_image(flow_targets(flow), flow.shape[-2], flow.shape[-1])


def teacher_logits(
    features: Tensor, flow: Tensor, radius: int, temperature: float, quirks: Quirks | None = None
) -> Tensor:
    """Soft labels before the softmax: [B, C, h, w] features of the clean reference frame -> [B, h, w, K].

    Corrections: `teacher_normalized_along_height`, `padding_competes`.
    """
    quirks = quirks or Quirks()
    unit = F.normalize(features, dim=2 if quirks.teacher_normalized_along_height else 1)
    correlation = local_correlation(sample(unit, flow_targets(flow)), unit, radius)
    return attention_logits(correlation, radius, temperature, padding_competes=quirks.padding_competes)


def gaussian_labels(flow: Tensor, radius: int, sigma: float) -> Tensor:
    """A Gaussian of height 1 around the window entry nearest to where the flow ends: [B, 2, h, w] -> [B, h, w, K].

    An alternative to the teacher, or a factor on its logits (`bilateral`); `sigma` in feature pixels.
    """
    centre = flow.round().permute(0, 2, 3, 1)[:, :, :, None]
    offsets = window_offsets(radius, flow.device).to(flow.dtype)
    return torch.exp(-((offsets - centre) ** 2).sum(-1) / (2 * sigma**2))


def gaussian_valid_pixels(flow: Tensor, visible: Tensor, radius: int) -> Tensor:
    """Pixels whose rounded flow lies inside the window: bool [B, h, w]."""
    return visible & (flow.round().abs() <= radius).all(1)


def soft_cross_entropy(logits: Tensor, target_logits: Tensor) -> Tensor:
    """-sum softmax(target) log softmax(logits) over the last axis: [.., K] -> [..].

    Entries that are -inf in both (outside the image) add nothing, and pass no gradient.
    """
    shared_hole = torch.isneginf(logits) & torch.isneginf(target_logits)
    log_probability = logits.log_softmax(-1).masked_fill(shared_hole, 0.0)
    return -(target_logits.softmax(-1) * log_probability).sum(-1)


def soft_label_loss(
    logits: Tensor,
    target_logits: Tensor,
    valid: Tensor,
    quirks: Quirks | None = None,
    *,
    across_processes: bool = False,
) -> Tensor:
    """Soft cross entropy averaged over valid pixels; scalar.  Correction: `nan_without_valid_pixels`."""
    nan_if_empty = (quirks or Quirks()).nan_without_valid_pixels
    values = soft_cross_entropy(logits, target_logits)
    return mean_over(values, valid, nan_if_empty=nan_if_empty, across_processes=across_processes)
