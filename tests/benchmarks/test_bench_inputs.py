"""The made-up inputs: repeatable, in their documented ranges, and as hard as an encoder's features."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from fgvc_benchmarks.geometry import Geometry
from fgvc_benchmarks.inputs import feature_frames, grid_points, label_frames, mean_cosines, scene

GEOMETRY = Geometry("t", 40, 48, 64, 5.0, frames=3)


def test_features_are_those_of_an_encoder() -> None:
    """The reference's random-weight encoder gives 0.88 and 0.96 (goldens README, weights recipe)."""
    frames = feature_frames(GEOMETRY)
    assert frames.shape == (4, 40, 48, 64)
    assert frames.dtype == np.float32
    assert frames.min() >= 0
    elsewhere, itself = mean_cosines(list(frames))
    assert elsewhere == pytest.approx(0.88, abs=0.03)
    assert itself == pytest.approx(0.96, abs=0.03)
    assert itself > elsewhere + 0.04


def test_features_and_labels_are_repeatable() -> None:
    np.testing.assert_array_equal(feature_frames(GEOMETRY), feature_frames(GEOMETRY))
    first, second = label_frames(GEOMETRY, 3), label_frames(GEOMETRY, 3)
    assert len(first) == 3
    assert first[0].shape == (40 * 48, 3)
    np.testing.assert_array_equal(first, second)


def test_the_scene_moves_in_every_frame_and_repeats_from_the_start() -> None:
    frames = list(islice(scene((48, 64)), 40))
    assert all(frame.shape == (48, 64, 3) and frame.dtype == np.uint8 for frame in frames)
    assert all((a != b).mean() > 0.1 for a, b in pairwise(frames))
    np.testing.assert_array_equal(frames[5], next(islice(scene((48, 64)), 5, None)))


@pytest.mark.parametrize("count", [1, 5, 16, 1024])
def test_points_lie_inside_and_apart(count: int) -> None:
    points = grid_points((96, 128), count)
    assert points.shape == (count, 2)
    assert (points >= 5).all()
    assert (points <= [122, 90]).all()
    assert len(np.unique(points, axis=0)) == count
