"""Fixtures of the ahead-of-time tests: everything is compiled once in a session, into a cache of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fgvc_kernels.aot.build import Compiled, KernelBuild, compile_without_spills
from fgvc_kernels.aot.chips import CHIPS

pytest.importorskip("triton", reason="compiling kernels needs the extra `export`")

BuiltKernel = Callable[[str, str], Compiled]


@pytest.fixture(autouse=True)
def _not_interpreting() -> None:
    if os.environ.get("TRITON_INTERPRET"):
        pytest.fail("TRITON_INTERPRET is set: nothing can be compiled in this process")


@pytest.fixture(scope="session")
def build_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Triton keeps what this session compiles: never the user's own cache, which may be of another day."""
    return tmp_path_factory.mktemp("triton")


@pytest.fixture(scope="session")
def built(build_cache: Path) -> BuiltKernel:
    """`built("local_topk.resnet18_d1", "sm_87")`: a kernel of the catalogue, compiled."""
    from fgvc_kernels.aot.catalogue import catalogue

    known = catalogue()
    return cache(lambda name, chip: compile_without_spills(known[name], CHIPS[chip], build_cache))


@pytest.fixture(scope="session")
def toy() -> KernelBuild:
    """A matrix product with a loop, of which every figure is easy to understand."""
    from toy_kernels import product

    kinds = {"a": "*fp16", "b": "*fp16", "out": "*fp32", "columns": "i32", "depth": "i32"}
    return KernelBuild(
        name="product",
        function=product,
        signature=kinds | {"TILE": "constexpr", "STEP": "constexpr"},
        constexprs={"TILE": 64, "STEP": 32},
        divisible=frozenset({"a", "b", "out", "columns"}),
        num_warps=4,
        num_stages=3,
    )
