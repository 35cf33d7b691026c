"""Lab without OpenCV against cv2.cvtColor and goldens a: equal bit for bit.

`test_every_colour` has passed with OpenCV 4.13.0 and 5.0.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.preprocess.lab import lab_grid, lab_planes, rgb_to_lab


def _cv2(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), dtype=np.float32)


def test_grid_entries_equal_opencv() -> None:
    """Colours k / 32 fall on table entries, so OpenCV tells its table; all 3 * 33^3 entries are compared."""
    level = (np.arange(33) / 32).astype(np.float32)
    blue, green, red = np.meshgrid(level, level, level, indexing="ij")
    lab = cv2.cvtColor(np.stack([red, green, blue], axis=-1).reshape(1, -1, 3), cv2.COLOR_RGB2Lab)[0].astype(
        np.float64
    )
    entries = np.stack([lab[:, 0] * 16384 / 100, (lab[:, 1] + 128) * 64, (lab[:, 2] + 128) * 64])
    np.testing.assert_array_equal(lab_grid().reshape(3, -1), np.rint(entries))


def test_every_colour() -> None:
    green, blue = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    for red in range(256):
        rgb = np.stack([np.full_like(green, red), green, blue], axis=-1)
        np.testing.assert_array_equal(rgb_to_lab(rgb), _cv2(rgb))


@pytest.mark.parametrize("shape", [(1, 1), (1, 8193), (91, 90), (3, 5)], ids=str)
def test_planes_are_contiguous_at_any_size(shape: tuple[int, int]) -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    planes = lab_planes(rgb)
    assert planes.shape == (3, *shape)
    assert planes.flags.c_contiguous
    np.testing.assert_array_equal(np.moveaxis(planes, 0, -1), _cv2(rgb))


def test_goldens(goldens: Any, parity: Any) -> None:
    a: Mapping[str, NDArray[Any]] = goldens("a_preprocess")
    difference = np.abs(rgb_to_lab(a["rgb96"][0]) - a["lab96_raw"][0]).max()
    parity(group="a", case="lab96_raw", value=difference, budget=0.0, unit="Lab")
