"""The PyTorch operators on the CPU: values, gradients, tracing.  Their CUDA side needs a GPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch._subclasses.functional_tensor import dispatch_functionalize
from torch.fx.experimental.proxy_tensor import make_fx

import fgvc_kernels
from fgvc_kernels.reference import AttentionOptions, attend, check_matches, window_mask
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.ops import BLOCK, TILE

Maps = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def maps(dtype: torch.dtype = torch.float32, hw: tuple[int, int] = (5, 6), frames: int = 2) -> Maps:
    """Unit features of a query and its key frames, and labels."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn((frames + 1, *hw, 16), generator=generator, dtype=torch.float64)
    unit = torch.nn.functional.normalize(rows, dim=3).to(dtype)
    labels = torch.rand((frames, *hw, 3), generator=generator, dtype=torch.float64)
    return unit[0], unit[1:], labels.to(torch.float64 if dtype == torch.float64 else torch.float32)


class Step(torch.nn.Module):
    """One propagation step."""

    def forward(self, query: torch.Tensor, keys: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return fgvc_kernels.propagate(fgvc_kernels.local_topk(query, keys, radius=2.5, topk=4), labels)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.float16, 1e-6), (torch.bfloat16, 1e-6)],
)
def test_matches_are_the_references(dtype: torch.dtype, tolerance: float) -> None:
    """Sums are fp32 whatever the features' type, so rounded features are compared with themselves."""
    query, keys, _ = maps(dtype)
    found = fgvc_kernels.local_topk(query, keys, radius=2.5, topk=4, temperature=0.0)
    rows = [frame.double().reshape(30, 16).numpy() for frame in (query, *keys)]
    scores, positions = found.values.float().numpy(), found.positions.numpy()
    check_matches(scores, positions, rows[0], rows[1:], (5, 6), "circle", 2.5, 4, tolerance=max(tolerance, 1e-7))


def test_a_step_is_the_references() -> None:
    query, keys, labels = maps(torch.float64)
    options = AttentionOptions(topk=4)
    expected = attend(query.numpy(), keys.numpy(), labels.numpy(), window_mask((5, 6), "circle", 2.5), options)
    np.testing.assert_allclose(Step()(query, keys, labels).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.07, 0.0])
def test_gradients_of_the_weights(temperature: float) -> None:
    """Radius 1.5 leaves corners 8 keys for k = 9, so empty entries are part of it."""
    query, keys, _ = (array.requires_grad_() for array in maps(torch.float64, (3, 4)))

    def values(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        found = fgvc_kernels.local_topk(query, keys, radius=1.5, topk=9, temperature=temperature).values
        return found.masked_fill(found.isneginf(), 0)

    assert torch.autograd.gradcheck(values, (query, keys), fast_mode=True)


def test_gradients_of_a_step() -> None:
    leaves = [array.requires_grad_() for array in maps(torch.float64, (3, 4))]
    assert torch.autograd.gradcheck(Step(), leaves, fast_mode=True)


def test_the_registration_is_sound() -> None:
    """Schema, fake tensors, autograd registration and tracing with dynamic shapes, as PyTorch checks them."""
    query, keys, labels = maps()
    found = fgvc_kernels.local_topk(query, keys, radius=2.5, topk=4)
    arguments = (
        query.flatten(0, 1),
        keys.flatten(1, 2),
        torch.zeros(32, dtype=torch.int32),
        5,
        6,
        2.5,
        "circle",
        4,
        0.07,
    )
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.fgvc.local_topk.default, arguments, test_utils=checks)
    torch.library.opcheck(torch.ops.fgvc.propagate.default, (*found, labels.flatten(1, 2)), test_utils=checks)


def test_export_keeps_the_operators() -> None:
    example = maps()
    program = torch.export.export(Step(), example)
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert "fgvc.local_topk.default" in targets
    assert "fgvc.propagate.default" in targets
    torch.testing.assert_close(program.module()(*example), Step()(*example))


