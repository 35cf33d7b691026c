"""`merge_topk`: the merge of lists is the joint top-k."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fgvc_kernels.reference import check_matches
from fgvc_kernels.triton.local_topk import launch_local_topk
from fgvc_kernels.triton.local_topk_reference import TopK, local_topk_reference
from fgvc_kernels.triton.merge_topk import launch_merge_topk, merge_topk_reference

Frames = Callable[..., torch.Tensor]
HW = (5, 7)


def slots_of(*order: int) -> torch.Tensor:
    return torch.tensor(order, dtype=torch.int32)


@pytest.mark.parametrize("chosen", [(0, 2), (3, 1, 0, 2), (1,), (0, 0, 3)])
@pytest.mark.parametrize("topk", [1, 10])
def test_lists_of_single_frames_join_to_the_joint_topk(frames: Frames, chosen: tuple[int, ...], topk: int) -> None:
    features = frames(0, 5, HW)
    keys = features[1:].contiguous()
    lists = [
        local_topk_reference(features[0], keys, slots_of(slot), HW, radius=2.0, topk=topk, temperature=0.0)
        for slot in range(4)
    ]
    found = TopK(*(torch.stack(part) for part in zip(*lists, strict=True)))
    joined = launch_merge_topk(found, slots_of(*chosen), temperature=0.0)
    rows = features.double().numpy()
    members = [rows[1 + slot] for slot in chosen]
    scores, positions = joined.values.numpy(), joined.positions.numpy()
    # Scores of another origin are rounded to the grid of 2^-21, fp32 sums add 2e-7.
    check_matches(scores, positions, rows[0], members, HW, "circle", 2.0, topk, tolerance=5e-7)


def test_own_lists_keep_their_scores_bit_for_bit(frames: Frames) -> None:
    features = frames(1, 4, HW)
    arguments = (features[0], features[1:].contiguous(), slots_of(0, 1, 2), HW)
    lists = launch_local_topk(*arguments, radius=2.0, temperature=0.0, frames_per_split=1)
    whole = launch_local_topk(*arguments, radius=2.0, temperature=0.0)
    assert torch.equal(launch_merge_topk(lists, slots_of(0, 1, 2), temperature=0.0).values, whole.values)


def test_splits_keep_their_positions(frames: Frames) -> None:
    features = frames(2, 4, HW)
    arguments = (features[0], features[1:].contiguous(), slots_of(2, 0, 1), HW)
    lists = launch_local_topk(*arguments, radius=2.0, temperature=0.0, frames_per_split=2)
    joined = launch_merge_topk(lists, slots_of(0, 1), temperature=0.0, renumber=False)
    rows = features.double().numpy()
    members = [rows[1 + slot] for slot in (2, 0, 1)]
    scores, positions = joined.values.numpy(), joined.positions.numpy()
    check_matches(scores, positions, rows[0], members, HW, "circle", 2.0, 10, tolerance=5e-7)


def test_weights_and_the_plain_version(frames: Frames) -> None:
    features = frames(3, 3, HW)
    arguments = (features[0], features[1:].contiguous(), slots_of(0, 1), HW)
    lists = launch_local_topk(*arguments, radius=1.5, topk=16, temperature=0.0, frames_per_split=1)
    joined = launch_merge_topk(lists, slots_of(1, 0), temperature=0.07)
    expected = merge_topk_reference(lists, slots_of(1, 0), temperature=0.07)
    torch.testing.assert_close(joined.values, expected.values, rtol=0, atol=1e-6)
    # No two scores of these random frames are equal, so the positions are determined.
    assert torch.equal(joined.positions, expected.positions)


def test_a_row_without_any_key() -> None:
    lists = TopK(torch.zeros((2, 3, 4), dtype=torch.int32), torch.full((2, 3, 4), -torch.inf))
    joined = launch_merge_topk(lists, slots_of(0, 1))
    assert (joined.values == 0).all()
    assert (joined.positions == 0).all()
