"""How a kernel is built: tile sizes, warps and stages.  The numbers themselves stand in each kernel's own file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import KernelArgumentError

MAX_TOPK = 16
# The streaming list always has 16 places: a power of two for Triton, and one compiled shape for every k.
SLOTS = 16


@dataclass(frozen=True)
class Config:
    """Build settings of a kernel: `tiles` are its constexpr tile sizes, `why` is the reason for the choice.

    `fp_fusion` False keeps a * b + c in two roundings, as NumPy computes it; it is pinned because Triton's default
    changes between releases.
    """

    tiles: Mapping[str, int]
    num_warps: int
    num_stages: int
    why: str
    fp_fusion: bool = True

    @property
    def options(self) -> dict[str, int | bool]:
        """Launch options that Triton takes beside the constexprs."""
        return {"num_warps": self.num_warps, "num_stages": self.num_stages, "enable_fp_fusion": self.fp_fusion}


@dataclass(frozen=True)
class Param:
    """One run-time parameter; `kind` is *fp16, *bf16, *fp32, *i32, *u8 or i32.

    `divisible_by` is a pointer's alignment in bytes or a divisor of an integer; 16 lets loads vectorise.
    """

    name: str
    kind: str
    divisible_by: int = 1


@dataclass(frozen=True)
class Variant:
    """One kernel with its types and constexprs fixed: what the ahead-of-time compiler makes one cubin of.

    `kernel` is a `triton.JITFunction`; `params` are in the order of its run-time arguments.
    """

    name: str
    kernel: object
    params: tuple[Param, ...]
    constexprs: Mapping[str, int | float | bool]
    config: Config
    ports: tuple[str, ...] = field(
        default=("sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_103", "sm_110", "sm_120", "sm_121")
    )


def require_topk(topk: int) -> None:
    """Raise KernelArgumentError unless 1 <= k <= 16."""
    if not 1 <= topk <= MAX_TOPK:
        raise KernelArgumentError(f"k must be between 1 and {MAX_TOPK}, not {topk}.")


def padded_channels(channels: int) -> int:
    """The power of two that a row of channels is loaded as; raises KernelArgumentError for unsupported counts."""
    if channels < 16 or channels % 16 or channels > 512:
        raise KernelArgumentError(f"Features must have a multiple of 16 channels, at most 512, not {channels}.")
    return 1 << (channels - 1).bit_length()
