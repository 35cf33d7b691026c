"""Where an upsampled pixel reads its label map: tables for the read-out kernels.  NumPy and PyTorch, no kernels.

Value = low * (1 - weight) + high * weight along x, then along y, high being the next feature or the last.  The
tables restate fgvc_deploy.readout.resample, which this package may not import; tests hold the two together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class AxisTaps(NamedTuple):
    """Taps of one axis with n features and m pixels.

    `low` int32 [m] (never falling) and `weight` fp32 [m] of the next feature; `start` int32 [n + 1]: the pixels
    start[i] .. start[i + 1] - 1 have low == i.  `span` is the largest number of those.
    """

    low: torch.Tensor
    weight: torch.Tensor
    start: torch.Tensor
    span: int


@lru_cache(maxsize=32)
def axis_taps(
    features: int, pixels: int, stride: int, network: int, reference: bool, device: torch.device
) -> AxisTaps:
    """Taps from `features` samples to `pixels` pixels.

    Corrected: feature i sits on network pixel stride * i, and the pixels cover `network` network pixels.  With
    `reference`: torch's bilinear align_corners=False, whose scale and position are rounded to fp32 (goldens item 23).
    """
    index = np.arange(pixels) + 0.5
    position: NDArray[np.floating[Any]]
    if reference:
        scale = np.float64(np.float32(features) / np.float32(pixels))
        position = np.maximum((scale * index - 0.5).astype(np.float32), np.float32(0))
    else:
        position = ((index * (network / pixels) - 0.5) / stride).clip(0, features - 1)
    low = position.astype(np.int64)
    start = np.searchsorted(low, np.arange(features + 1)).astype(np.int32)
    tables = (low.astype(np.int32), (position - low).astype(np.float32), start)
    on_device = [torch.tensor(table, device=device) for table in tables]
    return AxisTaps(on_device[0], on_device[1], on_device[2], int(np.diff(start).max()))


def upsample(maps: torch.Tensor, rows: AxisTaps, cols: AxisTaps) -> torch.Tensor:
    """Label maps fp32 [P, h, w] at every pixel, [P, H, W], in plain PyTorch and the runtime's order of roundings."""
    low, high = cols.low.long(), (cols.low.long() + 1).clamp(max=maps.shape[2] - 1)
    maps = maps[:, :, low] * (1 - cols.weight) + maps[:, :, high] * cols.weight
    low, high = rows.low.long(), (rows.low.long() + 1).clamp(max=maps.shape[1] - 1)
    return maps[:, low] * (1 - rows.weight)[:, None] + maps[:, high] * rows.weight[:, None]
