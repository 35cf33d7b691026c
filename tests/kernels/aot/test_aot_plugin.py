"""The TensorRT plugin: PTX without hidden pointers, and a registration tried against a stand-in for TensorRT."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fgvc_kernels.aot import tensorrt_plugin
from fgvc_kernels.aot.build import KernelBuild, compile_kernel
from fgvc_kernels.aot.catalogue import catalogue
from fgvc_kernels.aot.chips import CHIPS
from fgvc_kernels.aot.errors import AotError
from fgvc_kernels.aot.machine_code import parse_parameters
from fgvc_kernels.aot.plugin import UNASKED_SHARED_BYTES, compile_plugin, plugin_build, without_hidden_pointers
from fgvc_kernels.aot.tools import assemble, dump
from fgvc_kernels.triton.local_topk import local_topk_grid

KERNEL = "local_topk.resnet18_d1"


@pytest.fixture(scope="module")
def kernel() -> KernelBuild:
    return catalogue()[KERNEL]


@pytest.mark.parametrize("chip", ["sm_87", "sm_90", "sm_110", "sm_120"])
def test_ptx_assembles_to_the_visible_parameters(kernel: KernelBuild, chip: str, build_cache: Path) -> None:
    ptx, metadata = compile_plugin(kernel, CHIPS[chip], build_cache)
    table = parse_parameters(dump("cuobjdump", assemble(ptx.decode(), CHIPS[chip]), "-elf"))
    assert len(table) == len(kernel.arguments()) == 12
    assert [tuple(place) for place in table] == [(param.offset, param.size) for param in metadata.params]
    assert (metadata.hidden_pointers, metadata.bytes) == (0, len(ptx))
    assert f".target {CHIPS[chip].arch}" in ptx.decode()


@pytest.mark.parametrize(("chip", "fits"), [("sm_87", True), ("sm_90", True), ("sm_110", False), ("sm_120", True)])
def test_shared_memory_need_not_be_asked_for(kernel: KernelBuild, chip: str, fits: bool, build_cache: Path) -> None:
    """Two stages take more than 48 KB on every chip; one stage does on those with tensor memory, by eight bytes."""
    assert compile_kernel(kernel, CHIPS[chip], build_cache).shared_bytes > UNASKED_SHARED_BYTES
    _, metadata = compile_plugin(kernel, CHIPS[chip], build_cache)
    assert (metadata.shared_bytes <= UNASKED_SHARED_BYTES) == fits


def test_ptx_is_of_the_oldest_version_that_knows_the_chip(kernel: KernelBuild, build_cache: Path) -> None:
    for chip, version in {"sm_87": "8.0", "sm_110": "9.0"}.items():
        assert f".version {version}\n" in compile_plugin(kernel, CHIPS[chip], build_cache)[0].decode()


def test_the_unchanged_ptx_has_two_parameters_more(kernel: KernelBuild, build_cache: Path) -> None:
    compiled = compile_kernel(plugin_build(kernel, CHIPS["sm_87"]), CHIPS["sm_87"], build_cache)
    table = parse_parameters(dump("cuobjdump", assemble(compiled.ptx, CHIPS["sm_87"]), "-elf"))
    assert len(table) == 14


def test_a_kernel_that_uses_a_hidden_pointer_is_refused(kernel: KernelBuild, build_cache: Path) -> None:
    compiled = compile_kernel(plugin_build(kernel, CHIPS["sm_87"]), CHIPS["sm_87"], build_cache)
    hidden = f"{compiled.symbol}_param_{len(kernel.arguments())}"
    with pytest.raises(AotError, match="needs scratch memory"):
        without_hidden_pointers(replace(compiled, ptx=compiled.ptx + f"\nld.param.b64 %rd1, [{hidden}];"))
    with pytest.raises(AotError, match="needs scratch memory"):
        without_hidden_pointers(replace(compiled, global_scratch_bytes=128))
    with pytest.raises(AotError, match="does not declare its 2 hidden pointers last"):
        without_hidden_pointers(replace(compiled, ptx=compiled.ptx.replace(hidden, "something")))


@pytest.mark.parametrize("kind", ["fp32", "*i32"], ids=["a float", "a pointer among the integers"])
def test_arguments_that_tensorrt_cannot_pass_are_refused(kernel: KernelBuild, kind: str) -> None:
    wrong = replace(kernel, signature=dict(kernel.signature) | {"frames": kind})
    with pytest.raises(AotError, match="TensorRT passes input pointers, integers, then output pointers only"):
        plugin_build(wrong, CHIPS["sm_87"])


class FakeTensorRT:
    """What the registration uses of `tensorrt.plugin`; remembers what it was told.  Symbols are plain integers."""

    class TensorDesc(SimpleNamespace):
        """A tensor by its shape."""

    def __init__(self) -> None:
        self.registered: dict[str, Any] = {}
        self.KernelLaunchParams = lambda: SimpleNamespace(grid_x=1, grid_y=1, grid_z=1, block_x=1, shared_mem=0)
        self.SymIntExprs = lambda count: [None] * count
        self.SymInt32 = int
        self.AutoTuneCombination = lambda *words: words
        self.from_shape_expr = lambda shape, dtype: self.TensorDesc(shape_expr=shape, dtype=dtype)

    @staticmethod
    def cdiv(a: int, b: int) -> int:
        return -(-a // b)

    def __getattr__(self, decorator: str) -> Any:
        def decorate(name: str) -> Any:
            return lambda function: self.registered.setdefault(f"{decorator} {name}", function)

        return decorate


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    fake, package = FakeTensorRT(), ModuleType("tensorrt")
    vars(package).update(int32="int32", float32="float32", plugin=fake)
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    monkeypatch.setitem(sys.modules, "tensorrt.plugin", fake)
    return fake


@pytest.fixture
def folder(kernel: KernelBuild, build_cache: Path, tmp_path: Path) -> Path:
    ptx, metadata = compile_plugin(kernel, CHIPS["sm_87"], build_cache)
    (tmp_path / "local_topk.ptx").write_bytes(ptx)
    (tmp_path / "local_topk.json").write_bytes(metadata.to_json())
    return tmp_path


def test_the_registration_launches_what_our_launcher_would(
    fake: FakeTensorRT, folder: Path, kernel: KernelBuild
) -> None:
    tensorrt_plugin.register(folder)
    desc = fake.TensorDesc
    query, keys = desc(shape_expr=(75, 101, 256)), desc(shape_expr=(6, 75, 101, 256))
    slots, offsets = desc(shape_expr=(6,)), desc(shape_expr=(1152,))
    implement = fake.registered["aot_impl fgvc::local_topk"]
    symbol, ptx, launch, scalars = implement(query, keys, slots, offsets, 225, outputs=(), tactic=0)
    assert (launch.grid_x, launch.grid_y) == local_topk_grid((75, 101), 1, (8, 8))
    assert (launch.block_x, launch.grid_z) == (128, 1)
    assert launch.shared_mem == json.loads((folder / "local_topk.json").read_text())["shared_bytes"]
    assert scalars == [75, 101, 6, 6, 36, 225]
    names = [name for name, kind in kernel.arguments().items() if kind == "i32"]
    assert names == ["height", "width", "frames", "frames_per_split", "blocks", "limit"]
    assert f".entry {symbol.decode()}(" in ptx.decode()


def test_the_registration_describes_outputs_and_types(fake: FakeTensorRT, folder: Path) -> None:
    tensorrt_plugin.register(folder)
    describe = fake.registered["register fgvc::local_topk"]
    query = fake.TensorDesc(shape_expr=(75, 101, 256))
    positions, weights = describe(query, None, None, None, 225)
    assert (positions.shape_expr, positions.dtype) == ((75, 101, 10), "int32")
    assert (weights.shape_expr, weights.dtype) == ((75, 101, 10), "float32")
    assert list(inspect.signature(describe).parameters) == ["query", "keys", "slots", "offsets", "limit"]
    assert inspect.signature(describe).parameters["limit"].annotation is int
    formats = fake.registered["autotune fgvc::local_topk"](query, None, None, None, 225, ())
    assert formats == [("FP16, FP16, INT32, INT32, INT32, FP32", "LINEAR")]


def test_without_tensorrt_one_sentence_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ImportError, match=r"needs TensorRT 10\.7 or newer .* run `pip install tensorrt`"):
        tensorrt_plugin.register(folder)
