"""Local correlation: dot products of every pixel with the keys of a square window around it.

Volumes are channels-last, [B, H, W, K] with K = (2r+1)**2, so a pixel's window is one contiguous row.  Window entry
(dy + r) * (2r + 1) + (dx + r) belongs to the key at (y + dy, x + dx): the order of `torch.nn.functional.unfold`.
Only the volume and its geometry live here; what is made of it is in `losses`.

Shape letters: B batch, C channels, H and W feature height and width, K window entries, r radius.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fgvc_training.errors import ShapeError


def local_correlation(query: Tensor, key: Tensor, radius: int, *, spacing: int = 1, patch: int = 1) -> Tensor:
    """Dot product of each query pixel with the keys around it; 0 where the key is outside the image.

    `query`, `key`: [B, C, H, W] -> [B, H, W, K], not divided by C (goldens item 33).  `spacing` is the step between
    window entries and `patch` (odd) the side of the square over which products are summed: the dilation_patch and
    kernel_size of mmcv's Correlation.  Raises ShapeError if the two feature maps differ in shape.
    """
    if query.shape != key.shape:
        raise ShapeError(f"query features {tuple(query.shape)} and key features {tuple(key.shape)} differ in shape")
    height, width = query.shape[-2:]
    reach = radius * spacing
    # Rows first: a slice of rows then stays one contiguous block, and autograd keeps views of it, not copies.
    query_HBWC = query.permute(2, 0, 3, 1).contiguous()
    key_HBCW = F.pad(key, (reach, reach, reach, reach)).permute(2, 0, 1, 3).contiguous()
    rows = [
        _band(torch.matmul(query_HBWC, key_HBCW[top : top + height]), 2 * reach + 1)[..., ::spacing]
        for top in range(0, 2 * reach + 1, spacing)
    ]
    volume = torch.stack(rows, dim=3).permute(1, 0, 2, 3, 4).reshape(query.shape[0], height, width, -1)
    return volume if patch == 1 else _sum_over_patch(volume, patch)


def _band(product: Tensor, size: int) -> Tensor:
    """[.., W, W + size - 1] -> [.., W, size]: entry d of row x is product[x, x + d]."""
    *lead, width, columns = product.shape
    # Padding the flattened rows by W shifts row x by x when they are cut again one longer.
    flat = F.pad(product.reshape(*lead, width * columns), (0, width))
    return flat.reshape(*lead, width, columns + 1)[..., :size]


def _sum_over_patch(volume: Tensor, patch: int) -> Tensor:
    total = F.avg_pool2d(volume.permute(0, 3, 1, 2), patch, 1, patch // 2) * patch**2
    return total.permute(0, 2, 3, 1)


def window_offsets(radius: int, device: torch.device | None = None) -> Tensor:
    """(dx, dy) of every window entry, int64 [K, 2]."""
    steps = torch.arange(-radius, radius + 1, device=device)
    dy, dx = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((dx, dy), dim=-1).reshape(-1, 2)


def window_inside(height: int, width: int, radius: int, device: torch.device | None = None) -> Tensor:
    """Whether each window entry lies inside the image, bool [H, W, K]."""
    steps = torch.arange(-radius, radius + 1, device=device)
    y = torch.arange(height, device=device)[:, None] + steps
    x = torch.arange(width, device=device)[:, None] + steps
    y_inside = (y >= 0) & (y < height)
    x_inside = (x >= 0) & (x < width)
    return (y_inside[:, None, :, None] & x_inside[None, :, None, :]).reshape(height, width, -1)


def attention_logits(
    correlation: Tensor, radius: int, temperature: float, *, padding_competes: bool = False
) -> Tensor:
    """`correlation` [B, H, W, K] / temperature, with -inf at window entries outside the image.

    Every pixel keeps at least itself, so the softmax is finite.  `padding_competes` leaves those entries at 0.
    """
    logits = correlation / temperature
    if padding_competes:
        return logits
    inside = window_inside(logits.shape[1], logits.shape[2], radius, logits.device)
    return logits.masked_fill(~inside, -torch.inf)
