"""A small Triton kernel for tests of the ahead-of-time compiler: C = A B^T with a pipelined loop over K."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def product(a, b, out, columns, depth, TILE: tl.constexpr, STEP: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """One TILE x TILE square of the product of fp16 a [*, 256] and b [*, 256], into fp32 out [*, columns]."""
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    k = tl.arange(0, STEP)
    total = tl.zeros((TILE, TILE), tl.float32)
    for start in range(0, depth, STEP):
        x = tl.load(a + row[:, None] * 256 + start + k[None, :])
        y = tl.load(b + column[:, None] * 256 + start + k[None, :])
        total = tl.dot(x, y.T, total)
    tl.store(out + row[:, None] * columns + column[None, :], total)
