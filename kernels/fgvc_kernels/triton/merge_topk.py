"""Joining top-k lists: the joint top-k of several key frames from the lists of each.

    S = the k largest of the union of the listed scores;  w = softmax(S / temperature), or S when temperature is 0

Query groups that start on different frames share most key frames: every frame is matched once (`local_topk` with one
list per split), and each group joins the lists of its own frames.  It is exact: what is among the k best of all
frames is among the k best of its own.  The lists go through `streaming.py`, 16 places at a time; scores that
`local_topk` made are on its grid of 2^-21 already and stay what they are.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .config import SLOTS, Config, require_topk
from .errors import KernelArgumentError
from .launching import require_slots, require_tensor
from .local_topk_reference import TopK, softmax_scores
from .streaming import empty_list, insert_block, list_values, pack_scores, rank_entries

CONFIG = Config(
    {"ROWS": 16},
    num_warps=1,
    num_stages=2,
    why="A list, its codes and the candidates are 3 x 16 x 16 values; one warp holds them in 24 registers per thread "
    "and votes without barriers.  More rows per warp spill.",
)


@triton.jit
def merge_topk_kernel(
    list_positions: tl.tensor,
    list_scores: tl.tensor,
    lists: tl.tensor,
    pixels: tl.tensor,
    count: tl.tensor,
    positions: tl.tensor,
    values: tl.tensor,
    K: tl.constexpr,
    SLOTS: tl.constexpr,
    ROWS: tl.constexpr,
    RENUMBER: tl.constexpr,
    TEMPERATURE: tl.constexpr,
) -> None:
    """ROWS query pixels (axis 0).

    list_positions int32 and list_scores fp32 [L, H*W, K]; lists int32 [count]: which of the L; out [H*W, K].
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < pixels
    n = tl.arange(0, SLOTS)[None, :]
    wanted = inside[:, None] & (n < K)
    best, codes, worst = empty_list(ROWS, SLOTS, K)
    for i in range(count):
        first = tl.load(lists + i).to(tl.int64) * pixels
        scores = tl.load(list_scores + (first + row)[:, None] * K + n, mask=wanted, other=float("-inf"))
        best, codes, worst = insert_block(pack_scores(scores, wanted, SLOTS), best, codes, worst, i * SLOTS, SLOTS)
    filled = wanted & (best >= 0)
    place = codes // SLOTS
    source = (tl.load(lists + place, mask=filled, other=0).to(tl.int64) * pixels + row[:, None]) * K + codes % SLOTS
    found = tl.load(list_positions + source, mask=filled, other=0)
    if RENUMBER:
        found = tl.where(filled, place * pixels + found % pixels, 0)
    to = row.to(tl.int64)[:, None] * K + rank_entries(best, SLOTS, K)
    tl.store(positions + to, found, mask=wanted)
    tl.store(values + to, list_values(best, SLOTS, K, TEMPERATURE), mask=wanted)


def launch_merge_topk(
    found: TopK, lists: torch.Tensor, *, temperature: float = 0.07, renumber: bool = True, config: Config = CONFIG
) -> TopK:
    """The joint top-k [H*W, k] of the lists `found` [L, H*W, k] (scores) that `lists` int32 [M] names.

    With `renumber` every list is of one key frame and list i becomes key frame i, as `slots` of `propagate` will have
    it; without, positions are kept (lists of several frames each).  Raises KernelArgumentError.
    """
    require_tensor("found.positions", found.positions, (torch.int32,), (None, None, None))
    count, pixels, topk = found.positions.shape
    require_tensor("found.values", found.values, (torch.float32,), (count, pixels, topk), found.positions.device)
    require_topk(topk)
    require_slots(lists, found.positions.device)
    if not temperature >= 0:
        raise KernelArgumentError(f"Temperature {temperature} cannot be used: it must be positive, or 0 for scores.")
    joined = TopK(torch.empty_like(found.positions[0]), torch.empty_like(found.values[0]))
    merge_topk_kernel[merge_topk_grid(pixels, config)](
        *(found.positions, found.values, lists, pixels, len(lists), *joined),
        K=topk,
        SLOTS=SLOTS,
        RENUMBER=renumber,
        TEMPERATURE=float(temperature),
        **config.tiles,
        **config.options,
    )
    return joined


def merge_topk_grid(pixels: int, config: Config = CONFIG) -> tuple[int]:
    """Programs of one launch: groups of pixels."""
    return (triton.cdiv(pixels, config.tiles["ROWS"]),)


def merge_topk_reference(
    found: TopK, lists: torch.Tensor, *, temperature: float = 0.07, renumber: bool = True
) -> TopK:
    """The same in plain PyTorch: concatenate, `torch.topk`, gather."""
    pixels, topk = found.positions.shape[1:]
    chosen = found.positions[lists.long()]
    if renumber:
        frame = torch.arange(len(lists), dtype=torch.int32, device=chosen.device)
        chosen = frame[:, None, None] * pixels + chosen % pixels
    best = found.values[lists.long()].movedim(0, 1).flatten(1).topk(topk, dim=1)
    positions = chosen.movedim(0, 1).flatten(1).gather(1, best.indices)
    scores = best.values
    values = softmax_scores(scores, temperature) if temperature else scores
    return TopK(torch.where(scores.isneginf(), 0, positions), values)
