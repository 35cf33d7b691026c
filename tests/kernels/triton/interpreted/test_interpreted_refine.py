"""`refine` against the NumPy reference of the coarse-to-fine mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fgvc_kernels.reference.check import check_scores
from fgvc_kernels.reference.pooled_search import coarse_scores, fine_candidates
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.local_topk import launch_local_topk
from fgvc_kernels.triton.merge_topk import launch_merge_topk
from fgvc_kernels.triton.pool_cells import launch_pool_cells
from fgvc_kernels.triton.refine import launch_refine
from fgvc_kernels.triton.refine_reference import refine_reference

Frames = Callable[..., torch.Tensor]


def slots_of(*order: int) -> torch.Tensor:
    return torch.tensor(order, dtype=torch.int32)


def random_matches(cells: int, frames: int) -> torch.Tensor:
    return torch.randint(0, cells, (frames, cells), generator=torch.Generator().manual_seed(0)).int()


@pytest.mark.parametrize(
    ("hw", "scale", "fine_radius", "topk", "dtype"),
    [
        ((8, 8), 4, 1, 10, "float16"),
        ((9, 10), 4, 2, 10, "float32"),
        ((5, 7), 2, 1, 4, "bfloat16"),
        ((4, 5), 3, 2, 1, "float16"),
        ((1, 9), 4, 1, 16, "float16"),
    ],
)
def test_any_coarse_match(
    frames: Frames, hw: tuple[int, int], scale: int, fine_radius: int, topk: int, dtype: str
) -> None:
    """Coarse matches anywhere: at borders, in cells that the border cuts, and with fewer keys than k."""
    features = frames(0, 3, hw, dtype=dtype)
    cells = -(-hw[0] // scale) * -(-hw[1] // scale)
    matched, slots = random_matches(cells, 2), slots_of(1, 0)
    sizes: dict[str, Any] = {"scale": scale, "fine_radius": fine_radius, "topk": topk, "temperature": 0.0}
    found = launch_refine(features[0], features[1:].contiguous(), slots, matched, hw, **sizes)
    rows = features.double().numpy()
    affinity = rows[0] @ np.concatenate([rows[2], rows[1]]).T
    allowed = fine_candidates(hw, scale, fine_radius, matched.numpy().T)
    # The grid of 2^-21 and fp32 sums of 16 products.
    check_scores(found.values.numpy(), found.positions.numpy(), affinity, allowed, tolerance=5e-7)


def test_the_whole_mode(frames: Frames) -> None:
    """Pool, match cells with one list per frame, refine: candidates and weights are the reference's."""
    hw, scale, features = (8, 12), 4, frames(1, 3, (8, 12), dtype="float32")
    coarse = torch.stack([launch_pool_cells(frame, hw, scale=scale) for frame in features])
    slots = slots_of(0, 1)
    coarse_hw = (2, 3)
    lists = launch_local_topk(
        coarse[0], coarse[1:], slots, coarse_hw, radius=2.0, topk=1, temperature=0.0, frames_per_split=1
    )
    maps = features.double().numpy().reshape(3, *hw, -1)
    best = coarse_scores(maps[0], maps[1:], scale, 2.0).argmax(axis=-1)
    matched = lists.positions[..., 0].contiguous()
    assert (matched.numpy() % 6 == best.T).all()
    found = launch_refine(features[0], features[1:], slots, matched, hw, scale=scale, fine_radius=2)
    expected = refine_reference(features[0], features[1:], slots, matched, hw, scale=scale, fine_radius=2)
    # Scores within 5e-7, divided by the temperature.
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-5)


def test_lists_of_single_frames_merge_to_the_joint_list(frames: Frames) -> None:
    """What several query groups share; the merge renumbers the positions."""
    hw, features = (6, 7), frames(3, 4, (6, 7), dtype="float32")
    matched, slots = random_matches(6, 3), slots_of(2, 0, 1)
    sizes: dict[str, Any] = {"scale": 3, "fine_radius": 1, "topk": 5, "temperature": 0.0}
    joint = launch_refine(features[0], features[1:], slots, matched, hw, **sizes)
    lists = launch_refine(features[0], features[1:], slots, matched, hw, frames_per_split=1, **sizes)
    assert lists.positions.shape == (3, 42, 5)
    found = launch_merge_topk(lists, slots_of(0, 1, 2), temperature=0.0)
    torch.testing.assert_close(found.values, joint.values, rtol=0, atol=0)
    # Equal scores may change places: the grid of 2^-21 makes some.
    assert (found.positions == joint.positions).float().mean() > 0.99
    with pytest.raises(KernelArgumentError, match="must be 0"):
        launch_refine(features[0], features[1:], slots, matched, hw, scale=3, frames_per_split=1)


def test_refusals(frames: Frames) -> None:
    features = frames(2, 2, (4, 4))
    with pytest.raises(KernelArgumentError, match="2 to 16 and 1 to 16"):
        launch_refine(features[0], features[1:], slots_of(0), random_matches(1, 1), (4, 4), fine_radius=0)
    with pytest.raises(KernelArgumentError, match="`matched` must be int32"):
        launch_refine(features[0], features[1:], slots_of(0), random_matches(2, 1), (4, 4))
