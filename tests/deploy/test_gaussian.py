"""Gaussian and keypoint label maps against goldens e and g, and the pixel-major form against the plain one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvc_deploy.labels import gaussian_labels, gaussian_maps
from fgvc_deploy.labels.keypoints import keypoint_labels, keypoint_maps
from fgvc_deploy.readout.resample import MapTaps, half_pixel_taps, resize_maps

# Values are at most 1 and both sides round to float32 three times.
ROUNDING = 3 * 2.0**-24


def test_goldens_full(goldens: Any, parity: Any) -> None:
    e = goldens("e_gauss_coord")
    maps = gaussian_maps(e["coords_xy"][0], tuple(e["grid_hw"].tolist()), float(e["sigma"]))
    assert maps.dtype == np.float32
    difference = np.abs(maps - e["gauss_full"][0]).max()
    parity(group="e", case="gauss_full", value=difference, budget=ROUNDING, unit="label")


def test_goldens_strided(goldens: Any, parity: Any) -> None:
    e = goldens("e_gauss_coord")
    hw, stride = tuple(e["grid_hw"].tolist()), int(e["stride"])
    maps = gaussian_maps(e["coords_xy"][0], hw, float(e["sigma"]), stride)
    assert maps.shape == e["gauss_strided"][0].shape
    difference = np.abs(maps - e["gauss_strided"][0]).max()
    parity(group="e", case="gauss_strided", value=difference, budget=ROUNDING, unit="label")


@given(
    hw=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    stride=st.integers(1, 5),
    points=st.lists(st.tuples(st.floats(-9, 49), st.floats(-9, 49)), min_size=1, max_size=4),
)
def test_labels_are_the_maps_sampled_at_the_stride(
    hw: tuple[int, int], stride: int, points: list[tuple[float, float]]
) -> None:
    xy = np.array(points)
    full = gaussian_maps(xy, hw, 4.0)[:, ::stride, ::stride]
    labels = gaussian_labels(xy, hw, 4.0, stride)
    assert labels.flags.c_contiguous
    np.testing.assert_array_equal(gaussian_maps(xy, hw, 4.0, stride), full)
    np.testing.assert_array_equal(labels, full.reshape(len(xy), -1).T)


def test_value_at_known_distances() -> None:
    maps = gaussian_maps(np.array([[10.0, 5.0], [10.5, 5.0]]), (20, 30), 6.0)
    assert maps[0, 5, 10] == 1.0
    assert maps[0, 5, 16] == pytest.approx(np.exp(-0.5), abs=1e-7)
    assert maps[1, 5, 10] == maps[1, 5, 11]


def test_keypoint_maps_of_goldens(goldens: Any, parity: Any) -> None:
    g = goldens("g_vos_stt")
    expected = g["jhmdb.ref_seg_map"][0]
    maps = keypoint_maps(g["jhmdb.kp_xy"].T, expected.shape[1:])
    np.testing.assert_array_equal(maps == 0, expected == 0)
    parity(group="g", case="jhmdb.maps", value=np.abs(maps - expected).max(), budget=ROUNDING, unit="label")


def test_keypoint_labels_are_the_maps_resized() -> None:
    xy, hw, feature_hw = np.array([[20.9, 11.2], [3.0, 40.0]]), (48, 65), (24, 33)
    taps = MapTaps(half_pixel_taps(48, 24), half_pixel_taps(65, 33))
    expected = resize_maps(keypoint_maps(xy, hw), taps).reshape(2, -1).T
    labels = keypoint_labels(xy, hw, feature_hw)
    assert labels.flags.c_contiguous
    np.testing.assert_array_equal(labels, expected)
