"""Attention of sampled query pixels to all pixels of another frame inside a circle: the building block of the losses.

Shape letters: B pairs, C channels, Q sampled queries, K = h * w keys.  Positions are (x, y) in feature pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fgvc_training.sampling import pixel_positions


def gather_pixels(maps: Tensor, chosen: Tensor) -> Tensor:
    """`maps` [B, C, h, w] at raster positions `chosen` int64 [B, Q] -> [B, Q, C]."""
    flat = maps.flatten(2)
    return flat.gather(2, chosen[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)


def raster_to_xy(chosen: Tensor, width: int) -> Tensor:
    """Raster positions [B, Q] -> (x, y) float32 [B, Q, 2]."""
    return torch.stack((chosen % width, chosen // width), dim=-1).float()


def circle_logits(query: Tensor, keys: Tensor, centres: Tensor, radius: float, temperature: float) -> Tensor:
    """Cosine / temperature of queries [B, Q, C] with the keys of [B, C, h, w]; -inf outside the circle.

    `centres` [B, Q, 2] are the circles' (x, y): a key is allowed iff its distance is < radius, as in propagation.
    A query whose circle holds no key attends to all.  Returns [B, Q, K].
    """
    logits = torch.matmul(query, keys.flatten(2)) / temperature
    positions = pixel_positions(keys.shape[2], keys.shape[3], centres).flatten(0, 1)
    outside = torch.cdist(centres, positions[None].expand(len(centres), -1, -1)) >= radius
    return logits.masked_fill(outside & ~outside.all(-1, keepdim=True), -torch.inf)
