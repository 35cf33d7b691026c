"""Coarse-to-fine matching, the fine step: the k best keys in a small window around each cell's coarse match.

A cell of scale x scale queries was matched, on key frame t, to the cell m_t.  A query at p inside its cell may take
the keys n of frame t with |n - c|_inf <= fine_radius, where c = p + scale * (m_t - cell), moved into the image when a
cell that the border cuts makes it leave.  Scores, top-k over all frames and weights are those of `local_topk.py`;
only the candidates differ (fgvc_deploy.propagation.coarse_to_fine).  One program owns a cell: its queries share the
(scale + 2 * fine_radius)^2 keys around the matched cell, so the products run on the tensor cores as well.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .config import SLOTS, Config, padded_channels, require_topk
from .errors import KernelArgumentError
from .launching import interpreting, require_features, require_slots, require_tensor
from .local_topk_reference import TopK
from .streaming import empty_list, insert_block, list_values, pack_scores, rank_entries

CONFIG = Config(
    {"BLOCK": 32},
    num_warps=1,
    num_stages=2,
    why="A cell of 4 x 4 queries is one 16-row tensor-core tile, so one warp does it without barriers; the 12 x 12 "
    "keys of scale 4 and fine radius 4 are 4.5 blocks of 32.",
)


@triton.jit
def refine_kernel(
    query: tl.tensor,
    keys: tl.tensor,
    slots: tl.tensor,
    matched: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    frames: tl.tensor,
    frames_per_split: tl.tensor,
    positions: tl.tensor,
    values: tl.tensor,
    C: tl.constexpr,
    PADDED_C: tl.constexpr,
    K: tl.constexpr,
    SLOTS: tl.constexpr,
    SCALE: tl.constexpr,
    FINE_RADIUS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    TEMPERATURE: tl.constexpr,
    UPCAST: tl.constexpr,
) -> None:
    """The queries of one cell (axis 0) against the key frames of one split (axis 1).

    query [H*W, C], keys [ring, H*W, C], slots int32 [T], matched int32 [T, cells]; out [splits, H*W, K].
    """
    SIDE: tl.constexpr = SCALE + 2 * FINE_RADIUS
    BLOCKS: tl.constexpr = (SIDE * SIDE + BLOCK - 1) // BLOCK
    grid_width = tl.cdiv(width, SCALE)
    cells = tl.cdiv(height, SCALE) * grid_width
    cell = tl.program_id(0)
    m = tl.arange(0, ROWS)
    y = cell // grid_width * SCALE + m // SCALE
    x = cell % grid_width * SCALE + m % SCALE
    inside = (m < SCALE * SCALE) & (y < height) & (x < width)
    c = tl.arange(0, PADDED_C)
    rows = inside[:, None] & (c < C)[None, :]
    q = tl.load(query + (y * width + x)[:, None] * C + c[None, :], mask=rows, other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
    best, codes, worst = empty_list(ROWS, SLOTS, K)
    start = tl.program_id(1) * frames_per_split
    stop = tl.minimum(start + frames_per_split, frames)
    for back in range(stop - start):
        t = stop - 1 - back
        frame = keys + tl.load(slots + t).to(tl.int64) * height * width * C
        other = tl.load(matched + t * cells + cell) % cells
        other_y = other // grid_width * SCALE
        other_x = other % grid_width * SCALE
        # A cut cell may lack the pixel at this offset: the centre moves into the image.
        centre_y = tl.minimum(other_y + m // SCALE, height - 1)
        centre_x = tl.minimum(other_x + m % SCALE, width - 1)
        for block in range(BLOCKS):
            n = block * BLOCK + tl.arange(0, BLOCK)
            key_y = other_y - FINE_RADIUS + n // SIDE
            key_x = other_x - FINE_RADIUS + n % SIDE
            exists = (n < SIDE * SIDE) & (key_y >= 0) & (key_y < height) & (key_x >= 0) & (key_x < width)
            place = (key_y * width + key_x)[:, None] * C + c[None, :]
            k = tl.load(frame + place, mask=exists[:, None] & (c < C)[None, :], other=0.0)
            if UPCAST:
                k = k.to(tl.float32)
            scores = tl.dot(q, tl.trans(k), input_precision="ieee")
            near_y = tl.abs(key_y[None, :] - centre_y[:, None]) <= FINE_RADIUS
            near_x = tl.abs(key_x[None, :] - centre_x[:, None]) <= FINE_RADIUS
            packed = pack_scores(scores, near_y & near_x & exists[None, :] & inside[:, None], BLOCK)
            best, codes, worst = insert_block(packed, best, codes, worst, (t * BLOCKS + block) * BLOCK, SLOTS)
    of = codes // (BLOCKS * BLOCK)
    n = codes % (BLOCKS * BLOCK)
    other = tl.load(matched + of * cells + cell) % cells
    key_y = other // grid_width * SCALE - FINE_RADIUS + n // SIDE
    key_x = other % grid_width * SCALE - FINE_RADIUS + n % SIDE
    found = tl.where(best >= 0, (of * height + key_y) * width + key_x, 0)
    row = (tl.program_id(1) * height * width + y * width + x).to(tl.int64)[:, None] * K
    to = row + rank_entries(best, SLOTS, K)
    wanted = inside[:, None] & (tl.arange(0, SLOTS) < K)[None, :]
    tl.store(positions + to, found, mask=wanted)
    tl.store(values + to, list_values(best, SLOTS, K, TEMPERATURE), mask=wanted)


def refine_sizes(scale: int, fine_radius: int) -> dict[str, int]:
    """The constexprs that follow from the settings; raises KernelArgumentError for settings out of range."""
    if not (2 <= scale <= 16 and 1 <= fine_radius <= 16):
        raise KernelArgumentError(f"Scale {scale} and fine radius {fine_radius} must be 2 to 16 and 1 to 16.")
    # The tensor cores multiply at least 16 rows.
    return {"SCALE": scale, "FINE_RADIUS": fine_radius, "ROWS": max(16, triton.next_power_of_2(scale * scale))}


def launch_refine(
    query: torch.Tensor,
    keys: torch.Tensor,
    slots: torch.Tensor,
    matched: torch.Tensor,
    hw: tuple[int, int],
    *,
    scale: int = 4,
    fine_radius: int = 4,
    topk: int = 10,
    temperature: float = 0.07,
    frames_per_split: int | None = None,
    config: Config = CONFIG,
) -> TopK:
    """Matches [H*W, k] around the coarse matches int32 [T, cells] (cells of key frame t; t * cells + cell as well).

    Other arguments, and lists per split, as `launch_local_topk`.  Raises KernelArgumentError.
    """
    channels = require_features(query, keys, hw)
    require_slots(slots, query.device)
    require_topk(topk)
    cells = triton.cdiv(hw[0], scale) * triton.cdiv(hw[1], scale)
    require_tensor("matched", matched, (torch.int32,), (len(slots), cells), query.device)
    if frames_per_split is not None and temperature:
        raise KernelArgumentError(f"Temperature {temperature} cannot be used for lists to merge: it must be 0.")
    per_split = frames_per_split or len(slots)
    splits = triton.cdiv(len(slots), per_split)
    positions = torch.empty((splits, hw[0] * hw[1], topk), dtype=torch.int32, device=query.device)
    found = TopK(positions, torch.empty_like(positions, dtype=torch.float32))
    refine_kernel[refine_grid(hw, splits, scale)](
        *(query, keys, slots, matched, *hw, len(slots), per_split, *found),
        C=channels,
        PADDED_C=padded_channels(channels),
        K=topk,
        SLOTS=SLOTS,
        TEMPERATURE=float(temperature),
        UPCAST=interpreting() and query.dtype == torch.bfloat16,
        **refine_sizes(scale, fine_radius),
        **config.tiles,
        **config.options,
    )
    return found if frames_per_split else TopK(found.positions[0], found.values[0])


def refine_grid(hw: tuple[int, int], splits: int, scale: int) -> tuple[int, int]:
    """Programs of one launch: cells, splits."""
    return triton.cdiv(hw[0], scale) * triton.cdiv(hw[1], scale), splits
