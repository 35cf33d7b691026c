"""The table of chips that kernels are compiled for: what a multiprocessor holds, and datasheet peaks for the model.

Plain data, importable without triton.  Limits per multiprocessor are those of the CUDA programming guide (table
"technical specifications per compute capability"); a test holds the occupancy made from them against NVIDIA's header.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fgvc_kernels.aot.errors import AotError

TensorInstruction = Literal["HMMA", "HGMMA", "UTCHMMA"]
KIB = 1024


@dataclass(frozen=True, slots=True)
class Product:
    """A product with this chip and its datasheet peaks, for the roofline model only.

    `tflops`: dense fp16 tensor operations with fp32 accumulation, 10^12/s.  `dram_gbs`: 10^9 bytes/s.  `sms`:
    multiprocessors.  `note` says where a figure is derived because the datasheet gives only another precision.
    """

    name: str
    tflops: float
    dram_gbs: float
    sms: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chip:
    """One compute capability.

    `arch` is what ptxas is asked for: from sm_90 on the exact-chip target with the suffix `a`, which no other chip
    loads.  `shared_per_block` is the opt-in maximum of one block, `shared_per_sm` what all blocks of a multiprocessor
    share, bytes.  `tensor` is the instruction that multiplies fp16 on its tensor cores.
    """

    name: str
    capability: int
    arch: str
    warps_per_sm: int
    blocks_per_sm: int
    shared_per_sm: int
    tensor: TensorInstruction
    product: Product

    @property
    def shared_per_block(self) -> int:
        """Bytes of shared memory one block may have: the driver keeps 1 KiB of each block for itself."""
        return self.shared_per_sm - KIB


_ORIN = "fp16 is a quarter of the datasheet's 170 sparse int8 TOPS of the GPU"
_THOR = "fp16 is an eighth of the datasheet's 2070 sparse FP4 TFLOPS"
_SPARK = "fp16 with fp32 sums is 1/16 of the datasheet's 1000 sparse FP4 TFLOPS, the ratio of the RTX 5090"

CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("sm_80", 80, "sm_80", 64, 32, 164 * KIB, "HMMA", Product("A100 SXM 80GB", 312, 2039, 108)),
        Chip("sm_86", 86, "sm_86", 48, 16, 100 * KIB, "HMMA", Product("RTX 3090", 71, 936, 82)),
        Chip(
            "sm_87", 87, "sm_87", 48, 16, 164 * KIB, "HMMA", Product("Jetson AGX Orin 64GB", 42.5, 204.8, 16, _ORIN)
        ),
        Chip("sm_89", 89, "sm_89", 48, 24, 100 * KIB, "HMMA", Product("RTX 4090", 165.2, 1008, 128)),
        Chip("sm_90", 90, "sm_90a", 64, 32, 228 * KIB, "HGMMA", Product("H100 SXM", 989, 3350, 132)),
        Chip("sm_100", 100, "sm_100a", 64, 32, 228 * KIB, "UTCHMMA", Product("B200", 2250, 8000, 148)),
        Chip("sm_103", 103, "sm_103a", 64, 32, 228 * KIB, "UTCHMMA", Product("B300", 2250, 8000, 148)),
        Chip("sm_110", 110, "sm_110a", 48, 24, 228 * KIB, "UTCHMMA", Product("Jetson AGX Thor", 259, 273, 20, _THOR)),
        Chip("sm_120", 120, "sm_120a", 48, 24, 100 * KIB, "HMMA", Product("RTX 5090", 209.5, 1792, 170)),
        Chip("sm_121", 121, "sm_121a", 48, 24, 100 * KIB, "HMMA", Product("DGX Spark", 62.5, 273, 48, _SPARK)),
    )
}


def chip(name: str) -> Chip:
    """The chip called `name` (`sm_87`); raises `AotError` listing the known ones."""
    if name not in CHIPS:
        raise AotError(f"There is no chip {name!r}; choose from: {', '.join(CHIPS)}, or `all`.")
    return CHIPS[name]


def chosen_chips(names: Iterable[str]) -> list[Chip]:
    """The chips called `names`, each once, in the order given; `all` stands for the whole table."""
    wanted = [known for name in names for known in (CHIPS if name == "all" else (name,))]
    return [chip(name) for name in dict.fromkeys(wanted)]
