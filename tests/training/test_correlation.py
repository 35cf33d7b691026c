"""Local correlation against goldens h, a brute-force loop and finite differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fgvc_training.correlation import attention_logits, local_correlation, window_inside, window_offsets
from fgvc_training.errors import ShapeError

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]


def brute_force(query: Tensor, key: Tensor, radius: int, spacing: int = 1) -> Tensor:
    batch, _, height, width = query.shape
    side = 2 * radius + 1
    volume = torch.zeros(batch, height, width, side * side, dtype=query.dtype)
    for y in range(height):
        for x in range(width):
            for entry in range(side * side):
                to_y = y + (entry // side - radius) * spacing
                to_x = x + (entry % side - radius) * spacing
                if 0 <= to_y < height and 0 <= to_x < width:
                    volume[:, y, x, entry] = (query[:, :, y, x] * key[:, :, to_y, to_x]).sum(1)
    return volume


@pytest.mark.parametrize(
    ("golden", "options"),
    [
        ("corr.out_R2", {"radius": 2}),
        # mmcv's dilation of the kernel does nothing at kernel size 1 (goldens item 32), so we have no such option.
        ("corr.out_R2_dil2", {"radius": 2}),
        ("corr.out_R2_dilpatch2", {"radius": 2, "spacing": 2}),
        ("corr.out_R1_k3_pad1", {"radius": 1, "patch": 3}),
    ],
)
def test_matches_reference(
    goldens: Goldens, parity: Callable[..., None], golden: str, options: dict[str, int]
) -> None:
    h = goldens("h_training")
    volume = local_correlation(torch.from_numpy(h["corr.in1"]), torch.from_numpy(h["corr.in2"]), **options)
    expected = h[golden]  # [1, dy, dx, H, W]
    got = volume.reshape(1, *expected.shape[3:], *expected.shape[1:3]).permute(0, 3, 4, 1, 2).numpy()
    # Sums of at most 27 products of size about 1 in another order: a few float32 rounding steps.
    worst = float(np.abs(got - expected).max())
    parity(group="h", case=golden, value=worst, budget=4e-6, unit="correlation")


@pytest.mark.parametrize(
    ("hw", "radius", "spacing"), [((5, 7), 2, 1), ((6, 4), 1, 3), ((1, 9), 3, 1), ((4, 1), 6, 2)]
)
def test_matches_brute_force(hw: tuple[int, int], radius: int, spacing: int) -> None:
    generator = torch.Generator().manual_seed(3)
    query, key = torch.randn(2, 3, 4, *hw, generator=generator, dtype=torch.float64)
    volume = local_correlation(query, key, radius, spacing=spacing)
    torch.testing.assert_close(volume, brute_force(query, key, radius, spacing), rtol=0, atol=1e-14)


def test_gradient_in_float64() -> None:
    generator = torch.Generator().manual_seed(4)
    query, key = (torch.randn(2, 3, 3, 5, generator=generator, dtype=torch.float64, requires_grad=True) for _ in "qk")
    assert torch.autograd.gradcheck(lambda q, k: local_correlation(q, k, 2), (query, key))


def test_window_geometry_agrees_with_the_volume() -> None:
    ones = torch.ones(1, 1, 4, 6)
    inside = window_inside(4, 6, 3)
    assert torch.equal(local_correlation(ones, ones, 3)[0] > 0, inside)
    offsets = window_offsets(3)
    assert offsets[0].tolist() == [-3, -3]
    assert offsets[24].tolist() == [0, 0]
    assert offsets[25].tolist() == [1, 0]


def test_no_probability_leaves_the_image() -> None:
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(1, 8, 5, 6, generator=generator)
    logits = attention_logits(local_correlation(features, features, 4), 4, 0.07)
    probability = logits.softmax(-1)
    assert float(probability[0][~window_inside(5, 6, 4)].abs().max()) == 0.0
    torch.testing.assert_close(probability.sum(-1), torch.ones(1, 5, 6))


def test_shapes_must_agree() -> None:
    with pytest.raises(ShapeError, match="differ in shape"):
        local_correlation(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5), 1)
