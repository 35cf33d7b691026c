"""`propagate` against its plain version and the NumPy reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fgvc_kernels.reference import AttentionOptions, attend, window_mask
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.local_topk import launch_local_topk
from fgvc_kernels.triton.propagate import launch_propagate
from fgvc_kernels.triton.propagate_reference import propagate_reference

Frames = Callable[..., torch.Tensor]


def some_matches(pixels: int, topk: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    positions = torch.randint(0, frames * pixels, (pixels, topk), generator=generator).int()
    return positions, torch.rand((pixels, topk), generator=generator).softmax(1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 1e-3)])
@pytest.mark.parametrize("channels", [1, 4, 5, 16, 33, 36])
def test_equals_the_plain_version(dtype: torch.dtype, tolerance: float, channels: int) -> None:
    """fp16 labels are rounded once, when they are stored: half a unit in the last place below 1 is 5e-4."""
    positions, weights = some_matches(35, 10, 3)
    labels = torch.rand((5, 35, channels), generator=torch.Generator().manual_seed(1)).to(dtype)
    slots = torch.tensor([4, 0, 2], dtype=torch.int32)
    found = launch_propagate(positions, weights, labels, slots)
    torch.testing.assert_close(found, propagate_reference(positions, weights, labels, slots), rtol=0, atol=tolerance)


def test_a_whole_step_is_the_reference_attention(frames: Frames) -> None:
    hw, features = (6, 7), frames(0, 4, (6, 7), dtype="float32")
    labels = torch.rand((3, 42, 2), generator=torch.Generator().manual_seed(2))
    slots = torch.arange(3, dtype=torch.int32)
    matches = launch_local_topk(features[0], features[1:], slots, hw, radius=3.0)
    found = launch_propagate(*matches, labels, slots)
    maps = [array.double().numpy().reshape(-1, *hw, array.shape[-1]) for array in (features, labels)]
    expected = attend(maps[0][0], maps[0][1:], maps[1], window_mask(hw, "circle", 3.0), AttentionOptions())
    # Weights within 1e-5 (see `local_topk`) times labels below 1; errors cancel because weights sum to 1.
    torch.testing.assert_close(found.double(), torch.from_numpy(expected.reshape(42, 2)), rtol=0, atol=1e-5)


def test_an_empty_entry_reads_nothing() -> None:
    positions = torch.zeros((4, 3), dtype=torch.int32)
    weights = torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1)
    positions[:, 0] = 1
    labels = torch.tensor([torch.nan, 2.0, torch.nan, torch.nan]).reshape(1, 4, 1)
    found = launch_propagate(positions, weights, labels, torch.zeros(1, dtype=torch.int32))
    assert (found == 2).all()


def test_writes_into_the_ring_of_labels() -> None:
    """`out` may be the next row of the ring that the labels of the key frames are in."""
    positions, weights = some_matches(12, 4, 2)
    ring = torch.rand((3, 12, 2), generator=torch.Generator().manual_seed(3))
    before = ring.clone()
    slots = torch.tensor([2, 0], dtype=torch.int32)
    found = launch_propagate(positions, weights, ring, slots, out=ring[1])
    assert found.data_ptr() == ring[1].data_ptr()
    expected = propagate_reference(positions, weights, before, slots)
    torch.testing.assert_close(ring[1], expected, rtol=0, atol=1e-6)
    assert torch.equal(ring[0], before[0])
    assert torch.equal(ring[2], before[2])


def test_no_labels_at_all() -> None:
    positions, weights = some_matches(6, 2, 1)
    assert launch_propagate(positions, weights, torch.zeros((1, 6, 0)), torch.zeros(1, dtype=torch.int32)).shape == (
        6,
        0,
    )


def test_refusals() -> None:
    positions, weights = some_matches(6, 2, 1)
    slots = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(KernelArgumentError, match="`labels` must be float32 or float16"):
        launch_propagate(positions, weights, torch.zeros((1, 6, 2), dtype=torch.float64), slots)
    with pytest.raises(KernelArgumentError, match="`weights` must be"):
        launch_propagate(positions, weights[:3], torch.zeros((1, 6, 2)), slots)
