"""Merging the matches of single key frames equals matching all the frames at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import Matches, Window
from fgvc_deploy.propagation.merge import merge_matches
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_kernels.reference import check_matches


@settings(derandomize=True, deadline=None, max_examples=40, database=None)
@given(
    st.tuples(st.integers(1, 15), st.integers(1, 15)),
    st.integers(1, 5),
    st.integers(1, 20),
    st.floats(0.5, 9),
    st.integers(1, 3),
    st.integers(0, 10**6),
)
def test_equals_the_joint_topk(
    hw: tuple[int, int], frames: int, topk: int, radius: float, distinct: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    backend = TiledBackend(threads=1)
    # A palette of few features makes ties within and across frames.
    palette = rng.standard_normal((4**distinct, 5)).astype(np.float32)
    query, *keys = (backend.prepare(palette[rng.integers(0, len(palette), hw)]) for _ in range(frames + 1))
    window = Window("circle", radius)
    merged = merge_matches([backend.match(query, [key], window, topk) for key in keys], len(query.unit), topk)
    np.testing.assert_array_equal(merged.scores, backend.match(query, keys, window, topk).scores)
    units = [key.unit for key in keys]
    check_matches(merged.scores, merged.positions, query.unit, units, hw, "circle", radius, topk)


def test_more_pixels_than_one_chunk() -> None:
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.random((3, 5000, 4), dtype=np.float32), axis=2)
    positions = rng.integers(0, 5000, scores.shape, dtype=np.int32)
    merged = merge_matches([Matches(*pair) for pair in zip(scores, positions, strict=True)], 5000, 4)
    joined = np.concatenate(scores, axis=1)
    np.testing.assert_array_equal(merged.scores, -np.sort(-joined, axis=1)[:, :4])
    slot, pixel = np.divmod(merged.positions, 5000)
    own = np.where(positions[slot[:, 0], np.arange(5000)] == pixel[:, :1], scores[slot[:, 0], np.arange(5000)], -1)
    np.testing.assert_array_equal(own.max(axis=1), merged.scores[:, 0])


def test_lists_of_another_size_are_refused() -> None:
    one = Matches(np.ones((4, 2), np.float32), np.zeros((4, 2), np.int32))
    with pytest.raises(InputError, match="of one key frame of 5 pixels"):
        merge_matches([one], 5, 2)
    joint = Matches(np.ones((4, 2), np.float32), np.full((4, 2), 4, np.int32))
    with pytest.raises(InputError, match="of one key frame of 4 pixels"):
        merge_matches([one, joint], 4, 2)
    with pytest.raises(InputError, match="no matches"):
        merge_matches([], 4, 2)
