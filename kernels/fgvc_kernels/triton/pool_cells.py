"""Coarse features for the coarse-to-fine mode: the mean of each cell of unit features, made a unit vector again.

    cell(i, j) = unit(sum of f(y, x) for y // scale == i, x // scale == j)

A cell that the border cuts takes the pixels it has; dividing by their number would change nothing.  `local_topk` on
the result, with k = 1 and one list per frame, finds what `refine.py` starts from.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .config import Config
from .errors import KernelArgumentError
from .launching import require_features

CONFIG = Config(
    {"CELLS": 16},
    num_warps=4,
    num_stages=1,
    why="16 cells x 256 channels are 32 accumulators per thread; a feature row is read once, in 16-byte pieces.",
)


@triton.jit
def pool_cells_kernel(
    features: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out: tl.tensor,
    C: tl.constexpr,
    PADDED_C: tl.constexpr,
    SCALE: tl.constexpr,
    CELLS: tl.constexpr,
) -> None:
    """CELLS cells (axis 0): features [H*W, C] to out [cells, C]."""
    grid_width = tl.cdiv(width, SCALE)
    cell = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    present = cell < tl.cdiv(height, SCALE) * grid_width
    c = tl.arange(0, PADDED_C)
    total = tl.zeros([CELLS, PADDED_C], tl.float32)
    for inner in range(SCALE * SCALE):
        y = cell // grid_width * SCALE + inner // SCALE
        x = cell % grid_width * SCALE + inner % SCALE
        wanted = (present & (y < height) & (x < width))[:, None] & (c < C)[None, :]
        total += tl.load(features + (y * width + x)[:, None] * C + c[None, :], mask=wanted, other=0.0).to(tl.float32)
    norm = tl.maximum(tl.sqrt_rn(tl.sum(total * total, axis=1)), 1e-12, propagate_nan=tl.PropagateNan.ALL)
    unit = (total / norm[:, None]).to(out.dtype.element_ty)
    tl.store(out + cell[:, None] * C + c[None, :], unit, mask=present[:, None] & (c < C)[None, :])


def launch_pool_cells(
    features: torch.Tensor, hw: tuple[int, int], *, scale: int = 4, config: Config = CONFIG
) -> torch.Tensor:
    """Coarse unit features [ceil(H/scale) * ceil(W/scale), C] of unit features [H*W, C], in the same type."""
    channels = require_features(features, features[None], hw)
    if not 2 <= scale <= 16:
        raise KernelArgumentError(f"A coarse cell is 2 to 16 pixels wide, not {scale}.")
    cells = triton.cdiv(hw[0], scale) * triton.cdiv(hw[1], scale)
    out = features.new_empty((cells, channels))
    sizes = {"C": channels, "PADDED_C": triton.next_power_of_2(channels), "SCALE": scale}
    grid = pool_cells_grid(cells, config)
    pool_cells_kernel[grid](features, *hw, out, **sizes, **config.tiles, **config.options)
    return out


def pool_cells_grid(cells: int, config: Config = CONFIG) -> tuple[int]:
    """Programs of one launch: groups of cells."""
    return (triton.cdiv(cells, config.tiles["CELLS"]),)


def pool_cells_reference(features: torch.Tensor, hw: tuple[int, int], scale: int = 4) -> torch.Tensor:
    """The same in plain PyTorch: zeros beyond the border add nothing."""
    height, width = (-(-side // scale) for side in hw)
    pad = (0, 0, 0, width * scale - hw[1], 0, height * scale - hw[0])
    padded = torch.nn.functional.pad(features.float().reshape(*hw, -1), pad)
    sums = padded.reshape(height, scale, width, scale, -1).sum((1, 3)).flatten(0, 1)
    return (sums / sums.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)).to(features.dtype)
