"""Local-window matching: the k best keys of every query pixel over all key frames, in one pass over the features.

For a query pixel p with unit feature q_p and key frames t = 0..T-1 with unit features k_t:

    s(t, n) = <q_p, k_t(n)>  for pixels n with |n - p| < radius (circle; square: |dx|, |dy| <= radius)
    S = the k largest s(t, n) over all t and n jointly
    w = softmax(S / temperature), or S itself when temperature is 0

(FGVC section 3.5; goldens items 8, 10, 11.)  One program owns a tile of queries.  It walks the offset table of
`offsets.py` in blocks of 32 keys, multiplies the tile with the block on the tensor cores (fp32 accumulation), and
streams the scores through the list of `streaming.py`.  Newest frames come first, because they hold the best matches.
The answers are positions t * H*W + y * W + x, t being the place in `slots`, best first, 0 for an empty entry.
The plain version is in `local_topk_reference.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import triton
import triton.language as tl

from .config import SLOTS, Config, padded_channels, require_topk
from .errors import KernelArgumentError
from .launching import device_offsets, interpreting, require_features, require_slots
from .local_topk_reference import TopK
from .offsets import distance_limit
from .streaming import empty_list, insert_block, list_values, pack_scores, rank_entries

CONFIG = Config(
    {"TILE_Y": 8, "TILE_X": 8, "BLOCK": 32},
    num_warps=4,
    num_stages=2,
    why="64 queries fill the rows of one wgmma and share 36 key blocks at radius 15; 32 keys are what five index "
    "bits can number; two stages keep 256 channels in 66 KB, so that two blocks fit on every chip.",
)


@triton.jit
def local_topk_kernel(
    query: tl.tensor,
    keys: tl.tensor,
    slots: tl.tensor,
    offsets: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    frames: tl.tensor,
    frames_per_split: tl.tensor,
    blocks: tl.tensor,
    limit: tl.tensor,
    positions: tl.tensor,
    values: tl.tensor,
    C: tl.constexpr,
    PADDED_C: tl.constexpr,
    K: tl.constexpr,
    SLOTS: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
    BLOCK: tl.constexpr,
    SQUARE: tl.constexpr,
    TEMPERATURE: tl.constexpr,
    UPCAST: tl.constexpr,
) -> None:
    """One tile of queries (axis 0) against the key frames of one split (axis 1).

    query [H*W, C], keys [ring, H*W, C], slots int32 [T], offsets int32 [blocks * BLOCK]; out [splits, H*W, K].
    """
    tiles_x = tl.cdiv(width, TILE_X)
    m = tl.arange(0, TILE_Y * TILE_X)
    first_y = tl.program_id(0) // tiles_x * TILE_Y
    first_x = tl.program_id(0) % tiles_x * TILE_X
    y = first_y + m // TILE_X
    x = first_x + m % TILE_X
    inside = (y < height) & (x < width)
    c = tl.arange(0, PADDED_C)
    pixels = height * width
    rows = inside[:, None] & (c < C)[None, :]
    q = tl.load(query + (y * width + x)[:, None] * C + c[None, :], mask=rows, other=0.0)
    if UPCAST:
        q = q.to(tl.float32)
    best, codes, worst = empty_list(TILE_Y * TILE_X, SLOTS, K)
    start = tl.program_id(1) * frames_per_split
    stop = tl.minimum(start + frames_per_split, frames)
    for back in range(stop - start):
        t = stop - 1 - back
        # int64: a ring of large maps holds more than 2^31 values.
        frame = keys + tl.load(slots + t).to(tl.int64) * pixels * C
        for block in range(blocks):
            entry = tl.load(offsets + block * BLOCK + tl.arange(0, BLOCK))
            key_y = first_y + (entry >> 16)
            key_x = first_x + ((entry << 16) >> 16)
            exists = (key_y >= 0) & (key_y < height) & (key_x >= 0) & (key_x < width)
            place = (key_y * width + key_x)[:, None] * C + c[None, :]
            k = tl.load(frame + place, mask=exists[:, None] & (c < C)[None, :], other=0.0)
            if UPCAST:
                k = k.to(tl.float32)
            scores = tl.dot(q, tl.trans(k), input_precision="ieee")
            dy = key_y[None, :] - y[:, None]
            dx = key_x[None, :] - x[:, None]
            measure = tl.maximum(tl.abs(dy), tl.abs(dx)) if SQUARE else dy * dy + dx * dx
            allowed = (measure < limit) & exists[None, :] & inside[:, None]
            packed = pack_scores(scores, allowed, BLOCK)
            best, codes, worst = insert_block(packed, best, codes, worst, (t * blocks + block) * BLOCK, SLOTS)
    per_frame = blocks * BLOCK
    entry = tl.load(offsets + codes % per_frame)
    key = (first_y + (entry >> 16)) * width + first_x + ((entry << 16) >> 16)
    slot = tl.arange(0, SLOTS)[None, :]
    found = tl.where(best >= 0, codes // per_frame * pixels + key, 0)
    row = (tl.program_id(1) * pixels + y * width + x).to(tl.int64)[:, None] * K
    to = row + rank_entries(best, SLOTS, K)
    wanted = inside[:, None] & (slot < K)
    tl.store(positions + to, found, mask=wanted)
    tl.store(values + to, list_values(best, SLOTS, K, TEMPERATURE), mask=wanted)


def launch_local_topk(
    query: torch.Tensor,
    keys: torch.Tensor,
    slots: torch.Tensor,
    hw: tuple[int, int],
    *,
    radius: float,
    window: Literal["circle", "square"] = "circle",
    topk: int = 10,
    temperature: float = 0.07,
    frames_per_split: int | None = None,
    config: Config = CONFIG,
) -> TopK:
    """Matches of `query` [H*W, C] to the frames `slots` int32 [T] of the ring `keys` [R, H*W, C].

    fp16, bf16 or fp32 unit features.  `temperature` 0 gives scores.  `frames_per_split` gives one list per so many
    frames, [splits, H*W, k], which `merge_topk` joins; it needs temperature 0.  Raises KernelArgumentError.
    """
    require_features(query, keys, hw)
    require_slots(slots, query.device)
    require_topk(topk)
    if not temperature >= 0 or (frames_per_split is not None and temperature):
        raise KernelArgumentError(f"Temperature {temperature} cannot be used: it must be positive, or 0 for scores.")
    tile = (config.tiles["TILE_Y"], config.tiles["TILE_X"])
    offsets = device_offsets(window, float(radius), hw, tile, config.tiles["BLOCK"], query.device)
    limit = distance_limit(window, radius, hw)
    # The kernel is handed in because tracing launches a wrapped one.
    return run_local_topk(
        *(local_topk_kernel, query, keys, slots, offsets, hw, limit, window == "square", topk, temperature),
        frames_per_split=frames_per_split,
        upcast=interpreting() and query.dtype == torch.bfloat16,
        tiles=config.tiles,
        options=config.options,
    )


def run_local_topk(
    kernel: Any,
    query: torch.Tensor,
    keys: torch.Tensor,
    slots: torch.Tensor,
    offsets: torch.Tensor,
    hw: tuple[int, int],
    limit: int,
    square: bool,
    topk: int,
    temperature: float,
    *,
    frames_per_split: int | None = None,
    upcast: bool = False,
    tiles: Mapping[str, int] = CONFIG.tiles,
    options: Mapping[str, int | bool] = CONFIG.options,
) -> TopK:
    """Launch `kernel`, which is `local_topk_kernel` or a wrapper of it, on arguments that were checked."""
    frames, pixels, block = slots.shape[0], hw[0] * hw[1], tiles["BLOCK"]
    per_split = frames_per_split or frames
    splits = triton.cdiv(frames, per_split)
    positions = torch.empty((splits, pixels, topk), dtype=torch.int32, device=query.device)
    values = torch.empty((splits, pixels, topk), dtype=torch.float32, device=query.device)
    kernel[local_topk_grid(hw, splits, (tiles["TILE_Y"], tiles["TILE_X"]))](
        *(query, keys, slots, offsets, *hw, frames, per_split, offsets.shape[0] // block, limit, positions, values),
        C=query.shape[1],
        PADDED_C=padded_channels(query.shape[1]),
        K=topk,
        SLOTS=SLOTS,
        SQUARE=square,
        TEMPERATURE=float(temperature),
        UPCAST=upcast,
        **tiles,
        **options,
    )
    return TopK(positions, values) if frames_per_split else TopK(positions[0], values[0])


def local_topk_grid(hw: tuple[int, int], splits: int, tile: tuple[int, int]) -> tuple[int, int]:
    """Programs of one launch: query tiles, splits."""
    return triton.cdiv(hw[0], tile[0]) * triton.cdiv(hw[1], tile[1]), splits
