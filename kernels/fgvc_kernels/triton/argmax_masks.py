"""Label maps to object masks: upsample, stretch every class to 0..1 over the frame, take the best class.

    u_c = bilinear upsampling of class c;  v_c = (u_c - min u_c) / (max u_c - min u_c + 1e-12)
    mask(pixel) = ids[argmax_c v_c(pixel)], the first class winning ties

(Goldens item 28; fgvc_deploy.readout.masks.)  Corrected: a class whose maximum is below `faint` is left out.
Reference: an all-zero class competes with 0.  Two launches, nothing upsampled is stored: the first finds each class's
range per tile of pixels, the second joins the ranges, which are few, and upsamples again.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .config import Config

FAINT = 0.05
CONFIG = Config(
    {"TILE_Y": 16, "TILE_X": 32},
    num_warps=4,
    num_stages=1,
    why="4 pixels per thread and 32 neighbours along a row, which share features in the first-level cache.  "
    "Roundings must be the runtime's, so no fused multiply-add.",
    fp_fusion=False,
)
# Tiles whose ranges are joined at a time: one per thread.
JOINED = tl.constexpr(128)


@triton.jit
def upsampled_tile(
    labels: tl.tensor,
    row_low: tl.tensor,
    row_weight: tl.tensor,
    col_low: tl.tensor,
    col_weight: tl.tensor,
    y: tl.tensor,
    x: tl.tensor,
    exists: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    maps: tl.tensor,
) -> tl.tensor:
    """Upsampled values fp32 [TILE_Y, TILE_X] of the map that `labels` points to; x first, as the runtime rounds."""
    y_low = tl.load(row_low + y, mask=exists, other=0).to(tl.int64)
    x_low = tl.load(col_low + x, mask=exists, other=0)
    w_y = tl.load(row_weight + y, mask=exists, other=0.0)
    w_x = tl.load(col_weight + x, mask=exists, other=0.0)
    y_high = tl.minimum(y_low + 1, height - 1)
    x_high = tl.minimum(x_low + 1, width - 1)
    a = tl.load(labels + (y_low * width + x_low) * maps, mask=exists, other=0.0).to(tl.float32)
    b = tl.load(labels + (y_low * width + x_high) * maps, mask=exists, other=0.0).to(tl.float32)
    c = tl.load(labels + (y_high * width + x_low) * maps, mask=exists, other=0.0).to(tl.float32)
    d = tl.load(labels + (y_high * width + x_high) * maps, mask=exists, other=0.0).to(tl.float32)
    return (a * (1.0 - w_x) + b * w_x) * (1.0 - w_y) + (c * (1.0 - w_x) + d * w_x) * w_y


@triton.jit
def tile_pixels(
    out_height: tl.tensor, out_width: tl.tensor, TILE_Y: tl.constexpr, TILE_X: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Rows, columns and existence of the pixels of this program's tile, each [TILE_Y, TILE_X]."""
    tiles_x = tl.cdiv(out_width, TILE_X)
    zero = tl.zeros([TILE_Y, TILE_X], tl.int32)
    y = zero + (tl.program_id(0) // tiles_x * TILE_Y + tl.arange(0, TILE_Y))[:, None]
    x = zero + (tl.program_id(0) % tiles_x * TILE_X + tl.arange(0, TILE_X))[None, :]
    return y, x, (y < out_height) & (x < out_width)


@triton.jit
def mask_ranges_kernel(
    labels: tl.tensor,
    row_low: tl.tensor,
    row_weight: tl.tensor,
    col_low: tl.tensor,
    col_weight: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_height: tl.tensor,
    out_width: tl.tensor,
    maps: tl.tensor,
    ranges: tl.tensor,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
) -> None:
    """One tile of pixels (axis 0) of one class (axis 1): ranges fp32 [classes, 2, tiles], smallest and largest."""
    c = tl.program_id(1)
    tiles = tl.num_programs(0)
    y, x, exists = tile_pixels(out_height, out_width, TILE_Y, TILE_X)
    tables = (row_low, row_weight, col_low, col_weight)
    value = upsampled_tile(labels + c, *tables, y, x, exists, height, width, maps)
    to = ranges + c * 2 * tiles + tl.program_id(0)
    tl.store(to, tl.min(tl.min(tl.where(exists, value, float("inf")), axis=1), axis=0))
    tl.store(to + tiles, tl.max(tl.max(tl.where(exists, value, float("-inf")), axis=1), axis=0))


@triton.jit
def class_range(ranges: tl.tensor, c: tl.tensor, tiles: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Smallest and largest upsampled value of a class over the whole frame."""
    n = tl.arange(0, JOINED)
    low = tl.full([JOINED], float("inf"), tl.float32)
    high = tl.full([JOINED], float("-inf"), tl.float32)
    for start in range(0, tiles, JOINED):
        at = ranges + c * 2 * tiles + start + n
        wanted = start + n < tiles
        low = tl.minimum(low, tl.load(at, mask=wanted, other=float("inf")))
        high = tl.maximum(high, tl.load(at + tiles, mask=wanted, other=float("-inf")))
    return tl.min(low, axis=0), tl.max(high, axis=0)


@triton.jit
def argmax_masks_kernel(
    labels: tl.tensor,
    ranges: tl.tensor,
    ids: tl.tensor,
    row_low: tl.tensor,
    row_weight: tl.tensor,
    col_low: tl.tensor,
    col_weight: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    out_height: tl.tensor,
    out_width: tl.tensor,
    maps: tl.tensor,
    mask: tl.tensor,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
    NORMALISE: tl.constexpr,
    REFERENCE: tl.constexpr,
    FAINT: tl.constexpr,
) -> None:
    """One tile of pixels (axis 0): labels [h*w, K], ranges, ids uint8 [K] to mask uint8 [H, W]."""
    y, x, exists = tile_pixels(out_height, out_width, TILE_Y, TILE_X)
    tables = (row_low, row_weight, col_low, col_weight)
    best = tl.full([TILE_Y, TILE_X], float("-inf"), tl.float32)
    chosen = tl.zeros([TILE_Y, TILE_X], tl.int32)
    for c in range(maps):
        value = upsampled_tile(labels + c, *tables, y, x, exists, height, width, maps)
        if NORMALISE:
            low, high = class_range(ranges, c, tl.num_programs(0))
            stretched = tl.div_rn(value - low, high - low + 1e-12)
            if REFERENCE:
                value = tl.where(high > 0, stretched, value)
            else:
                value = tl.where(high >= FAINT, stretched, float("-inf"))
        better = value > best
        best = tl.where(better, value, best)
        chosen = tl.where(better, c, chosen)
    to = y.to(tl.int64) * out_width + x
    tl.store(mask + to, tl.load(ids + chosen, mask=exists, other=0), mask=exists)
