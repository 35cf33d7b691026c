"""Queries that are made or checked: grids, points outside the frame, frames that do not exist."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvc_deploy.errors import InputError
from fgvc_deploy.queries import check_in_frame, check_times
from fgvc_deploy.results.queries import grid_queries


def test_grid_is_centred_and_row_by_row() -> None:
    queries = grid_queries(2, (4, 8), 5)
    np.testing.assert_array_equal(queries, [[5, 0.5, 1.5], [5, 0.5, 5.5], [5, 2.5, 1.5], [5, 2.5, 5.5]])
    with pytest.raises(InputError, match="--grid 0 makes no points"):
        grid_queries(0, (4, 8))


@given(count=st.integers(1, 40), height=st.integers(1, 500), width=st.integers(1, 500))
def test_grid_is_symmetric_and_inside(count: int, height: int, width: int) -> None:
    queries = grid_queries(count, (height, width))
    assert len(queries) == count**2
    check_in_frame(queries[:, 2:0:-1], (height, width))
    np.testing.assert_allclose(queries[:, 1:].mean(axis=0), [(height - 1) / 2, (width - 1) / 2], atol=1e-3)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0, 3, 10], None),
        ([0, -0.5, -0.5], None),
        ([0, 47.5, 63.5], None),
        ([0, 47.6, 10], r"point 1 \(counted from 0\) has y = 47.6, outside the frame of 64x48"),
        ([0, 5, 64], "has x = 64, .*x goes from 0 to 63"),
        ([0, 5, -1], "has x = -1"),
        ([0, np.nan, 5], "has y = nan"),
    ],
)
def test_points_outside_the_frame(row: list[float], words: str | None) -> None:
    queries = np.array([[0, 1, 1], row], np.float32)
    if words is None:
        check_in_frame(queries[:, 2:0:-1], (48, 64))
        return
    with pytest.raises(InputError, match=words):
        check_in_frame(queries[:, 2:0:-1], (48, 64), "points.csv")


@pytest.mark.parametrize(
    ("t", "frame_count", "words"),
    [
        (0, 1, None),
        (9, 10, None),
        (8.5, 10, None),
        (1e6, None, None),
        (10, 10, "point 0 .* has t = 10; the video has frames 0 to 9"),
        (9.5, 10, "has t = 9.5"),
        (-1, 10, "has t = -1"),
        (-1, None, "frames count from 0"),
        (np.nan, None, "has t = nan"),
    ],
)
def test_points_on_frames_that_do_not_exist(t: float, frame_count: int | None, words: str | None) -> None:
    queries = np.array([[t, 1, 1]], np.float32)
    if words is None:
        check_times(queries, frame_count)
        return
    with pytest.raises(InputError, match=words):
        check_times(queries, frame_count)