def test_compile_makes_one_graph() -> None:
    example = maps()
    compiled: Callable[..., torch.Tensor] = torch.compile(Step(), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*example), Step()(*example))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_shapes_are_known_without_data(device: str) -> None:
    with FakeTensorMode():
        query = torch.empty((6, 7, 32), dtype=torch.float16, device=device)
        keys = torch.empty((3, 6, 7, 32), dtype=torch.float16, device=device)
        found = fgvc_kernels.local_topk(query, keys, radius=3.0, topk=5)
        assert found.positions.shape == found.values.shape == (42, 5)
        assert (found.positions.dtype, found.values.dtype) == (torch.int32, torch.float32)
        carried = fgvc_kernels.propagate(found, torch.empty((3, 6, 7, 2), device=device))
    assert carried.shape == (6, 7, 2)
    assert carried.device.type == device


def test_tracing_reaches_the_triton_kernels() -> None:
    """What torch.compile sees on a GPU, traced on meta tensors: both kernels, with every argument under its name."""
    pytest.importorskip("triton")

    def step(query: torch.Tensor, keys: torch.Tensor, offsets: torch.Tensor, labels: torch.Tensor) -> Any:
        found = torch.ops.fgvc.local_topk(query, keys, offsets, 6, 7, 3.0, "circle", 5, 0.07)
        return torch.ops.fgvc.propagate(*found, labels)

    shapes = {(42, 32): torch.float16, (3, 42, 32): torch.float16, (64,): torch.int32, (3, 42, 2): torch.float32}
    with FakeTensorMode():
        inputs = [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in shapes.items()]
        graph = make_fx(dispatch_functionalize(step))(*inputs).graph
    launches = [dict(node.kwargs) for node in graph.nodes if "triton_kernel_wrapper" in str(node.target)]
    assert [launch["grid"] for launch in launches] == [[(1, 1, 1)], [(2, 1, 1)]]
    assert launches[0]["kwargs"]["limit"] == 9
    assert launches[0]["kwargs"]["blocks"] == 2
    assert launches[1]["kwargs"]["channels"] == 2


def test_importing_the_package_is_light() -> None:
    code = "import sys, fgvc_kernels; print([m for m in ('torch', 'triton', 'numpy') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="kernels", check=True)
    assert ran.stdout.strip() == "[]"


def test_the_cpu_side_needs_no_triton() -> None:
    """A None in sys.modules makes `import triton` fail."""
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, fgvc_kernels\n"
        "x = torch.nn.functional.normalize(torch.ones(2, 3, 4, 16), dim=3)\n"
        "print(fgvc_kernels.local_topk(x[0], x[1:], radius=1.0, topk=1).positions.flatten().tolist())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="kernels", check=True)
    assert ran.stdout.strip() == str(list(range(12)))


def test_the_operators_tile_is_the_kernels() -> None:
    pytest.importorskip("triton")
    from fgvc_kernels.triton.local_topk import CONFIG

    assert CONFIG.tiles == {"TILE_Y": TILE[0], "TILE_X": TILE[1], "BLOCK": BLOCK}


def test_public_names() -> None:
    assert dir(fgvc_kernels) == ["local_topk", "propagate"]
    assert all(getattr(fgvc_kernels, name).__doc__ for name in dir(fgvc_kernels))
    assert not hasattr(fgvc_kernels, "no_such_name")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"topk": 0}, "between 1 and 16"),
        ({"radius": -1.0}, "above 0"),
        ({"temperature": -0.1}, "Temperature -0.1"),
        ({"query": torch.zeros(30, 16)}, r"Give \[H, W, C\]"),
        ({"query": torch.zeros(5, 6, 24)}, "multiple of 16"),
        ({"keys": torch.zeros(2, 5, 7, 16)}, "`keys` must be float32"),
        ({"keys": torch.zeros(0, 5, 6, 16)}, "0 key frames"),
    ],
)
def test_refusals(change: dict[str, Any], words: str) -> None:
    query, keys, _ = maps()
    arguments: dict[str, Any] = {"query": query, "keys": keys, "radius": 2.0}
    with pytest.raises(KernelArgumentError, match=words):
        fgvc_kernels.local_topk(**(arguments | change))


def test_labels_must_fit_the_matches() -> None:
    query, keys, labels = maps()
    with pytest.raises(KernelArgumentError, match="do not fit"):
        fgvc_kernels.propagate(fgvc_kernels.local_topk(query, keys, radius=2.0), labels[:, :4])
