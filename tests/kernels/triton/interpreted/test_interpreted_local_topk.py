"""`local_topk` against the dense NumPy reference, which compares values and never the order of ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch

from fgvc_kernels.reference import check_matches
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.local_topk import launch_local_topk
from fgvc_kernels.triton.local_topk_reference import local_topk_reference

Frames = Callable[..., torch.Tensor]
# A score is rounded to a grid of 2^-21 (half of it: 2.4e-7); fp32 sums of 32 products add less than 2e-7.
TOLERANCE = 5e-7


def slots_of(*order: int) -> torch.Tensor:
    return torch.tensor(order, dtype=torch.int32)


def check(
    features: torch.Tensor,
    slots: torch.Tensor,
    hw: tuple[int, int],
    radius: float,
    topk: int,
    window: Literal["circle", "square"] = "circle",
) -> Any:
    """Match frame 0 to the others and hold the result to the reference."""
    query, keys = features[0].contiguous(), features[1:].contiguous()
    found = launch_local_topk(query, keys, slots, hw, radius=radius, window=window, topk=topk, temperature=0.0)
    rows = features.double().numpy()
    chosen = [rows[1 + slot] for slot in slots.tolist()]
    scores, positions = found.values.numpy(), found.positions.numpy()
    check_matches(scores, positions, rows[0], chosen, hw, window, radius, topk, tolerance=TOLERANCE)
    return found


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_inside_and_at_the_borders(frames: Frames, dtype: str) -> None:
    """9 x 11 is no multiple of the 8 x 8 tile: borders, a part of a tile, and the ring order all at once."""
    check(frames(0, 4, (9, 11), dtype=dtype), slots_of(2, 0, 1), (9, 11), 3.0, 10)


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.2360679774997894, 2.23606797749979, 5.000000001])
def test_the_radius_is_a_float_and_strict(frames: Frames, radius: float) -> None:
    """At and around distances that occur, 1, sqrt(5) and 5; fp32 could not tell the last from 5."""
    check(frames(1, 2, (6, 7)), slots_of(0), (6, 7), radius, 16)


def test_a_square_window(frames: Frames) -> None:
    check(frames(2, 3, (7, 9)), slots_of(1, 0), (7, 9), 2.0, 10, "square")


def test_a_window_larger_than_the_map(frames: Frames) -> None:
    check(frames(3, 2, (5, 4)), slots_of(0), (5, 4), 1e9, 16)


@pytest.mark.parametrize("hw", [(1, 13), (13, 1), (1, 1)])
def test_maps_one_pixel_wide(frames: Frames, hw: tuple[int, int]) -> None:
    check(frames(4, 3, hw), slots_of(0, 1), hw, 3.0, 5)


@pytest.mark.parametrize("channels", [48, 32])
def test_channels_that_are_no_power_of_two(frames: Frames, channels: int) -> None:
    check(frames(5, 2, (5, 6), channels), slots_of(0), (5, 6), 2.5, 4)


def test_one_key_each(frames: Frames) -> None:
    """k = 1 and T = 1."""
    check(frames(6, 2, (8, 8)), slots_of(0), (8, 8), 3.0, 1)


def test_fewer_keys_than_k(frames: Frames) -> None:
    """Radius 1 allows the pixel itself: one key per frame, the other 14 entries stay empty."""
    features = frames(7, 3, (4, 5))
    found = check(features, slots_of(0, 1), (4, 5), 1.0, 16)
    assert torch.isneginf(found.values[:, 2:]).all()
    weights = launch_local_topk(features[0], features[1:], slots_of(0, 1), (4, 5), radius=1.0, topk=16).values
    assert (weights[:, 2:] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(20), rtol=0, atol=1e-6)


def test_a_pixel_finds_itself(frames: Frames) -> None:
    """The score 1 is where a packing without the factor 0.5 overflows."""
    one = torch.zeros((2, 6, 16), dtype=torch.float32)
    one[:, range(6), range(6)] = 1.0
    found = check(one, slots_of(0), (2, 3), 9.0, 6)
    assert (found.values[:, 0] == 1).all()
    assert (found.positions[:, 0] == torch.arange(6)).all()


def test_a_frame_listed_twice(frames: Frames) -> None:
    """The reference lists the first frame twice at first (goldens item 12): every key then counts twice."""
    check(frames(8, 2, (5, 5)), slots_of(0, 0), (5, 5), 2.0, 10)


def test_many_equal_scores() -> None:
    same = torch.zeros((2, 30, 16), dtype=torch.float16)
    same[..., 3] = 1
    check(same, slots_of(0), (5, 6), 3.0, 10)


def test_opposite_vectors(frames: Frames) -> None:
    """Negative scores down to -1 are scores like others."""
    features = frames(9, 2, (4, 4), dtype="float32")
    features[1] = -features[0]
    check(features, slots_of(0), (4, 4), 2.0, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_broken_keys_are_never_chosen(frames: Frames, bad: float, dtype: str) -> None:
    """NumPy warns of inf * 0 in the interpreter's product; a GPU computes the same NaN silently."""
    features = frames(10, 3, (5, 6), dtype=dtype)
    features[2, 7] = bad
    query, keys = features[0].contiguous(), features[1:].contiguous()
    found = launch_local_topk(query, keys, slots_of(0, 1), (5, 6), radius=2.5, topk=16, temperature=0.0)
    expected = local_topk_reference(query, keys, slots_of(0, 1), (5, 6), radius=2.5, topk=16, temperature=0.0)
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=TOLERANCE)
    assert not (found.positions == 30 + 7).any()


