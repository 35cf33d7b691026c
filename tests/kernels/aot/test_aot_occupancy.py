"""Our occupancy beside NVIDIA's own header, which the triton wheel brings and a C compiler makes into a program."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
import triton.backends.nvidia

from fgvc_kernels.aot.chips import CHIPS, KIB, Chip
from fgvc_kernels.aot.occupancy import occupancy

REGISTERS = (16, 32, 40, 72, 96, 97, 128, 168, 255)
SHARED = (0, 1000, 16 * KIB, 49664, 65680, 99 * KIB, 100 * KIB, 163 * KIB, 227 * KIB)
WARPS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that asks NVIDIA's header."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    include = Path(triton.backends.nvidia.__path__[0]) / "include"
    program = tmp_path_factory.mktemp("occupancy") / "occupancy"
    source = Path(__file__).with_name("occupancy_header.c")
    subprocess.run([compiler, "-w", f"-I{include}", "-o", str(program), str(source)], check=True)
    return program


@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda chip: chip.name)
def test_blocks_are_those_of_nvidia_s_header(header: Path, chip: Chip) -> None:
    fits = [size for size in SHARED if size <= chip.shared_per_block]
    cases = list(itertools.product(REGISTERS, fits, WARPS))
    lines = "".join(
        f"{chip.capability // 10} {chip.capability % 10} {registers} {shared} {warps} {chip.shared_per_sm} "
        f"{32 * chip.warps_per_sm}\n"
        for registers, shared, warps in cases
    )
    answer = subprocess.run([str(header)], input=lines, capture_output=True, text=True, check=True).stdout
    theirs = [line.split() for line in answer.splitlines()]
    assert {status for status, _ in theirs} == {"0"}
    for (registers, shared, warps), (_, blocks) in zip(cases, theirs, strict=True):
        ours = occupancy(chip, registers=registers, shared_bytes=shared, num_warps=warps)
        assert ours.blocks == int(blocks), (registers, shared, warps, ours)


def test_a_block_that_does_not_fit_has_no_occupancy() -> None:
    found = occupancy(CHIPS["sm_86"], registers=32, shared_bytes=100 * KIB, num_warps=4)
    assert (found.blocks, found.warps, found.limited_by) == (0, 0.0, "shared memory")


def test_tensor_memory_limits_blocks_too() -> None:
    found = occupancy(CHIPS["sm_100"], registers=32, shared_bytes=0, num_warps=4, tensor_columns=256)
    assert (found.blocks, found.limited_by) == (2, "tensor memory")
