"""Self-supervised loss on unlabelled video: rebuild the target frame's dropped Lab channel from the reference.

The encoder cannot see the channel (see `augment.lab_dropout`), so it can be rebuilt only by finding the right pixels
(FGVC section 3.3, goldens item 35).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fgvc_training.correlation import attention_logits
from fgvc_training.quirks import Quirks

# The published loss compares channels, about -1..1, as 20 times their value: SmoothL1 is then almost L1.
CHANNEL_SCALE = 20.0


def reconstruction_loss(
    correlation: Tensor,
    reference_channel: Tensor,
    target_channel: Tensor,
    *,
    radius: int,
    stride: int,
    temperature: float,
    quirks: Quirks | None = None,
) -> Tensor:
    """SmoothL1 between the target frame's channel and its reconstruction; scalar.

    `correlation` [B, h, w, K] of target with reference features (cosine; raw dot products with temperature sqrt(C)
    under `raw_features_in_reconstruction`); `reference_channel`, `target_channel` [B, 1, H, W]: the channel before
    dropout.  Corrections here: `padding_competes`, `half_pixel_reconstruction`.
    """
    quirks = quirks or Quirks()
    logits = attention_logits(correlation, radius, temperature, padding_competes=quirks.padding_competes)
    labels = reference_channel[:, :, ::stride, ::stride]
    rebuilt = attend(logits.softmax(-1), labels, radius)
    rebuilt, target = _match_sizes(rebuilt, target_channel, stride, half_pixel=quirks.half_pixel_reconstruction)
    return F.smooth_l1_loss(CHANNEL_SCALE * rebuilt, CHANNEL_SCALE * target)


def attend(weights: Tensor, labels: Tensor, radius: int) -> Tensor:
    """Weighted sum of the labels in each pixel's window: [B, h, w, K], [B, 1, h, w] -> [B, 1, h, w]."""
    batch, height, width, entries = weights.shape
    windows = F.unfold(labels, 2 * radius + 1, padding=radius)
    return (weights.reshape(batch, height * width, entries) * windows.transpose(1, 2)).sum(-1).reshape(labels.shape)


def _match_sizes(rebuilt: Tensor, target: Tensor, stride: int, *, half_pixel: bool) -> tuple[Tensor, Tensor]:
    """Enlarge the reconstruction to pixels; the corrected way leaves out pixels past the last feature."""
    if half_pixel:
        return F.interpolate(rebuilt, target.shape[-2:], mode="bilinear", align_corners=False), target
    height, width = ((size - 1) * stride + 1 for size in rebuilt.shape[-2:])
    enlarged = F.interpolate(rebuilt, (height, width), mode="bilinear", align_corners=True)
    return enlarged, target[..., :height, :width]
