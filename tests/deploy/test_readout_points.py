"""The fast point read-out equals the plain one bit for bit, and both say what their docstrings say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fgvc_deploy.labels import gaussian_labels, gaussian_maps
from fgvc_deploy.readout import read_full_maps, read_points, read_points_dense
from fgvc_deploy.settings import Compat

Float32Array = NDArray[np.float32]
both = pytest.mark.parametrize("compat", ["corrected", "reference"])


def _labels(kind: str, hw: tuple[int, int], stride: int, n_points: int, rng: np.random.Generator) -> Float32Array:
    n_features = -(-hw[0] // stride) * -(-hw[1] // stride)
    shape = (n_features, n_points)
    if kind == "gaussian":
        return gaussian_labels(rng.uniform(-5, 100, (n_points, 2)), hw, 6.0, stride)
    if kind == "noise":
        return rng.random(shape, dtype=np.float32)
    if kind == "peaks":
        return rng.random(shape, dtype=np.float32) ** np.float32(30)
    if kind == "ties":
        return rng.integers(0, 3, shape).astype(np.float32) / np.float32(2)
    plateau = np.full(shape, 0.7, dtype=np.float32)
    plateau[:, ::2] = 0  # every second point has vanished
    return plateau


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["gaussian", "noise", "peaks", "ties", "plateau"]),
    hw=st.tuples(st.integers(3, 70), st.integers(3, 70)),
    stride=st.sampled_from([1, 2, 4, 8]),
    n_points=st.integers(1, 9),
    compat=st.sampled_from(["corrected", "reference"]),
    seed=st.integers(0, 1000),
)
def test_fast_equals_plain(
    kind: str, hw: tuple[int, int], stride: int, n_points: int, compat: Compat, seed: int
) -> None:
    feature_hw = (-(-hw[0] // stride), -(-hw[1] // stride))
    labels = _labels(kind, hw, stride, n_points, np.random.default_rng(seed))
    fast = read_points(labels, feature_hw, hw, stride, compat)
    plain = read_points_dense(labels, feature_hw, hw, stride, compat)
    np.testing.assert_array_equal(fast.xy, plain.xy)
    np.testing.assert_array_equal(fast.peak, plain.peak)


@both
def test_many_points_equal_plain_across_chunks(compat: Compat) -> None:
    rng = np.random.default_rng(5)
    labels = gaussian_labels(rng.uniform(0, 63, (600, 2)), (64, 64), 6.0, 2)
    labels *= rng.uniform(0, 1, 600).astype(np.float32)
    labels[:, 123] = 0
    fast = read_points(labels, (32, 32), (64, 64), 2, compat)
    plain = read_points_dense(labels, (32, 32), (64, 64), 2, compat)
    np.testing.assert_array_equal(fast.xy, plain.xy)
    np.testing.assert_array_equal(fast.peak, plain.peak)


def test_no_points() -> None:
    out = read_points(np.zeros((256, 0), np.float32), (16, 16), (32, 32), 2)
    assert out.xy.shape == (0, 2)
    assert out.peak.shape == (0,)


@both
def test_input_is_left_alone(compat: Compat) -> None:
    labels = _labels("plateau", (64, 64), 2, 6, np.random.default_rng(0))
    before = labels.copy()
    read_points(labels, (32, 32), (64, 64), 2, compat)
    np.testing.assert_array_equal(labels, before)


def test_vanished_labels() -> None:
    labels = np.zeros((32 * 32, 3), np.float32)
    labels[500, 1] = np.nan
    labels[500, 2] = 1e-9
    corrected = read_points(labels, (32, 32), (64, 64), 2)
    assert np.isnan(corrected.xy).all()
    assert corrected.peak[0] == 0
    reference = read_points(labels, (32, 32), (64, 64), 2, "reference")
    assert reference.xy[0].tolist() == [-1, -1]


def test_faint_labels_keep_their_place() -> None:
    """The reference's sum + 1e-9 pulls a faint label towards (0, 0); corrected mode does not."""
    labels = gaussian_labels(np.array([[40.0, 20.0]]), (64, 64), 6.0, 2)
    strong, faint = (read_points(labels * np.float32(s), (32, 32), (64, 64), 2) for s in (1.0, 1e-4))
    np.testing.assert_allclose(faint.xy, strong.xy, atol=1e-5)
    assert faint.peak[0] == pytest.approx(strong.peak[0] * 1e-4, rel=1e-5)
    pulled = read_points(labels * np.float32(1e-9), (32, 32), (64, 64), 2, "reference")
    assert pulled.xy[0, 0] < 35


def test_peak_is_the_mean_of_the_five_best() -> None:
    maps = np.zeros((1, 8, 9), np.float32)
    maps[0, 2, 3:8] = [0.1, 0.2, 0.9, 0.4, 0.3]
    maps[0, 7, 0] = 0.05
    out = read_full_maps(maps)
    assert out.peak[0] == pytest.approx(0.38, abs=1e-6)
    assert out.xy[0, 1] == pytest.approx(2)
    assert out.xy[0, 0] == pytest.approx((3 * 0.1 + 4 * 0.2 + 5 * 0.9 + 6 * 0.4 + 7 * 0.3) / 1.9, abs=1e-6)


def test_ties_take_the_lower_raster_index() -> None:
    maps = np.zeros((1, 6, 6), np.float32)
    maps[0, 1, 1] = 1
    maps[0, 2:5, 0:6] = 0.5  # 18 equal pixels for four places: (0..3, 2)
    out = read_full_maps(maps)
    assert out.xy[0].tolist() == pytest.approx([(1 + 0.5 * (0 + 1 + 2 + 3)) / 3, (1 + 0.5 * 8) / 3])


@both
@pytest.mark.parametrize("stride", [2, 4])
def test_bias_of_an_unmoved_label(compat: Compat, stride: int) -> None:
    """The reference reads an unmoved label (stride - 1) / 2 px to the right and down (goldens item 24); corrected 0.

    The mean over 2000 places is known to 0.6 / sqrt(2000) = 0.013 px; five times that is allowed.
    """
    xy = np.random.default_rng(2).uniform(16, 111, (2000, 2))
    labels = gaussian_labels(xy, (128, 128), 6.0, stride)
    feature_hw = (128 // stride, 128 // stride)
    error = read_points(labels, feature_hw, (128, 128), stride, compat).xy - xy
    expected = (stride - 1) / 2 if compat == "reference" else 0.0
    np.testing.assert_allclose(error.mean(axis=0), expected, atol=0.07)
    assert np.abs(error - expected).max() < 0.5 * stride


def test_full_maps_read_back_the_point() -> None:
    xy = np.random.default_rng(3).uniform(8, 55, (200, 2))
    out = read_full_maps(gaussian_maps(xy, (64, 64), 6.0))
    # Five pixels of a pixel grid: goldens item 24 measured at most 0.26 px at the query frame.
    assert np.abs(out.xy - xy).max() < 0.3
