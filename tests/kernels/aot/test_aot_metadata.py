"""The JSON beside a cubin: what the run time reads is what the machine code takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fgvc_deploy.gpu.cubins.metadata import parse_metadata
from fgvc_kernels.aot.build import Compiled, KernelBuild, compile_kernel
from fgvc_kernels.aot.chips import CHIPS
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.machine_code import read_cubin
from fgvc_kernels.aot.metadata import KernelMetadata, describe, placed_parameters, type_size

BuiltKernel = Callable[[str, str], Compiled]


@pytest.mark.parametrize("chip", ["sm_87", "sm_110"])
@pytest.mark.parametrize("name", ["local_topk", "propagate", "normalise", "readout"])
def test_the_run_time_reads_the_layout_of_the_machine_code(built: BuiltKernel, name: str, chip: str) -> None:
    compiled = built(f"{name}.resnet18_d1", chip)
    read = parse_metadata(describe(compiled).to_json(), name)
    assert read.layout == read_cubin(compiled.cubin, compiled.symbol).parameters
    assert (read.kernel, read.chip, read.bytes) == (name, chip, len(compiled.cubin))
    assert read.arch.removesuffix("a") == chip
    assert {param.name: param.type for param in read.params} == compiled.build.arguments()
    assert {param.name for param in read.params if param.divisible_by == 16} == compiled.build.divisible
    assert read.constexprs == compiled.build.constexprs


def test_the_text_survives_a_round_trip(toy: KernelBuild, build_cache: Path) -> None:
    found = describe(compile_kernel(toy, CHIPS["sm_87"], build_cache))
    assert KernelMetadata.model_validate_json(found.to_json()) == found


def test_a_signature_of_other_sizes_is_refused(toy: KernelBuild, build_cache: Path) -> None:
    compiled = compile_kernel(toy, CHIPS["sm_87"], build_cache)
    table = read_cubin(compiled.cubin, compiled.symbol).parameters
    with pytest.raises(AotError, match=r"takes parameters of \[8, 8, 8, 4, 4, 8\] bytes where its signature and 2"):
        placed_parameters(compiled, table[:-1])
    wider = replace(compiled, build=replace(toy, signature=dict(toy.signature) | {"depth": "i64"}))
    with pytest.raises(AotError, match="passes arguments in another way"):
        placed_parameters(wider, table)


def test_parameters_that_overlap_are_refused(toy: KernelBuild, build_cache: Path) -> None:
    found = describe(compile_kernel(toy, CHIPS["sm_87"], build_cache)).model_dump(mode="json")
    found["params"][1]["offset"] = 4
    with pytest.raises(ValueError, match="parameter b overlaps the one before it, or is not aligned"):
        KernelMetadata.model_validate(found, strict=False)


@pytest.mark.parametrize(("kind", "size"), [("*i32", 8), ("i32", 4), ("fp32", 4), ("i64", 8), ("u8", 1), ("i1", 1)])
def test_sizes_of_types(kind: str, size: int) -> None:
    assert type_size(kind) == size
