"""Sums of label maps, in parts: how much of a point's label is left is evidence of whether it can be seen.

partials[i, p] = sum of map p over pixels i * PIXELS * ROUNDS up to the next part.  The parts are added by
`appearance.py`, so that no atomics are needed and the same labels give the same bits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .config import Config
from .launching import require_tensor

CONFIG = Config(
    {"PIXELS": 64, "ROUNDS": 16, "CHANNELS": 16},
    num_warps=4,
    num_stages=1,
    why="64 pixels x 16 maps are 8 accumulators per thread, 16 loads in flight each; a part of 1024 pixels leaves 25 "
    "parts for a map of 120 x 214, and as many programs for 16 points.",
)


@triton.jit
def label_mass_kernel(
    labels: tl.tensor,
    pixels: tl.tensor,
    maps: tl.tensor,
    partials: tl.tensor,
    PIXELS: tl.constexpr,
    ROUNDS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """One part of the pixels (axis 0) of CHANNELS maps (axis 1): labels [H*W, P] to partials fp32 [parts, P]."""
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = (channel < maps)[None, :]
    first = tl.program_id(0) * PIXELS * ROUNDS + tl.arange(0, PIXELS)
    total = tl.zeros([PIXELS, CHANNELS], tl.float32)
    for turn in range(ROUNDS):
        pixel = first + turn * PIXELS
        place = pixel.to(tl.int64)[:, None] * maps + channel[None, :]
        total += tl.load(labels + place, mask=(pixel < pixels)[:, None] & present, other=0.0).to(tl.float32)
    to = partials + tl.program_id(0).to(tl.int64) * maps + channel
    tl.store(to, tl.sum(total, axis=0), mask=channel < maps)


def launch_label_mass(labels: torch.Tensor, config: Config = CONFIG) -> torch.Tensor:
    """Partial sums fp32 [parts, P] of label maps fp32 or fp16 [H*W, P]; raises KernelArgumentError."""
    require_tensor("labels", labels, (torch.float32, torch.float16), (None, None))
    pixels, maps = labels.shape
    grid = label_mass_grid(pixels, maps, config)
    partials = labels.new_empty((grid[0], maps), dtype=torch.float32)
    label_mass_kernel[grid](labels, pixels, maps, partials, **config.tiles, **config.options)
    return partials


def label_mass_grid(pixels: int, maps: int, config: Config = CONFIG) -> tuple[int, int]:
    """Programs of one launch: parts of the pixels, groups of maps."""
    part = config.tiles["PIXELS"] * config.tiles["ROUNDS"]
    return triton.cdiv(pixels, part), triton.cdiv(maps, config.tiles["CHANNELS"])


def label_mass_reference(labels: torch.Tensor, config: Config = CONFIG) -> torch.Tensor:
    """The same in plain PyTorch."""
    part = config.tiles["PIXELS"] * config.tiles["ROUNDS"]
    padded = torch.nn.functional.pad(labels.float(), (0, 0, 0, -len(labels) % part))
    return padded.reshape(-1, part, labels.shape[1]).sum(1)
