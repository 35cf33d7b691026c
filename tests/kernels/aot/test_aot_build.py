"""A build depends on its inputs alone: not on caches, folders or the environment, and wrong inputs are refused."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

import toy_kernels
from fgvc_kernels.aot.build import KernelBuild, compile_kernel, compile_without_spills
from fgvc_kernels.aot.chips import CHIPS, chosen_chips
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.figures import figures


@pytest.mark.parametrize("chip", ["sm_87", "sm_110"])
def test_fresh_caches_give_the_same_bytes(toy: KernelBuild, chip: str, tmp_path: Path) -> None:
    first, second = (compile_kernel(toy, CHIPS[chip], tmp_path / name) for name in "ab")
    assert any((tmp_path / "b").rglob("*.cubin")), "the second build came from a cache"
    assert (first.cubin, first.ptx) == (second.cubin, second.ptx)


def test_the_folder_of_the_sources_does_not_show(toy: KernelBuild, tmp_path: Path) -> None:
    text = Path(toy_kernels.__file__).read_text(encoding="utf-8")
    (tmp_path / "elsewhere.py").write_text("# Moves every line.\n\n" + text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("elsewhere", tmp_path / "elsewhere.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    moved = compile_kernel(replace(toy, function=module.product), CHIPS["sm_87"], tmp_path / "a")
    assert moved.cubin == compile_kernel(toy, CHIPS["sm_87"], tmp_path / "b").cubin
    assert str(tmp_path).encode() not in moved.cubin


@pytest.mark.parametrize("name", ["TRITON_INTERPRET", "PTXAS_OPTIONS", "DISABLE_PTXAS_OPT", "TRITON_OVERRIDE_ARCH"])
def test_an_environment_that_changes_the_code_is_refused(
    toy: KernelBuild, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(AotError, match=f"^{name} in the environment would change the machine code; unset it"):
        compile_kernel(toy, CHIPS["sm_87"])
    monkeypatch.undo()


def test_fusion_of_multiply_and_add_is_the_build_s_choice(
    toy: KernelBuild, build_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = compile_kernel(toy, CHIPS["sm_87"], build_cache)
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "0")
    assert compile_kernel(toy, CHIPS["sm_87"], build_cache / "other").cubin == fused.cubin


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"signature": {"a": "*fp16"}},
            "Kernel product takes a, b, out, columns, depth, TILE, STEP; its types",
        ),
        ({"constexprs": {"TILE": 64}}, "STEP must be a constexpr with a value"),
        ({"constexprs": {"TILE": 64, "STEP": 32, "depth": 4}}, "depth must be a constexpr with a value"),
        ({"divisible": frozenset({"TILE"})}, "TILE cannot be divisible by 16"),
        ({"constexprs": {"TILE": 63, "STEP": 32}}, "Kernel product does not compile for sm_87: "),
    ],
    ids=["types", "missing constant", "extra constant", "divisible constant", "tile of 63"],
)
def test_inconsistent_builds_are_refused(toy: KernelBuild, change: dict[str, object], message: str) -> None:
    with pytest.raises(AotError, match=message):
        compile_kernel(replace(toy, **change), CHIPS["sm_87"])  # type: ignore[arg-type]


def test_a_build_that_states_its_cap_keeps_it(toy: KernelBuild, build_cache: Path) -> None:
    capped = compile_without_spills(replace(toy, max_registers=32), CHIPS["sm_87"], build_cache)
    assert figures(capped).registers == 32
    assert figures(capped).frame_bytes > 0


def test_chips_are_chosen_by_name_once_each() -> None:
    assert [chip.name for chip in chosen_chips(["sm_87", "all"])][:2] == ["sm_87", "sm_80"]
    assert len(chosen_chips(["all", "sm_90"])) == len(CHIPS) == 10
    with pytest.raises(AotError, match=r"no chip 'sm_75'; choose from: sm_80, .*, or `all`"):
        chosen_chips(["sm_75"])
