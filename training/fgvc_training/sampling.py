"""Reading feature maps and flow fields at fractional positions.  Positions are (x, y), integer = pixel centre."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_positions(height: int, width: int, like: Tensor) -> Tensor:
    """(x, y) of every pixel, [H, W, 2], in the dtype and on the device of `like`."""
    y = torch.arange(height, dtype=like.dtype, device=like.device)
    x = torch.arange(width, dtype=like.dtype, device=like.device)
    y_HW, x_HW = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((x_HW, y_HW), dim=-1)


def flow_targets(flow: Tensor) -> Tensor:
    """Where each pixel's flow ends: [B, 2, H, W] (x, y) displacement -> positions [B, H, W, 2]."""
    return pixel_positions(flow.shape[-2], flow.shape[-1], flow) + flow.permute(0, 2, 3, 1)


def inside_image(positions: Tensor, height: int, width: int) -> Tensor:
    """Whether positions [.., 2] lie on or between pixel centres of an H x W image, bool [..]."""
    x, y = positions.unbind(-1)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def sample(image: Tensor, positions: Tensor) -> Tensor:
    """Bilinear `image` [B, C, H, W] at `positions` [B, h, w, 2] -> [B, C, h, w]; outside the image it fades to 0."""
    height, width = image.shape[-2:]
    extent = torch.tensor((max(width - 1, 1), max(height - 1, 1)), dtype=positions.dtype, device=positions.device)
    return F.grid_sample(image, positions * 2 / extent - 1, padding_mode="zeros", align_corners=True)
