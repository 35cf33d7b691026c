"""Properties of the reference propagation that hold for any input (Hypothesis, fixed seeds)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_kernels.reference import AttentionOptions, attend, attend_batch, window_mask
from fgvc_kernels.reference.attention import masked_affinity, selection_weights

Frames = NDArray[np.float64]
STABLE = settings(derandomize=True, deadline=None, max_examples=25, database=None)
# float64 sums of at most a few hundred terms of size one.
ROUNDING = 1e-12
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 9)
shapes: st.SearchStrategy[Literal["circle", "square"]] = st.sampled_from(["circle", "square"])


def scene(
    seed: int, frames: int, height: int, width: int, channels: int = 6, points: int = 3
) -> tuple[Frames, Frames]:
    """Random features [frames + 1, H, W, C] (the last is the query) and labels [frames, H, W, P]."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((frames + 1, height, width, channels))
    return features, rng.random((frames, height, width, points))


def propagate(features: Frames, labels: Frames, mask: NDArray[np.bool_] | None, **options: Any) -> Frames:
    return np.asarray(
        attend(features[-1], features[:-1], labels, mask, AttentionOptions(**options)), dtype=np.float64
    )


@STABLE
@given(seeds, shapes, st.integers(1, 3), st.integers(-3, 3), st.integers(-3, 3), st.sampled_from([1, 4, None]))
def test_translation_moves_the_output(
    seed: int, shape: Literal["circle", "square"], radius: int, dy: int, dx: int, topk: int | None
) -> None:
    features, labels = scene(seed, 2, 17, 18)
    size, start = (11, 12), 3
    mask = window_mask(size, shape, radius)

    def crop(array: Frames, top: int, left: int) -> Frames:
        return array[:, top : top + size[0], left : left + size[1]]

    still = propagate(crop(features, start, start), crop(labels, start, start), mask, topk=topk)
    top, left = start - dy, start - dx
    moved = propagate(crop(features, top, left), crop(labels, top, left), mask, topk=topk)
    # Pixels whose window lies inside both crops; pixel (y, x) of `still` is (y + dy, x + dx) of `moved`.
    inside_y = slice(radius + max(0, -dy), size[0] - radius - max(0, dy))
    inside_x = slice(radius + max(0, -dx), size[1] - radius - max(0, dx))
    after_y = slice(inside_y.start + dy, inside_y.stop + dy)
    after_x = slice(inside_x.start + dx, inside_x.stop + dx)
    assert still[inside_y, inside_x].size > 0
    np.testing.assert_allclose(moved[after_y, after_x], still[inside_y, inside_x], rtol=0, atol=ROUNDING)


@STABLE
@given(seeds, sides, sides, st.permutations(range(5)))
def test_permuting_the_points_permutes_the_maps(seed: int, height: int, width: int, order: list[int]) -> None:
    features, labels = scene(seed, 2, height, width, points=5)
    mask = window_mask((height, width), "circle", 2.5)
    expected = propagate(features, labels, mask)[..., order]
    np.testing.assert_allclose(propagate(features, labels[..., order], mask), expected, rtol=0, atol=ROUNDING)


@STABLE
@given(seeds, sides, sides, shapes, st.sampled_from([0.5, 1.0, 2.5, 20.0]), st.sampled_from([1, 10, 1000, None]))
def test_weights_sum_to_one(
    seed: int, height: int, width: int, shape: Literal["circle", "square"], radius: float, topk: int | None
) -> None:
    features, _ = scene(seed, 3, height, width)
    mask = window_mask((height, width), shape, radius)
    affinity = masked_affinity(features[-1], features[:-1], mask, AttentionOptions())
    weights = selection_weights(affinity, topk)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=ROUNDING)
    assert (weights >= 0).all()
    assert (weights[np.isneginf(affinity)] == 0).all()
    if topk is not None:
        assert np.count_nonzero(weights, axis=1).max() <= topk


@STABLE
@given(seeds, sides, sides, st.sampled_from([1.0, 1.5, 2.0]))
def test_fewer_keys_than_k_is_finite(seed: int, height: int, width: int, radius: float) -> None:
    features, labels = scene(seed, 1, height, width)
    mask = window_mask((height, width), "circle", radius)
    found = propagate(features, labels, mask, topk=32)
    assert np.isfinite(found).all()
    # Nine keys at most: the surplus of the 32 weighs nothing, so all keys are in the softmax.
    np.testing.assert_allclose(found, propagate(features, labels, mask, topk=None), rtol=0, atol=ROUNDING)


@STABLE
@given(seeds, sides, sides)
def test_batch_elements_are_independent(seed: int, height: int, width: int) -> None:
    first, first_labels = scene(seed, 2, height, width)
    second, second_labels = scene(seed + 1, 2, height, width)
    mask = window_mask((height, width), "square", 2)
    options = AttentionOptions(topk=4)
    pair = np.stack([first, second])
    found = attend_batch(pair[:, -1], pair[:, :-1], np.stack([first_labels, second_labels]), mask, options)
    np.testing.assert_array_equal(found[0], attend(first[-1], first[:-1], first_labels, mask, options))
    np.testing.assert_array_equal(found[1], attend(second[-1], second[:-1], second_labels, mask, options))


@STABLE
@given(seeds, sides, sides, st.integers(1, 6))
def test_a_frame_listed_twice_halves_the_reach_of_topk(seed: int, height: int, width: int, topk: int) -> None:
    """Goldens item 12: with duplicate keys the top 2k are the top k twice, at the same weights."""
    features, labels = scene(seed, 1, height, width)
    mask = window_mask((height, width), "circle", 3.0)
    twice = np.concatenate([features[:1], features])
    found = propagate(twice, np.concatenate([labels, labels]), mask, topk=2 * topk)
    np.testing.assert_allclose(found, propagate(features, labels, mask, topk=topk), rtol=0, atol=ROUNDING)
