"""How many blocks of a kernel one multiprocessor holds at a time.

The rules of NVIDIA's occupancy header for capability 8.0 and newer; a test compares with that header itself.
"""

from __future__ import annotations

from typing import NamedTuple

from fgvc_kernels.aot.chips import Chip

REGISTERS_PER_SM = 65536
# Registers are handed out per warp in units of 256, from four separate files.
_REGISTER_UNIT = 256
_SUB_PARTITIONS = 4
_SHARED_UNIT = 128
# Tensor memory of a multiprocessor that has it (sm_100 to sm_110), in columns.
_TENSOR_COLUMNS = 512
# What the driver takes of each block's shared memory from capability 8.0 on.
_RESERVED_SHARED = 1024


class Occupancy(NamedTuple):
    """Blocks resident on one multiprocessor, the share of its warps they fill, and what allows no more."""

    blocks: int
    warps: float
    limited_by: str


def occupancy(chip: Chip, *, registers: int, shared_bytes: int, num_warps: int, tensor_columns: int = 0) -> Occupancy:
    """Occupancy of blocks of `num_warps` warps with `registers` per thread and `shared_bytes` per block.

    `tensor_columns` of tensor memory are what a block holds where the chip has any.  0 blocks when one does not fit.
    """
    shared = _round_up(shared_bytes + _RESERVED_SHARED, _SHARED_UNIT)
    per_warp = _round_up(max(registers, 1) * 32, _REGISTER_UNIT)
    warps = _SUB_PARTITIONS * (REGISTERS_PER_SM // _SUB_PARTITIONS // per_warp)
    limits = {
        "registers": warps // num_warps,
        "shared memory": chip.shared_per_sm // shared if shared_bytes <= chip.shared_per_block else 0,
        "warps": chip.warps_per_sm // num_warps,
        "blocks": chip.blocks_per_sm,
        "tensor memory": _TENSOR_COLUMNS // tensor_columns if tensor_columns else chip.blocks_per_sm,
    }
    limited_by = min(limits, key=limits.__getitem__)
    blocks = limits[limited_by]
    return Occupancy(blocks, blocks * num_warps / chip.warps_per_sm, limited_by)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
