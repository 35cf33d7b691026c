"""The table of chips that kernels are compiled for: what a multiprocessor holds, and datasheet peaks for the model.

Plain data, importable without triton.  Limits per multiprocessor were checked against the CUDA programming guide
(13.x, section 5.1.3, tables 30 and 31), column by column: blocks, warps, shared memory and its 1 KiB for the system;
sm_121 is its "12.x".  A test holds the occupancy made from them against NVIDIA's own header.  (CCCL's `arch_traits.h`
of 2025 gives sm_110 the limits of sm_100 and sm_120 32 blocks; the guide and the header say otherwise.)  Peaks were
checked against quotations of the documents that each product names, not all of which were at hand themselves.
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
    """A product with this chip and its published peaks, for the roofline model only.

    `tflops`: dense fp16 tensor operations with fp32 accumulation, 10^12/s.  `dram_gbs`: 10^9 bytes/s.  `source` says
    where they stand, and how a figure is derived where only another precision is published.
    """

    name: str
    tflops: float
    dram_gbs: float
    source: str


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


_A100 = "A100 datasheet (nvidia-1758950-r4): 312 TFLOPS, 624 with sparsity; 2039 GB/s"
_RTX_3090 = "GA102 whitepaper 2.0, appendix A, table 9: 71 TFLOPS, 142 with sparsity"
_ORIN = (
    "Jetson AGX Orin technical brief: 170 sparse int8 TOPS of the GPU, of which dense fp16 is a quarter; whether "
    "sums in fp32 are as fast is not said"
)
_RTX_4090 = "Ada whitepaper 2.02, appendix A, table 2: 165.2 TFLOPS, 330.4 with sparsity; 1008 GB/s"
_H100 = "H100 datasheet: 1979 TFLOPS with sparsity; 3.35 TB/s"
_B200 = "HGX B200 at 1000 W: 4.5 PFLOPS with sparsity; 8 TB/s, of which HGX boards are given 7.7"
_B300 = "HGX B300 datasheet: 36 PFLOPS with sparsity for eight; 8 TB/s each"
_THOR = (
    "Jetson T5000: 2070 sparse FP4 and 1035 FP8 TFLOPS, of which dense fp16 is an eighth and a quarter, as 20 "
    "multiprocessors x 8192 operations x 1.575 GHz are; 273 GB/s"
)
_RTX_5090 = "RTX Blackwell whitepaper, table 3: 209.5 TFLOPS, 419 with sparsity; 1792 GB/s"
_SPARK = (
    "DGX Spark: 1000 sparse FP4 TFLOPS, of which dense fp16 is taken to be an eighth; at the 1/16 of the RTX 5090 "
    "fp8 would end at 125, and 188 were measured (NVIDIA's forum, topic 359960); 273 GB/s"
)

CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("sm_80", 80, "sm_80", 64, 32, 164 * KIB, "HMMA", Product("A100 SXM 80GB", 312, 2039, _A100)),
        Chip("sm_86", 86, "sm_86", 48, 16, 100 * KIB, "HMMA", Product("RTX 3090", 71, 936, _RTX_3090)),
        Chip("sm_87", 87, "sm_87", 48, 16, 164 * KIB, "HMMA", Product("Jetson AGX Orin 64GB", 42.5, 204.8, _ORIN)),
        Chip("sm_89", 89, "sm_89", 48, 24, 100 * KIB, "HMMA", Product("RTX 4090", 165.2, 1008, _RTX_4090)),
        Chip("sm_90", 90, "sm_90a", 64, 32, 228 * KIB, "HGMMA", Product("H100 SXM", 989, 3350, _H100)),
        Chip("sm_100", 100, "sm_100a", 64, 32, 228 * KIB, "UTCHMMA", Product("B200", 2250, 8000, _B200)),
        Chip("sm_103", 103, "sm_103a", 64, 32, 228 * KIB, "UTCHMMA", Product("B300", 2250, 8000, _B300)),
        Chip("sm_110", 110, "sm_110a", 48, 24, 228 * KIB, "UTCHMMA", Product("Jetson AGX Thor", 259, 273, _THOR)),
        Chip("sm_120", 120, "sm_120a", 48, 24, 100 * KIB, "HMMA", Product("RTX 5090", 209.5, 1792, _RTX_5090)),
        Chip("sm_121", 121, "sm_121a", 48, 24, 100 * KIB, "HMMA", Product("DGX Spark", 125, 273, _SPARK)),
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
