"""Domain-adversarial loss: correlation windows of synthetic and of real pairs should look alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def adversarial_loss(discriminator: nn.Module, synthetic: Tensor, video: Tensor) -> Tensor:
    """Binary cross entropy of telling synthetic (0) from video (1) windows, mean over all pixels; scalar.

    `synthetic`, `video` [B, h, w, K].  The discriminator reverses the gradient that reaches the encoder
    (FGVC section 3.4, goldens item 38).
    """
    synthetic_logits: Tensor = discriminator(synthetic)
    video_logits: Tensor = discriminator(video)
    logits = torch.cat((synthetic_logits, video_logits))
    truth = torch.cat((torch.zeros_like(synthetic_logits), torch.ones_like(video_logits)))
    return F.binary_cross_entropy_with_logits(logits, truth)
