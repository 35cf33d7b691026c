"""The static gates: what machine code must never do, and what it must not lose against its baseline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fgvc_kernels.aot.chips import Chip
from fgvc_kernels.aot.figures import StaticFigures

MORE_INSTRUCTIONS = 1.05
"""Hot loops may hold this many times the instructions of the baseline: schedulers move a few about."""


class Fault(NamedTuple):
    """A broken gate: its name, and what was found where what is allowed."""

    gate: str
    text: str


def faults(found: StaticFigures, chip: Chip, baseline: StaticFigures | None = None) -> list[Fault]:
    """Every gate that `found` breaks on `chip`, on its own and beside `baseline` when there is one."""
    return [*_by_itself(found, chip), *(_beside(found, baseline) if baseline else ())]


def _by_itself(found: StaticFigures, chip: Chip) -> Iterator[Fault]:
    if found.frame_bytes or found.local_accesses:
        text = f"{found.frame_bytes} bytes of stack and {found.local_accesses} accesses to it, where none are allowed"
        yield Fault("spill", text)
    if found.shared_bytes > chip.shared_per_block:
        text = f"{found.shared_bytes} bytes of shared memory where a block may have {chip.shared_per_block}"
        yield Fault("shared memory", text)
    elif not found.blocks:
        yield Fault("occupancy", f"not one block fits a multiprocessor, because of {found.limited_by}")


def _beside(found: StaticFigures, baseline: StaticFigures) -> Iterator[Fault]:
    fewer = {"tensor cores": "tensor", "vector loads": "wide_reads", "async copies": "async_copies"}
    for gate, name in (fewer | {"vector stores": "stores_128"}).items():
        have, want = getattr(found, name), getattr(baseline, name)
        if have < want:
            yield Fault(gate, f"{have} such instructions where the baseline has {want}")
    for gate, name in {"hot loops": "hot", "tensor loop": "tensor_loop"}.items():
        have, want = getattr(found, name), getattr(baseline, name)
        if have > MORE_INSTRUCTIONS * want:
            yield Fault(gate, f"{have} instructions where the baseline has {want}")
    if found.calls > baseline.calls:
        yield Fault("calls", f"{found.calls} calls of outlined code where the baseline has {baseline.calls}")
    if found.blocks < baseline.blocks:
        yield Fault(
            "occupancy", f"{found.blocks} blocks on a multiprocessor where the baseline has {baseline.blocks}"
        )
