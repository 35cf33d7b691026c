"""Losses on a pair of frames: hit the known match, keep to one's own object, come back after going there.

Every function takes logits over the keys of the other frame; which pixels are asked is decided in `module.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fgvc_training.losses.reduce import mean_over


def bilinear_labels(targets: Tensor, height: int, width: int) -> Tensor:
    """Weights of the four keys around each position (x, y) [B, Q, 2] inside the image -> [B, Q, height * width].

    They sum to 1 and their centre of mass is the position itself, so the label is exact below a pixel.
    """
    corner = targets.floor()
    labels = targets.new_zeros(*targets.shape[:2], height * width)
    for dx in (0, 1):
        for dy in (0, 1):
            position = corner + torch.tensor((dx, dy), dtype=targets.dtype)
            weight = (1 - (targets - position).abs()).prod(-1)
            x, y = position[..., 0].clamp(0, width - 1), position[..., 1].clamp(0, height - 1)
            labels.scatter_add_(2, (y * width + x).long()[..., None], weight[..., None])
    return labels


def matching_loss(logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Cross entropy of attention `logits` [B, Q, K] with `labels` [B, Q, K], mean over `valid` bool [B, Q]."""
    log_attention = logits.log_softmax(-1)
    # A key outside the circle has log 0; where the label does not ask for it, it must count 0, not NaN.
    asked = torch.where(labels > 0, labels * log_attention.clamp_min(-30.0), torch.zeros_like(labels))
    return mean_over(-asked.sum(-1), valid)


def identity_loss(logits: Tensor, query_ids: Tensor, key_ids: Tensor) -> Tensor:
    """-log of the attention [B, Q, K] that falls on keys with the query's own object id.

    `query_ids` [B, Q] and `key_ids` [B, K]; -1 = unknown.  Left out are queries of unknown id, and those whose id
    no key in reach has, or all have.
    """
    same = query_ids[..., None] == key_ids[:, None]
    in_reach = ~torch.isneginf(logits)
    mixed = (same & in_reach).any(-1) & (~same & in_reach).any(-1) & (query_ids >= 0)
    total = logits.logsumexp(-1)
    # Rows that are left out keep all their keys: the gradient of an empty logsumexp is NaN.
    own = logits.masked_fill(~same & mixed[..., None], -torch.inf).logsumexp(-1)
    return mean_over(total - own, mixed)


def cycle_loss(there: Tensor, back: Tensor, near: Tensor) -> Tensor:
    """-log probability that a walk there and back ends near where it began (Jabri et al. 2020).

    `there`, `back` [B, K, K]: logits from frame to frame; `near` bool [K, K]: where a walk from each key may end.
    """
    walk = torch.matmul(there.softmax(-1), back.softmax(-1))
    return -(walk * near).sum(-1).clamp_min(1e-8).log().mean()
