"""Carrying labels along matches: the second half of propagation, a gather and a weighted sum.

    label'(p, c) = sum_i w_i(p) * label_{t_i}(n_i, c),   position_i = t_i * H*W + n_i

(Goldens item 10: raw label values, not normalised again.)  One program owns some pixels and some channels and adds
the k gathered rows in fp32.  An entry of weight 0 is not read: it stands for "no key".  The plain version is in
`propagate_reference.py`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .config import Config, require_topk
from .launching import require_slots, require_tensor

LABEL_TYPES = (torch.float32, torch.float16)
CONFIG = Config(
    {"PIXELS": 32, "CHANNELS": 16},
    num_warps=4,
    num_stages=1,
    why="16 channels are 64 bytes of fp32 labels, two sectors of a gather; 32 pixels give each thread 4 channels of "
    "every key, one load of 128 bits where rows allow it.  Unrolling over k keeps all those loads in flight, which "
    "hides their latency.",
)


@triton.jit
def propagate_kernel(
    positions: tl.tensor,
    weights: tl.tensor,
    labels: tl.tensor,
    slots: tl.tensor,
    pixels: tl.tensor,
    channels: tl.tensor,
    out: tl.tensor,
    K: tl.constexpr,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """PIXELS pixels (axis 0) and CHANNELS channels (axis 1).

    positions int32 and weights fp32 [H*W, K], labels [ring, H*W, P], slots int32 [T], out [H*W, P].
    """
    # Rows of a multiple of four channels begin on 128 bits.  Written so, the compiler sees it: a thread then reads
    # four channels of one pixel at once, and its position, weight and slot once instead of four times.
    if channels % 4 == 0:
        _carry(positions, weights, labels, slots, pixels, channels // 4 * 4, out, K, PIXELS, CHANNELS)
    else:
        _carry(positions, weights, labels, slots, pixels, channels, out, K, PIXELS, CHANNELS)


@triton.jit
def _carry(
    positions: tl.tensor,
    weights: tl.tensor,
    labels: tl.tensor,
    slots: tl.tensor,
    pixels: tl.tensor,
    channels: tl.tensor,
    out: tl.tensor,
    K: tl.constexpr,
    PIXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """The work of one program; the answer does not depend on what the compiler knows of `channels`."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = pixel < pixels
    present = (channel < channels)[None, :]
    total = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for i in tl.static_range(K):
        position = tl.load(positions + pixel * K + i, mask=inside, other=0)
        weight = tl.load(weights + pixel * K + i, mask=inside, other=0.0)
        t = position // pixels
        ring = tl.load(slots + t, mask=inside, other=0).to(tl.int64)
        row = (ring * pixels + (position - t * pixels)) * channels
        wanted = (weight != 0)[:, None] & present
        label = tl.load(labels + row[:, None] + channel[None, :], mask=wanted, other=0.0)
        total += weight[:, None] * label.to(tl.float32)
    to = pixel.to(tl.int64)[:, None] * channels + channel[None, :]
    tl.store(out + to, total.to(out.dtype.element_ty), mask=inside[:, None] & present)


def launch_propagate(
    positions: torch.Tensor,
    weights: torch.Tensor,
    labels: torch.Tensor,
    slots: torch.Tensor,
    *,
    out: torch.Tensor | None = None,
    config: Config = CONFIG,
) -> torch.Tensor:
    """Labels [H*W, P] of a query from matches [H*W, k] and the ring `labels` [R, H*W, P], fp32 or fp16.

    `slots` int32 [T]: the place of each key frame in the ring.  The result goes into `out`, which must not be part of
    `labels`, or into a new tensor of their type.  Raises KernelArgumentError.
    """
    require_tensor("positions", positions, (torch.int32,), (None, None))
    pixels, topk = positions.shape
    require_topk(topk)
    require_tensor("weights", weights, (torch.float32,), (pixels, topk), positions.device)
    require_tensor("labels", labels, LABEL_TYPES, (None, pixels, None), positions.device)
    require_slots(slots, positions.device)
    channels = labels.shape[2]
    out = labels.new_empty((pixels, channels)) if out is None else out
    require_tensor("out", out, (labels.dtype,), (pixels, channels), positions.device)
    if channels:
        grid = propagate_grid(pixels, channels, config)
        data = (positions, weights, labels, slots, pixels, channels, out)
        propagate_kernel[grid](*data, K=topk, **config.tiles, **config.options)
    return out


def propagate_grid(pixels: int, channels: int, config: Config = CONFIG) -> tuple[int, int]:
    """Programs of one launch: groups of pixels, groups of channels."""
    return triton.cdiv(pixels, config.tiles["PIXELS"]), triton.cdiv(channels, config.tiles["CHANNELS"])
