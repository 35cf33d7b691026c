"""The static figures of a kernel on a chip: what its machine code needs and holds.  Counts, never times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from fgvc_kernels.aot.build import Compiled
from fgvc_kernels.aot.machine_code import Instruction, MachineCode, flow, is_call, read_cubin
from fgvc_kernels.aot.occupancy import occupancy

_TENSOR = ("HMMA", "HGMMA", "UTCHMMA")
_LOCAL_MEMORY = ("LDL", "STL")


@dataclass(frozen=True, slots=True)
class StaticFigures:
    """Counts of one cubin.

    `registers` per thread.  `frame_bytes` of stack per thread and `local_accesses` (instructions on it): spills.
    `shared_bytes` per block.  `register_cap`: what the assembler was told to stay below, 0 where it chose.
    `tensor_columns` of tensor memory per block (of 512 a multiprocessor of sm_100 to
    sm_110 has).  `tensor`: tensor-core instructions.  `async_copies` (global to shared memory) and `loads`, `stores`
    of global memory, each with how many of them move 128 bits per thread.  `calls`: to outlined code.
    `instructions` that can run; `loop_instructions` of them inside any loop; `tensor_loop`: in the smallest loop that
    holds a tensor-core instruction.  `blocks` resident on a multiprocessor, the share of its warps that they fill,
    and what allows no more.
    """

    registers: int
    frame_bytes: int
    local_accesses: int
    shared_bytes: int
    register_cap: int
    tensor_columns: int
    tensor: int
    async_copies: int
    async_copies_128: int
    loads: int
    loads_128: int
    stores: int
    stores_128: int
    calls: int
    instructions: int
    loop_instructions: int
    tensor_loop: int
    blocks: int
    occupancy: float
    limited_by: str
    cubin_bytes: int
    cubin_sha256: str

    @property
    def hot(self) -> int:
        """Instructions of the hot path: those in loops, or all of a kernel without loops."""
        return self.loop_instructions or self.instructions

    @property
    def wide_reads(self) -> int:
        """Reads of global memory in 128 bits per thread, into registers or straight into shared memory."""
        return self.loads_128 + self.async_copies_128


def figures(compiled: Compiled) -> StaticFigures:
    """Read the machine code of a compiled kernel; raises `AotError` when it cannot be read."""
    code = read_cubin(compiled.cubin, compiled.symbol)
    reached, loops = flow(code)
    running = [code.instructions[index] for index in sorted(reached)]
    resident = occupancy(
        compiled.chip,
        registers=code.registers,
        shared_bytes=compiled.shared_bytes,
        num_warps=compiled.num_warps,
        tensor_columns=compiled.tensor_columns,
    )
    return StaticFigures(
        registers=code.registers,
        frame_bytes=code.frame_bytes,
        local_accesses=_count(running, *_LOCAL_MEMORY),
        shared_bytes=compiled.shared_bytes,
        register_cap=compiled.build.max_registers or 0,
        tensor_columns=compiled.tensor_columns,
        tensor=_count(running, *_TENSOR),
        async_copies=_count(running, "LDGSTS"),
        async_copies_128=_count(running, "LDGSTS", wide=True),
        loads=_count(running, "LDG"),
        loads_128=_count(running, "LDG", wide=True),
        stores=_count(running, "STG"),
        stores_128=_count(running, "STG", wide=True),
        calls=sum(map(is_call, running)),
        instructions=len(running),
        loop_instructions=len(frozenset().union(*loops)),
        tensor_loop=_tensor_loop(code, loops),
        blocks=resident.blocks,
        occupancy=round(resident.warps, 4),
        limited_by=resident.limited_by,
        cubin_bytes=len(compiled.cubin),
        cubin_sha256=hashlib.sha256(compiled.cubin).hexdigest(),
    )


def _count(running: Iterable[Instruction], *bases: str, wide: bool = False) -> int:
    chosen = (step.opcode for step in running if step.base in bases)
    return sum(not wide or ".128" in opcode for opcode in chosen)


def _tensor_loop(code: MachineCode, loops: Iterable[frozenset[int]]) -> int:
    sizes = [len(loop) for loop in loops if any(code.instructions[index].base in _TENSOR for index in loop)]
    return min(sizes, default=0)
