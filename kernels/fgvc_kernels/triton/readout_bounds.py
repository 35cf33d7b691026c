"""The first half of the point read-out: how large an upsampled pixel can be in each part of a label map.

An upsampled value is a mean of the four features around it, so it is at most their maximum.  A unit is CELLS cells of
one feature row, a cell being the pixels between four features.  bounds[unit, p] = the largest feature that unit
touches in map p.  This pass reads every label once, along the channels, where they are contiguous; the second half
(`readout.py`) then looks only at units that can hold one of the five best pixels.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .config import Config

CELLS = 32
CONFIG = Config(
    {"CELLS": CELLS, "CHANNELS": 16},
    num_warps=4,
    num_stages=1,
    why="32 cells x 16 maps x 2 rows are 8 loads per thread; smaller units would make the list of bounds longer than "
    "the search through it is worth.",
)


@triton.jit
def readout_bounds_kernel(
    labels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    maps: tl.tensor,
    bounds: tl.tensor,
    CELLS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """One unit (axis 0) of CHANNELS maps (axis 1): labels [h*w, P] to bounds fp32 [units, P]."""
    units_x = tl.cdiv(width, CELLS)
    low = tl.program_id(0) // units_x
    first = tl.program_id(0) % units_x * CELLS
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = channel < maps
    x = first + tl.arange(0, CELLS)
    # A unit touches one column more than it has cells; the last row and column repeat themselves.
    after = tl.minimum(first + CELLS, width - 1)
    bound = tl.zeros([CHANNELS], tl.float32)
    for below in tl.static_range(2):
        row = (tl.minimum(low + below, height - 1) * width).to(tl.int64)
        wanted = (x < width)[:, None] & present[None, :]
        inner = tl.load(labels + (row + x)[:, None] * maps + channel[None, :], mask=wanted, other=0.0)
        edge = tl.load(labels + (row + after) * maps + channel, mask=present, other=0.0)
        bound = tl.maximum(bound, tl.max(inner.to(tl.float32), axis=0))
        bound = tl.maximum(bound, edge.to(tl.float32))
    tl.store(bounds + tl.program_id(0).to(tl.int64) * maps + channel, bound, mask=present)


def launch_readout_bounds(labels: torch.Tensor, hw: tuple[int, int], config: Config = CONFIG) -> torch.Tensor:
    """Bounds fp32 [units, P] of label maps [h*w, P] >= 0; the checks are `launch_readout`'s."""
    units = hw[0] * triton.cdiv(hw[1], CELLS)
    bounds = labels.new_empty((units, labels.shape[1]), dtype=torch.float32)
    grid = readout_bounds_grid(hw, labels.shape[1], config)
    readout_bounds_kernel[grid](labels, *hw, labels.shape[1], bounds, **config.tiles, **config.options)
    return bounds


def readout_bounds_grid(hw: tuple[int, int], maps: int, config: Config = CONFIG) -> tuple[int, int]:
    """Programs of one launch: units, groups of maps."""
    return hw[0] * triton.cdiv(hw[1], config.tiles["CELLS"]), triton.cdiv(maps, config.tiles["CHANNELS"])


def readout_bounds_reference(labels: torch.Tensor, hw: tuple[int, int]) -> torch.Tensor:
    """The same in plain PyTorch: a 2 x 2 maximum with repeated borders, then a maximum over each unit."""
    maps = labels.float().T.reshape(-1, *hw)
    grown = torch.nn.functional.pad(maps, (0, 1, 0, 1), mode="replicate")
    corners = torch.stack([grown[:, a : a + hw[0], b : b + hw[1]] for a in (0, 1) for b in (0, 1)]).amax(0)
    padded = torch.nn.functional.pad(corners, (0, -hw[1] % CELLS))
    return padded.reshape(len(maps), hw[0], -1, CELLS).amax(3).flatten(1).T.contiguous()
