"""Which pixels of a frame are visible in the other frame, estimated from the flow in both directions.

Three estimates (goldens item 37).  Every function takes `flow` [B, 2, H, W], (x, y) pixels from this frame to the
other, and `flow_back` from the other frame to this one, and returns bool [B, H, W], True = visible.
Exact masks of synthetic scenes come with the data and need none of these.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fgvc_training.quirks import Quirks
from fgvc_training.sampling import flow_targets, inside_image, pixel_positions, sample


def visible_by_consistency(flow: Tensor, flow_back: Tensor, quirks: Quirks | None = None) -> Tensor:
    """Forward plus backward flow cancel: |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5, b = flow_back where f ends.

    Corrections: `doubled_flow_in_occlusion`, `half_pixel_occlusion_warp`.
    """
    quirks = quirks or Quirks()
    back, inside = _flow_back_at_target(flow, flow_back, quirks)
    forward_term = 2 * flow if quirks.doubled_flow_in_occlusion else flow**2
    threshold = (forward_term + back**2).sum(1) * 0.01 + 0.5
    return (((flow + back) ** 2).sum(1) < threshold) & inside


def visible_by_difference(
    flow: Tensor, flow_back: Tensor, quirks: Quirks | None = None, *, pixels: float = 1.5
) -> Tensor:
    """Forward plus backward flow cancel to within `pixels`.  Correction: `half_pixel_occlusion_warp`."""
    back, inside = _flow_back_at_target(flow, flow_back, quirks or Quirks())
    return (((flow + back) ** 2).sum(1).sqrt() < pixels) & inside


def visible_by_range_map(flow_back: Tensor, quirks: Quirks | None = None) -> Tensor:
    """Enough of the other frame's pixels land on this pixel.  Correction: `range_map_needs_full_mass`."""
    needed = 1.0 if (quirks or Quirks()).range_map_needs_full_mass else 0.5
    return range_map(flow_back) >= needed


def range_map(flow: Tensor) -> Tensor:
    """How many pixels land on each pixel when all move by `flow`, shared bilinearly: [B, 2, H, W] -> [B, H, W]."""
    batch, _, height, width = flow.shape
    targets = flow_targets(flow)
    corner = targets.floor()
    mass = torch.zeros(batch, height * width, dtype=flow.dtype, device=flow.device)
    for step in pixel_positions(2, 2, flow).reshape(4, 2):
        position = corner + step
        weight = (1 - (targets - position).abs()).prod(-1) * inside_image(position, height, width)
        x = position[..., 0].clamp(0, width - 1).long()
        y = position[..., 1].clamp(0, height - 1).long()
        mass.scatter_add_(1, (y * width + x).flatten(1), weight.flatten(1))
    return mass.reshape(batch, height, width)


def _flow_back_at_target(flow: Tensor, flow_back: Tensor, quirks: Quirks) -> tuple[Tensor, Tensor]:
    """`flow_back` where `flow` ends [B, 2, H, W], and whether that is inside the image [B, H, W]."""
    height, width = flow.shape[-2:]
    targets = flow_targets(flow)
    if not quirks.half_pixel_occlusion_warp:
        return sample(flow_back, targets), inside_image(targets, height, width)
    # The published warp normalises by W - 1 for a sampler that divides by W, and zeroes what is not fully inside.
    extent = torch.tensor((width - 1, height - 1), dtype=flow.dtype, device=flow.device)
    grid = targets * 2 / extent - 1
    back = F.grid_sample(flow_back, grid, align_corners=False)
    whole = F.grid_sample(torch.ones_like(flow_back), grid, align_corners=False) > 0.9999
    return back * whole, torch.ones_like(whole[:, 0])
