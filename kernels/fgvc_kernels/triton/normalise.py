"""From the encoder's output to what matching reads: unit vectors, channels last.

    out[p, c] = x[c, p] / max(sqrt(sum_c x[c, p]^2), 1e-12)

(Goldens item 10: an all-zero pixel stays zero.)  Squares are added in fp32 whatever the types.  A pixel with a NaN or
an infinity becomes NaN in at least one channel, so that it can be no one's match.  One program reads a [C, pixels]
strip along the pixels and writes it along the channels: both sides are contiguous, the transposition is on the chip.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .config import Config, padded_channels
from .errors import KernelArgumentError
from .launching import FEATURE_TYPES, require_tensor

EPS = 1e-12
CONFIG = Config(
    {"PIXELS": 32},
    num_warps=4,
    num_stages=1,
    why="32 pixels are whole 64-byte sectors of fp16 along a channel; 32 x 256 values are 64 registers per thread, "
    "so every value is read once.  There is no loop to pipeline.",
)


@triton.jit
def normalise_kernel(
    features: tl.tensor,
    pixels: tl.tensor,
    out: tl.tensor,
    C: tl.constexpr,
    PADDED_C: tl.constexpr,
    PIXELS: tl.constexpr,
) -> None:
    """PIXELS pixels (axis 0) of features [C, H*W] to out [H*W, C]."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    c = tl.arange(0, PADDED_C)
    inside = pixel < pixels
    wanted = (c < C)[:, None] & inside[None, :]
    x = tl.load(features + c[:, None] * pixels + pixel[None, :], mask=wanted, other=0.0).to(tl.float32)
    norm = tl.maximum(tl.sqrt_rn(tl.sum(x * x, axis=0)), 1e-12, propagate_nan=tl.PropagateNan.ALL)
    unit = tl.trans(x / norm[None, :])
    to = pixel[:, None] * C + c[None, :]
    tl.store(out + to, unit.to(out.dtype.element_ty), mask=inside[:, None] & (c < C)[None, :])


def launch_normalise(
    features: torch.Tensor,
    *,
    dtype: torch.dtype = torch.float16,
    out: torch.Tensor | None = None,
    config: Config = CONFIG,
) -> torch.Tensor:
    """Unit features [H*W, C] of an encoder's output [C, H, W], any of fp16, bf16, fp32 on either side.

    `out` may be a row of the key ring; then `dtype` is not used.  Raises KernelArgumentError.
    """
    require_tensor("features", features, FEATURE_TYPES, (None, None, None))
    channels, height, width = features.shape
    pixels = height * width
    if channels * pixels >= 2**31 or not pixels:
        raise KernelArgumentError(f"Features of {channels} x {height} x {width} do not fit 32-bit addresses.")
    out = features.new_empty((pixels, channels), dtype=dtype) if out is None else out
    require_tensor("out", out, FEATURE_TYPES, (pixels, channels), features.device)
    sizes = {"C": channels, "PADDED_C": padded_channels(channels)}
    grid = normalise_grid(pixels, config)
    normalise_kernel[grid](features, pixels, out, **sizes, **config.tiles, **config.options)
    return out


def normalise_grid(pixels: int, config: Config = CONFIG) -> tuple[int]:
    """Programs of one launch: groups of pixels."""
    return (triton.cdiv(pixels, config.tiles["PIXELS"]),)


def normalise_reference(features: torch.Tensor, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    """The same in plain PyTorch."""
    rows = features.flatten(1).T.float()
    return (rows / rows.square().sum(1, keepdim=True).sqrt().clamp(min=EPS)).to(dtype).contiguous()
