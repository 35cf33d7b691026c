"""Similarity of sampled query pixels with pixels of another frame, in a circle or a window: what losses are made of.

Shape letters: B pairs, C channels, Q sampled queries, K = h * w keys.  Positions are (x, y) in feature pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fgvc_training.correlation import window_offsets
from fgvc_training.sampling import inside_image, pixel_positions


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


def window_cosines(query: Tensor, keys: Tensor, chosen: Tensor, radius: int) -> Tensor:
    """Cosine of queries [B, Q, C] with the keys of [B, C, h, w] in square windows around raster positions [B, Q].

    0 where the key is outside the image; entries are in the order of `fgvc_training.correlation`.  Returns
    [B, Q, (2 * radius + 1)**2].
    """
    height, width = keys.shape[2:]
    entries = raster_to_xy(chosen, width).long()[:, :, None] + window_offsets(radius, keys.device)
    inside = inside_image(entries, height, width)
    x, y = torch.where(inside[..., None], entries, torch.zeros_like(entries)).unbind(-1)
    cosines = torch.matmul(query, keys.flatten(2)).gather(2, y * width + x)
    return cosines.masked_fill(~inside, 0.0)
