"""How well an encoder finds the pixels of one frame in another, on held-out pairs with exact flow.

One propagation step as the tracker does it (cosine, window, top-k, softmax), read out as a position.  No labels are
carried over several frames here; `fgvc-deploy eval` does that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgvc_training.correlation import attention_logits, local_correlation, window_offsets
from fgvc_training.data.prepare import PreparedPair
from fgvc_training.losses.soft_label import flow_on_features, valid_pixels
from fgvc_training.occlusion import visible_by_consistency

THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Pixels; TAP-Vid's."""
TOPK = 10


@torch.no_grad()
def matching_figures(
    encoder: nn.Module, pairs: Sequence[PreparedPair], *, stride: int, radius: int, temperature: float
) -> dict[str, float]:
    """Over the visible pixels of all pairs that a feature lies on, every pair with equal weight.

    `delta_avg`: share of them found within 1, 2, 4, 8 and 16 pixels, averaged, in percent.  `end_point_error`: mean
    distance in pixels.
    """
    device = next(encoder.parameters()).device
    shares, distances = [], []
    for pair in pairs:
        images, flow = pair.images.to(device), flow_on_features(pair.flow[None].to(device), stride)
        visible = _visible(pair).to(device)[:, ::stride, ::stride]
        valid = valid_pixels(flow, visible, radius)
        if not bool(valid.any()):
            continue
        found = estimated_flow(encoder(images), radius, temperature)
        error = ((found - flow).norm(dim=1) * stride)[valid]
        shares.append(float(torch.stack([(error < limit).double().mean() for limit in THRESHOLDS]).mean()))
        distances.append(float(error.double().mean()))
    count = max(len(shares), 1)
    return {"delta_avg": 100 * sum(shares) / count, "end_point_error": sum(distances) / count}


def estimated_flow(features: Tensor, radius: int, temperature: float) -> Tensor:
    """Features [2, C, h, w] of reference and target -> flow [1, 2, h, w] target -> reference, in feature pixels."""
    unit = F.normalize(features.float(), dim=1)
    logits = attention_logits(local_correlation(unit[1:], unit[:1], radius), radius, temperature)
    best, places = logits.topk(min(TOPK, logits.shape[-1]), dim=-1)
    offsets = window_offsets(radius, features.device).to(best.dtype)[places]
    return (best.softmax(-1)[..., None] * offsets).sum(-2).permute(0, 3, 1, 2)


def _visible(pair: PreparedPair) -> Tensor:
    if pair.visible is not None:
        return pair.visible[None]
    assert pair.flow_back is not None
    return visible_by_consistency(pair.flow[None], pair.flow_back[None])
