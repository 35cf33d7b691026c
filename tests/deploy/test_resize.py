"""The NumPy resize against cv2.resize(INTER_LINEAR): equal bit for bit, at every size tried."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.preprocess.resize import resize_linear

side = st.integers(1, 150)


def _frame(hw: tuple[int, int], seed: int, extreme: bool = False) -> NDArray[np.uint8]:
    rgb = np.random.default_rng(seed).integers(0, 256, (*hw, 3), dtype=np.uint8)
    return np.where(rgb > 127, 255, 0).astype(np.uint8) if extreme else rgb


def _cv2(rgb: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(rgb, hw[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


@pytest.mark.parametrize("extreme", [False, True], ids=["random", "black-white"])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((720, 1280), (256, 455)),
        ((720, 1280), (360, 640)),
        ((480, 854), (256, 256)),
        ((256, 256), (720, 1280)),
        ((64, 64), (32, 32)),
        ((64, 64), (32, 64)),
        ((65, 101), (32, 50)),
        ((75, 101), (64, 96)),
        ((100, 100), (99, 100)),
        ((1, 1), (40, 33)),
        ((1, 50), (37, 1)),
        ((2, 3), (1, 1)),
    ],
    ids=str,
)
def test_equals_opencv(source: tuple[int, int], target: tuple[int, int], extreme: bool) -> None:
    rgb = _frame(source, seed=source[0] + target[1], extreme=extreme)
    np.testing.assert_array_equal(resize_linear(rgb, target), _cv2(rgb, target))


@settings(max_examples=150, deadline=None)
@given(source=st.tuples(side, side), target=st.tuples(side, side), seed=st.integers(0, 2**31), extreme=st.booleans())
def test_equals_opencv_at_any_size(
    source: tuple[int, int], target: tuple[int, int], seed: int, extreme: bool
) -> None:
    rgb = _frame(source, seed, extreme)
    np.testing.assert_array_equal(resize_linear(rgb, target), _cv2(rgb, target))


def test_same_size_is_a_copy() -> None:
    rgb = _frame((20, 30), seed=1)
    out = resize_linear(rgb, (20, 30))
    np.testing.assert_array_equal(out, rgb)
    assert not np.shares_memory(out, rgb)


def test_non_contiguous_input() -> None:
    rgb = _frame((80, 90), seed=2)[::-1, ::2]
    np.testing.assert_array_equal(resize_linear(rgb, (33, 47)), _cv2(np.ascontiguousarray(rgb), (33, 47)))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["float", "grey", "rgba", "empty"],
)
def test_refuses_other_arrays(frame: NDArray[np.uint8]) -> None:
    with pytest.raises(InputError, match=r"uint8 RGB of shape \[H, W, 3\]"):
        resize_linear(frame, (8, 8))
