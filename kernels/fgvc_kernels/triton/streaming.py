"""Device functions shared by the kernels that keep the k best of a stream of scores.  No memory access here.

A score s and its place n in a block of 32 are packed into one int32: `bits(s / 2 + 3) << 5 | (n ^ 31)`.  For s in
[-2, 2) the float lies in [2, 4), where the exponent is constant and disappears in the shift, so integers order like
scores and equal scores prefer the lower n.  Scores keep a resolution of 2^-21 (4.8e-7).  Without the halving s = 1,
a pixel that matches itself, would leave that interval.  NaN and both infinities pack to negative integers, which the
list, empty at -1 and up, never takes.

The list of the best is int32 [rows, 16] as well, with the list place instead of n in the low five bits, so that its
smallest entry names the place to overwrite.  Beside it `codes` remember where an entry came from.
"""

from __future__ import annotations

import triton
import triton.language as tl

INDEX_BITS = tl.constexpr(5)
INDEX_MASK = tl.constexpr(31)
BLANK = tl.constexpr(-(2**31))
# Entries of places beyond k: larger than any score, so never the smallest, never overwritten.
BEYOND_K = tl.constexpr(0x7FFFFFE0)


@triton.jit
def pack_scores(scores: tl.tensor, allowed: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """Packed int32 [rows, BLOCK] of fp32 scores; keys that are not `allowed` become BLANK."""
    n = tl.arange(0, BLOCK)[None, :]
    bits = (scores * 0.5 + 3.0).to(tl.int32, bitcast=True)
    return tl.where(allowed, (bits << INDEX_BITS) | (n ^ INDEX_MASK), BLANK)


@triton.jit
def empty_list(ROWS: tl.constexpr, SLOTS: tl.constexpr, K: tl.constexpr) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """An empty list of the K best, its codes, both int32 [ROWS, SLOTS], and its smallest entries int32 [ROWS]."""
    slot = tl.arange(0, SLOTS)
    entries = tl.where(slot < K, slot - (INDEX_MASK + 1), slot + BEYOND_K)
    codes = tl.zeros([ROWS, SLOTS], tl.int32)
    best = codes + entries[None, :]
    return best, codes, tl.min(best, axis=1)


@triton.jit
def insert_block(
    packed: tl.tensor, best: tl.tensor, codes: tl.tensor, worst: tl.tensor, base: tl.tensor, SLOTS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The list, its codes and smallest entries after a block of packed scores; entry n has the code base + n.

    Per round, every row whose best candidate beats its k-th best takes it.  Most blocks need no round at all.
    """
    slot = tl.arange(0, SLOTS)[None, :]
    top = tl.max(packed, axis=1)
    better = (top >> INDEX_BITS) > (worst >> INDEX_BITS)
    rounds = tl.max(better.to(tl.int32), axis=0)
    # The `if` looks idle, but a `while` that is a direct child of the key loop switches the pipeliner off.
    if rounds > 0:
        while rounds > 0:
            place = better[:, None] & (slot == (worst & INDEX_MASK)[:, None])
            best = tl.where(place, ((top >> INDEX_BITS) << INDEX_BITS)[:, None] | slot, best)
            codes = tl.where(place, (base + ((top & INDEX_MASK) ^ INDEX_MASK))[:, None], codes)
            packed = tl.where(packed == top[:, None], BLANK, packed)
            top = tl.max(packed, axis=1)
            worst = tl.min(best, axis=1)
            better = (top >> INDEX_BITS) > (worst >> INDEX_BITS)
            rounds = tl.max(better.to(tl.int32), axis=0)
    return best, codes, worst


@triton.jit
def rank_entries(best: tl.tensor, SLOTS: tl.constexpr, K: tl.constexpr) -> tl.tensor:
    """Rank of each of the K entries in its row, best first: int32 [rows, SLOTS]; SLOTS - 1 for places beyond K."""
    slot = tl.arange(0, SLOTS)[None, :]
    remaining = tl.where(slot < K, best, BLANK)
    rank = tl.zeros_like(best) + (SLOTS - 1)
    for place in range(K):
        hit = (remaining == tl.max(remaining, axis=1)[:, None]) & (slot < K)
        rank = tl.where(hit, place, rank)
        remaining = tl.where(hit, BLANK, remaining)
    return rank


@triton.jit
def list_values(best: tl.tensor, SLOTS: tl.constexpr, K: tl.constexpr, TEMPERATURE: tl.constexpr) -> tl.tensor:
    """Softmax weights of the list for a positive TEMPERATURE, else its scores: fp32 [rows, SLOTS].

    An empty entry weighs exactly 0 (score: -inf); a row without any entry weighs 0 throughout.
    """
    filled = (best >= 0) & (tl.arange(0, SLOTS) < K)[None, :]
    # 0x40000000 is the exponent that the shift of `pack_scores` dropped.
    halved = ((best >> INDEX_BITS) | 0x40000000).to(tl.float32, bitcast=True)
    values = tl.where(filled, (halved - 3.0) * 2.0, float("-inf"))
    if TEMPERATURE > 0:
        highest = tl.max(values, axis=1)
        highest = tl.where(highest == float("-inf"), 0.0, highest)
        values = tl.exp((values - highest[:, None]) * (1.0 / TEMPERATURE))
        total = tl.sum(values, axis=1)
        values = values / tl.where(total == 0, 1.0, total)[:, None]
    return values
