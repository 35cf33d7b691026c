"""The second half of the point read-out: label maps to coordinates and confidence, without upsampling whole maps.

The coordinate of map p is the mean of the five best pixels of its bilinear upsampling, weighted by their values; the
confidence is the mean value (goldens items 23 to 25; fgvc_deploy.readout).  Of equal values the lower raster index is
taken first, so value and index form one int64 key, `bits(value) << 32 | (2^31 - 1 - index)`, and the five largest
keys are the answer.  One program owns a map.  It upsamples the unit with the largest bound (`readout_bounds.py`),
then every unit whose bound reaches the fifth best value so far.  The weighted mean is taken in fp64, as the runtime
does.
The launcher and the plain version are in `readout_launch.py`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .config import Config
from .readout_bounds import CELLS

TOP = 5
VANISHED = 1e-6
CONFIG = Config(
    {"CELLS": CELLS, "CHUNK": 512},
    num_warps=1,
    num_stages=1,
    why="A unit of 32 cells of 2 x 2 pixels is 4 keys per thread and a chunk of bounds 16 values; with one warp "
    "every vote is a shuffle.  Roundings must be the runtime's, so no fused multiply-add.",
    fp_fusion=False,
)
NO_KEY = tl.constexpr(-1)
LAST = tl.constexpr(0x7FFFFFFF)  # n ^ LAST == LAST - n
# The roundings of the two mixes can lift a value above its four features by a few units in the last place.
SLACK = tl.constexpr(1 + 2.0**-20)


def largest_span(stride: int, reference: bool) -> int:
    """SPAN for every frame size: a power of two, at least the pixels along one axis whose low feature is the same.

    The reference's half-pixel shift gives the first feature half a stride more.
    """
    pixels = -(-3 * stride // 2) if reference else stride
    return 1 << (pixels - 1).bit_length()


@triton.jit
def unit_keys(
    map_start: tl.tensor,
    maps: tl.tensor,
    unit: tl.tensor,
    row_start: tl.tensor,
    row_weight: tl.tensor,
    col_start: tl.tensor,
    col_weight: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_width: tl.tensor,
    SPAN: tl.constexpr,
    CELLS: tl.constexpr,
) -> tl.tensor:
    """Keys int64 [CELLS * SPAN * SPAN] of the pixels of one unit, NO_KEY where there is no pixel."""
    units_x = tl.cdiv(width, CELLS)
    low = unit // units_x
    cell = unit % units_x * CELLS + tl.arange(0, CELLS)
    present = cell < width
    s = tl.arange(0, SPAN * SPAN)
    y = tl.load(row_start + low) + s // SPAN
    y_exists = y < tl.load(row_start + low + 1)
    x = tl.load(col_start + cell, mask=present, other=0)[:, None] + (s % SPAN)[None, :]
    exists = (x < tl.load(col_start + cell + 1, mask=present, other=0)[:, None]) & y_exists[None, :]
    w_y = tl.load(row_weight + y, mask=y_exists, other=0.0)[None, :]
    w_x = tl.load(col_weight + x, mask=exists, other=0.0)
    right = tl.minimum(cell + 1, width - 1)
    upper = map_start + low.to(tl.int64) * width * maps
    lower = map_start + tl.minimum(low + 1, height - 1).to(tl.int64) * width * maps
    a = tl.load(upper + cell * maps, mask=present, other=0.0).to(tl.float32)[:, None]
    b = tl.load(upper + right * maps, mask=present, other=0.0).to(tl.float32)[:, None]
    c = tl.load(lower + cell * maps, mask=present, other=0.0).to(tl.float32)[:, None]
    d = tl.load(lower + right * maps, mask=present, other=0.0).to(tl.float32)[:, None]
    value = (a * (1.0 - w_x) + b * w_x) * (1.0 - w_y) + (c * (1.0 - w_x) + d * w_x) * w_y
    key = (value.to(tl.int32, bitcast=True).to(tl.int64) << 32) | ((y[None, :] * out_width + x) ^ LAST).to(tl.int64)
    return tl.reshape(tl.where(exists, key, NO_KEY), [CELLS * SPAN * SPAN])


@triton.jit
def keep_best(best: tl.tensor, keys: tl.tensor) -> tl.tensor:
    """The list `best` int64 [8] after a set of distinct keys, the largest of which replace its smallest entries."""
    top = tl.max(keys, axis=0)
    worst = tl.min(best, axis=0)
    while top > worst:
        # Empty entries are equal: only the first of them is replaced.
        first = tl.min(tl.where(best == worst, tl.arange(0, 8), 8), axis=0)
        best = tl.where(tl.arange(0, 8) == first, top, best)
        keys = tl.where(keys == top, NO_KEY, keys)
        top = tl.max(keys, axis=0)
        worst = tl.min(best, axis=0)
    return best


@triton.jit
def chunk_bounds(
    bounds: tl.tensor, start: tl.tensor, units: tl.tensor, maps: tl.tensor, done: tl.tensor, CHUNK: tl.constexpr
) -> tl.tensor:
    """Keys int64 [CHUNK] of the bounds from unit `start` on, lower units first among ties; NO_KEY for unit `done`."""
    unit = start + tl.arange(0, CHUNK)
    wanted = (unit < units) & (unit != done)
    bound = tl.load(bounds + unit.to(tl.int64) * maps, mask=wanted, other=0.0)
    key = (bound.to(tl.int32, bitcast=True).to(tl.int64) << 32) | (unit ^ LAST).to(tl.int64)
    return tl.where(wanted, key, NO_KEY)


@triton.jit
def key_value(key: tl.tensor) -> tl.tensor:
    """The fp32 value in a key; 0 for NO_KEY."""
    return tl.where(key < 0, 0.0, (key >> 32).to(tl.int32).to(tl.float32, bitcast=True))


@triton.jit
def key_index(key: tl.tensor) -> tl.tensor:
    """The pixel or unit in a key; 0 for NO_KEY."""
    return tl.where(key < 0, 0, (key & LAST).to(tl.int32) ^ LAST)


@triton.jit
def readout_kernel(
    labels: tl.tensor,
    bounds: tl.tensor,
    row_start: tl.tensor,
    row_weight: tl.tensor,
    col_start: tl.tensor,
    col_weight: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_width: tl.tensor,
    maps: tl.tensor,
    units: tl.tensor,
    xy: tl.tensor,
    peak: tl.tensor,
    COUNT: tl.constexpr,
    SPAN: tl.constexpr,
    CELLS: tl.constexpr,
    CHUNK: tl.constexpr,
    VANISHED: tl.constexpr,
    REFERENCE: tl.constexpr,
) -> None:
    """One map (axis 0): labels [h*w, P] and bounds [units, P] to xy fp32 [P, 2] and peak fp32 [P]."""
    p = tl.program_id(0)
    own = bounds + p
    lead = tl.full([], NO_KEY, tl.int64)
    for start in range(0, units, CHUNK):
        lead = tl.maximum(lead, tl.max(chunk_bounds(own, start, units, maps, -1, CHUNK), axis=0))
    slot = tl.arange(0, 8)
    best = tl.where(slot < COUNT, NO_KEY, 0x7FFFFFFFFFFFFFFF).to(tl.int64)
    # A map without a positive value has vanished; its entries stay empty.
    if key_value(lead) > 0:
        tables = (row_start, row_weight, col_start, col_weight, height, width, out_width)
        done = key_index(lead)
        best = keep_best(best, unit_keys(labels + p, maps, done, *tables, SPAN, CELLS))
        for start in range(0, units, CHUNK):
            waiting = chunk_bounds(own, start, units, maps, done, CHUNK)
            top = tl.max(waiting, axis=0)
            while (top >= 0) & (key_value(top) * SLACK >= key_value(tl.min(best, axis=0))):
                best = keep_best(best, unit_keys(labels + p, maps, key_index(top), *tables, SPAN, CELLS))
                waiting = tl.where(waiting == top, NO_KEY, waiting)
                top = tl.max(waiting, axis=0)
    best = tl.where(slot < COUNT, best, NO_KEY)
    value = key_value(best).to(tl.float64)
    pixel = key_index(best)
    total = tl.sum(value, axis=0)
    mean = total / COUNT
    if REFERENCE:
        lost = total == 0
        share = value / (total + 1e-9)
        nowhere = -1.0
    else:
        lost = mean < VANISHED
        share = value / tl.where(lost, 1.0, total)
        nowhere = float("nan")
    x = tl.sum(share * (pixel % out_width).to(tl.float64), axis=0).to(tl.float32)
    y = tl.sum(share * (pixel // out_width).to(tl.float64), axis=0).to(tl.float32)
    tl.store(xy + 2 * p, tl.where(lost, nowhere, x))
    tl.store(xy + 2 * p + 1, tl.where(lost, nowhere, y))
    tl.store(peak + p, mean.to(tl.float32))
