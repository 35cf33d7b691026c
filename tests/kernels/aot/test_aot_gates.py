"""The static gates: each fault is found, also when the damage is done to the real kernel (mutation checks)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fgvc_kernels.aot.baseline import load_baseline
from fgvc_kernels.aot.build import KernelBuild, compile_kernel
from fgvc_kernels.aot.catalogue import catalogue
from fgvc_kernels.aot.chips import CHIPS, KIB
from fgvc_kernels.aot.figures import StaticFigures, figures
from fgvc_kernels.aot.gates import faults

KERNEL = "local_topk.resnet18_d1"
ORIN = CHIPS["sm_87"]
GOOD = load_baseline().of(KERNEL, "sm_87")


def broken(found: StaticFigures) -> set[str]:
    return {fault.gate for fault in faults(found, ORIN, GOOD)}


def test_the_baseline_holds_its_own_gates() -> None:
    assert broken(GOOD) == set()


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"frame_bytes": 8}, "spill"),
        ({"local_accesses": 1}, "spill"),
        ({"shared_bytes": 164 * KIB}, "shared memory"),
        ({"blocks": 0}, "occupancy"),
        ({"blocks": GOOD.blocks - 1}, "occupancy"),
        ({"tensor": GOOD.tensor - 1}, "tensor cores"),
        ({"loads_128": GOOD.loads_128 - 1}, "vector loads"),
        ({"async_copies_128": GOOD.async_copies_128 - 1}, "vector loads"),
        ({"async_copies": GOOD.async_copies - 1}, "async copies"),
        ({"calls": GOOD.calls + 1}, "calls"),
        ({"loop_instructions": int(1.06 * GOOD.loop_instructions)}, "hot loops"),
        ({"tensor_loop": int(1.06 * GOOD.tensor_loop)}, "tensor loop"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_each_gate_closes(change: dict[str, Any], gate: str) -> None:
    assert gate in broken(replace(GOOD, **change))


def test_five_per_cent_more_instructions_are_allowed() -> None:
    assert broken(replace(GOOD, loop_instructions=int(1.05 * GOOD.loop_instructions))) == set()


def test_a_kernel_without_loops_is_hot_throughout() -> None:
    straight = replace(GOOD, loop_instructions=0, tensor_loop=0)
    longer = replace(straight, instructions=int(1.06 * straight.instructions))
    assert {fault.gate for fault in faults(longer, ORIN, straight)} == {"hot loops"}


# The mutations: the kernel as we ship it, with one thing changed.


@pytest.fixture(scope="module")
def kernel() -> KernelBuild:
    return catalogue()[KERNEL]


def mutated(kernel: KernelBuild, cache: Path, **change: Any) -> set[str]:
    return broken(figures(compile_kernel(replace(kernel, **change), ORIN, cache)))


@pytest.mark.parametrize("pointer", ["query", "keys"])
def test_one_alignment_less_loses_vector_loads(kernel: KernelBuild, pointer: str, build_cache: Path) -> None:
    assert pointer in kernel.divisible
    found = mutated(kernel, build_cache, divisible=kernel.divisible - {pointer})
    assert "vector loads" in found


def test_too_few_registers_spill(kernel: KernelBuild, build_cache: Path) -> None:
    assert "spill" in mutated(kernel, build_cache, max_registers=64)


def test_too_many_stages_do_not_fit(kernel: KernelBuild, build_cache: Path) -> None:
    chip = CHIPS["sm_86"]
    found = figures(compile_kernel(replace(kernel, num_stages=12), chip, build_cache))
    assert {fault.gate for fault in faults(found, chip)} == {"shared memory"}


def test_one_stage_loses_the_async_copies(kernel: KernelBuild, build_cache: Path) -> None:
    assert "async copies" in mutated(kernel, build_cache, num_stages=1)
