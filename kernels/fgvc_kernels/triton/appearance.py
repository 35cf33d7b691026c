"""What a frame says of points beside their labels' height: whether they look as before, and how much label is left.

    f(x, y)    = unit(bilinear sample of the features at (x, y) / stride, clamped to the map)
    similarity = <f on the query frame, f now>
    mass       = sum of the point's label map

A point whose label has vanished has no coordinate (NaN) and is looked at where it was last seen.  The runtime does
the same in NumPy (fgvc_deploy.trackers.visibility) where features are on the host.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from .config import Config, padded_channels
from .errors import KernelArgumentError
from .launching import FEATURE_TYPES, require_tensor

CONFIG = Config(
    {"PARTS": 32},
    num_warps=1,
    num_stages=1,
    why="One point reads four rows of features: 16 bytes per lane of one warp for 256 channels in fp16, no barriers.",
)


@triton.jit
def appearance_kernel(
    features: tl.tensor,
    xy: tl.tensor,
    partials: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride: tl.tensor,
    maps: tl.tensor,
    parts: tl.tensor,
    first: tl.tensor,
    last: tl.tensor,
    looks: tl.tensor,
    similarity: tl.tensor,
    mass: tl.tensor,
    C: tl.constexpr,
    PADDED_C: tl.constexpr,
    PARTS: tl.constexpr,
) -> None:
    """One point (axis 0).  features [H*W, C], xy fp32 [P, 2], partials fp32 [parts, maps] of `label_mass`.

    last fp32 [P, 2] is where points were last seen, looks fp32 [P, C] how they looked on their query frame: written
    when `first` is 1, then similarity fp32 [P] is not.  mass fp32 [P] always is.
    """
    p = tl.program_id(0)
    total = tl.zeros([PARTS], tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        total += tl.load(partials + part.to(tl.int64) * maps + p, mask=part < parts, other=0.0)
    tl.store(mass + p, tl.sum(total, axis=0))
    x = tl.load(xy + 2 * p)
    y = tl.load(xy + 2 * p + 1)
    if x != x:
        x = tl.load(last + 2 * p)
        y = tl.load(last + 2 * p + 1)
    tl.store(last + 2 * p, x)
    tl.store(last + 2 * p + 1, y)
    x = tl.minimum(tl.maximum(tl.div_rn(x, stride.to(tl.float32)), 0.0), (width - 1).to(tl.float32))
    y = tl.minimum(tl.maximum(tl.div_rn(y, stride.to(tl.float32)), 0.0), (height - 1).to(tl.float32))
    left = x.to(tl.int32)
    top = y.to(tl.int32)
    right = tl.minimum(left + 1, width - 1)
    bottom = tl.minimum(top + 1, height - 1)
    across = x - left.to(tl.float32)
    down = y - top.to(tl.float32)
    c = tl.arange(0, PADDED_C)
    upper_left = tl.load(features + (top * width + left) * C + c, mask=c < C, other=0.0).to(tl.float32)
    upper_right = tl.load(features + (top * width + right) * C + c, mask=c < C, other=0.0).to(tl.float32)
    lower_left = tl.load(features + (bottom * width + left) * C + c, mask=c < C, other=0.0).to(tl.float32)
    lower_right = tl.load(features + (bottom * width + right) * C + c, mask=c < C, other=0.0).to(tl.float32)
    upper = upper_left * (1.0 - across) + upper_right * across
    lower = lower_left * (1.0 - across) + lower_right * across
    mixed = upper * (1.0 - down) + lower * down
    length = tl.maximum(tl.sqrt_rn(tl.sum(mixed * mixed, axis=0)), 1e-12, propagate_nan=tl.PropagateNan.ALL)
    unit = mixed / length
    if first != 0:
        tl.store(looks + p * C + c, unit, mask=c < C)
    else:
        before = tl.load(looks + p * C + c, mask=c < C, other=0.0)
        tl.store(similarity + p, tl.sum(before * unit, axis=0))


class Appearance(NamedTuple):
    """`similarity` and `mass` fp32 [P]."""

    similarity: torch.Tensor
    mass: torch.Tensor


class Points(NamedTuple):
    """What is remembered of points: `last` fp32 [P, 2] in network pixels, and `looks`, unit fp32 [P, C]."""

    last: torch.Tensor
    looks: torch.Tensor


def launch_appearance(
    features: torch.Tensor,
    xy: torch.Tensor,
    partials: torch.Tensor,
    hw: tuple[int, int],
    points: Points,
    *,
    stride: int,
    first: bool,
    config: Config = CONFIG,
) -> Appearance:
    """How P points look at xy fp32 [P, 2] (network pixels) of unit features [H*W, C]; updates `points`.

    `partials` are `launch_label_mass`'s.  With `first` the points are met on their query frame, and their similarity
    is 1.  Raises KernelArgumentError.
    """
    channels, count = _checked(features, xy, partials, hw, points)
    if not 1 <= stride <= 64:
        raise KernelArgumentError(f"A stride of {stride} is not supported: 1 to 64.")
    found = Appearance(torch.ones_like(xy[:, 0]), torch.empty_like(xy[:, 0]))
    parts, maps = partials.shape
    sizes = {"C": channels, "PADDED_C": padded_channels(channels)}
    appearance_kernel[(count,)](
        *(features, xy, partials, *hw, stride, maps, parts, int(first), *points, *found),
        **sizes,
        **config.tiles,
        **config.options,
    )
    return found


def _checked(
    features: torch.Tensor, xy: torch.Tensor, partials: torch.Tensor, hw: tuple[int, int], points: Points
) -> tuple[int, int]:
    """Numbers of channels and points."""
    require_tensor("features", features, FEATURE_TYPES, (hw[0] * hw[1], None))
    require_tensor("xy", xy, (torch.float32,), (None, 2), features.device)
    count, channels = len(xy), features.shape[1]
    require_tensor("partials", partials, (torch.float32,), (None, None), features.device)
    if partials.shape[1] < count:
        raise KernelArgumentError(f"`partials` are of {partials.shape[1]} maps, fewer than the {count} points.")
    require_tensor("last", points.last, (torch.float32,), (count, 2), features.device)
    require_tensor("looks", points.looks, (torch.float32,), (count, channels), features.device)
    return channels, count


def appearance_reference(
    features: torch.Tensor,
    xy: torch.Tensor,
    partials: torch.Tensor,
    hw: tuple[int, int],
    points: Points,
    *,
    stride: int,
    first: bool,
) -> Appearance:
    """The same in plain PyTorch."""
    seen = torch.where(xy.isnan(), points.last, xy)
    points.last.copy_(seen)
    x, y = ((seen[:, axis] / stride).clamp(0, hw[1 - axis] - 1) for axis in (0, 1))
    left, top = x.floor().long(), y.floor().long()
    right, bottom = (left + 1).clamp(max=hw[1] - 1), (top + 1).clamp(max=hw[0] - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    rows = features.float().reshape(*hw, -1)
    upper = rows[top, left] * (1 - across) + rows[top, right] * across
    lower = rows[bottom, left] * (1 - across) + rows[bottom, right] * across
    unit = torch.nn.functional.normalize(upper * (1 - down) + lower * down, dim=1)
    if first:
        points.looks.copy_(unit)
    return Appearance((points.looks * unit).sum(1) if not first else torch.ones_like(x), partials.sum(0)[: len(xy)])