@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_a_broken_query_has_no_keys(frames: Frames) -> None:
    features = frames(11, 2, (4, 4))
    features[0, 5] = torch.nan
    found = launch_local_topk(features[0], features[1:], slots_of(0), (4, 4), radius=2.0, topk=3)
    assert (found.values[5] == 0).all()
    assert (found.positions[5] == 0).all()
    torch.testing.assert_close(found.values.sum(1)[6:], torch.ones(10), rtol=0, atol=1e-6)


def test_the_ring_may_hold_frames_that_are_not_listed(frames: Frames) -> None:
    """Slots of the ring that are not in use are uninitialised memory."""
    features = frames(12, 4, (4, 5))
    features[2] = torch.nan
    check(features, slots_of(2, 0), (4, 5), 2.0, 10)


def test_weights_are_the_softmax_of_the_scores(frames: Frames) -> None:
    features = frames(13, 3, (4, 9))
    arguments = (features[0], features[1:], slots_of(1, 0), (4, 9))
    found = launch_local_topk(*arguments, radius=3.0, topk=10, temperature=0.07)
    expected = local_topk_reference(*arguments, radius=3.0, topk=10, temperature=0.07)
    # Scores within 5e-7 move an exponent by 7e-6 and a weight below 1 by as much.
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=1e-5)


def test_splits_cover_all_frames(frames: Frames) -> None:
    """Two lists of two frames and one of the rest, with positions that count all frames."""
    hw, features = (4, 5), frames(14, 4, (4, 5))
    slots = slots_of(2, 1, 0)
    found = launch_local_topk(
        features[0], features[1:], slots, hw, radius=2.0, topk=4, temperature=0.0, frames_per_split=2
    )
    rows = features.double().numpy()
    for split, members in enumerate(([2, 1], [0])):
        chosen = [rows[1 + slot] for slot in members]
        scores = found.values[split].numpy()
        positions = np.where(np.isneginf(scores), 0, found.positions[split].numpy() - 40 * split)
        check_matches(scores, positions, rows[0], chosen, hw, "circle", 2.0, 4, tolerance=TOLERANCE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"topk": 17}, "between 1 and 16"),
        ({"radius": 0.0}, "above 0"),
        ({"radius": float("nan")}, "above 0"),
        ({"window": "hexagon"}, "'circle' or 'square'"),
        ({"temperature": -1.0}, "Temperature"),
        ({"slots": torch.zeros(0, dtype=torch.int32)}, "at least one"),
        ({"slots": torch.zeros(1)}, "`slots` must be int32"),
        ({"keys": torch.zeros((1, 20, 16))}, "`keys` must be float16"),
        ({"query": torch.zeros((20, 24), dtype=torch.float16)}, "multiple of 16"),
        ({"query": torch.zeros((16, 20), dtype=torch.float16).T}, "contiguous"),
        ({"hw": (0, 5)}, "sides are 1"),
    ],
)
def test_refusals(frames: Frames, change: dict[str, Any], words: str) -> None:
    features = frames(15, 2, (4, 5))
    arguments: dict[str, Any] = {
        "query": features[0],
        "keys": features[1:],
        "slots": slots_of(0),
        "hw": (4, 5),
        "radius": 2.0,
    }
    with pytest.raises(KernelArgumentError, match=words):
        launch_local_topk(**(arguments | change))
