"""The table that everything ahead of time is made from says what the kernels' signatures say."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("triton")

from fgvc_kernels.triton.config import Variant
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.local_topk import local_topk_grid
from fgvc_kernels.triton.table import KERNELS, Build, variants

TYPES = {"*fp16", "*bf16", "*fp32", "*i32", "*u8", "i32"}
BUILDS = [
    Build(),
    Build(encoder="fp16", feature="bf16", label="fp16", channels=48, topk=16, stride=4, reference=True),
]


@pytest.mark.parametrize("build", BUILDS, ids=["reference settings", "others"])
@pytest.mark.parametrize("name", KERNELS)
def test_parameters_and_constexprs_make_the_signature(name: str, build: Build) -> None:
    variant = KERNELS[name](build)
    kernel: Any = variant.kernel
    fixed = {p.name for p in kernel.params if p.is_constexpr}
    assert variant.name == name
    assert [p.name for p in variant.params] == [name for name in kernel.arg_names if name not in fixed]
    assert set(variant.constexprs) == fixed
    assert {p.kind for p in variant.params} <= TYPES
    assert variant.config.why


def test_pointers_to_features_and_results_are_aligned() -> None:
    """Without the attribute nothing vectorises ahead of time."""
    for variant in variants(Build()):
        for param in variant.params:
            if param.name in {"query", "keys", "features", "labels", "positions", "values", "out", "looks"}:
                assert param.divisible_by == 16, f"{variant.name}.{param.name}"


def test_inputs_come_first_then_integers_then_outputs() -> None:
    """TensorRT plugins pass arguments in that order."""
    outputs = {"positions", "values", "out", "bounds", "xy", "peak", "ranges", "mask", "partials"}
    # What is remembered of points from frame to frame, and the answers.
    outputs |= {"last", "looks", "similarity", "mass"}
    for variant in variants(Build()):
        kinds = ["integer" if p.kind == "i32" else "pointer" for p in variant.params]
        last_integer = max(i for i, kind in enumerate(kinds) if kind == "integer")
        first_integer = kinds.index("integer")
        assert set(kinds[first_integer : last_integer + 1]) == {"integer"}, variant.name
        assert {p.name for p in variant.params[last_integer + 1 :]} <= outputs, variant.name
        assert variant.params[last_integer + 1 :], variant.name


def test_fused_multiply_add_is_pinned() -> None:
    """The read-out kernels repeat the runtime's roundings; Triton's default is going to change."""
    fused: dict[str, bool] = {v.name: v.config.fp_fusion for v in variants(Build())}
    assert not any(fused[name] for name in ("readout", "mask_ranges", "argmax_masks"))
    assert all(isinstance(v, Variant) and "enable_fp_fusion" in v.config.options for v in variants(Build()))


def test_the_grid_covers_a_map_that_no_tile_divides() -> None:
    assert local_topk_grid((9, 17), 3, (8, 8)) == (6, 3)


@pytest.mark.parametrize("wrong", [Build(channels=40), Build(topk=17), Build(topk=0), Build(coarse_scale=1)])
def test_settings_that_no_kernel_supports(wrong: Build) -> None:
    with pytest.raises(KernelArgumentError):
        variants(wrong)
