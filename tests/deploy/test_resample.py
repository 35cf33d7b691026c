"""Bilinear resampling of label maps against torch, and the exact placement against a linear ramp."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from fgvc_deploy.readout.resample import MapTaps, exact_taps, half_pixel_taps, map_taps, resize_maps

side = st.integers(1, 70)
# Weights and values are at most 1; each side rounds five times.
TOLERANCE = 1e-6


def _against_torch(source: tuple[int, int], target: tuple[int, int], seed: int) -> float:
    maps = np.random.default_rng(seed).random((2, *source), dtype=np.float32)
    theirs = interpolate(torch.from_numpy(maps)[None], size=target, mode="bilinear", align_corners=False)[0].numpy()
    ours = resize_maps(maps, MapTaps(half_pixel_taps(source[0], target[0]), half_pixel_taps(source[1], target[1])))
    assert ours.dtype == np.float32
    return float(np.abs(ours - theirs).max())


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((32, 32), (64, 64)),
        ((48, 64), (120, 150)),
        ((128, 240), (480, 854)),
        ((37, 53), (97, 205)),
        ((96, 128), (48, 64)),
        ((5, 7), (200, 333)),
        ((1, 3), (7, 1)),
    ],
    ids=str,
)
def test_half_pixel_equals_torch(source: tuple[int, int], target: tuple[int, int]) -> None:
    assert _against_torch(source, target, seed=target[0]) <= TOLERANCE


@settings(max_examples=60, deadline=None)
@given(source=st.tuples(side, side), target=st.tuples(side, side), seed=st.integers(0, 1000))
def test_half_pixel_equals_torch_at_any_size(source: tuple[int, int], target: tuple[int, int], seed: int) -> None:
    assert _against_torch(source, target, seed) <= TOLERANCE


@given(network=st.integers(1, 90), stride=st.integers(1, 8), out=st.integers(1, 200))
def test_exact_reads_every_output_at_its_own_position(network: int, stride: int, out: int) -> None:
    """On features that hold their own network coordinate, the read-out is the output's network coordinate."""
    n_features = -(-network // stride)
    ramp = np.arange(n_features, dtype=np.float32) * stride
    taps = exact_taps(n_features, out, stride, network)
    read = ramp[taps.low] * (1 - taps.weight) + ramp[taps.high] * taps.weight
    expected = ((np.arange(out) + 0.5) * network / out - 0.5).clip(0, (n_features - 1) * stride)
    np.testing.assert_allclose(read, expected, rtol=0, atol=2e-5)


def test_exact_returns_features_at_their_own_pixels() -> None:
    maps = np.random.default_rng(0).random((3, 17, 23), dtype=np.float32)
    full = resize_maps(maps, map_taps((17, 23), (33, 46), 2, (33, 46), "corrected"))
    np.testing.assert_array_equal(full[:, ::2, ::2], maps)
    np.testing.assert_array_equal(full[:, :, -1], full[:, :, -2])


def test_reference_placement_is_half_a_pixel_off() -> None:
    """Feature i of stride 2 ends between pixels 2i and 2i + 1 (goldens item 24)."""
    ramp = np.tile(2 * np.arange(16, dtype=np.float32), (16, 1))[None]
    full = resize_maps(ramp, map_taps((16, 16), (32, 32), 2, (32, 32), "reference"))
    np.testing.assert_allclose(full[0, 8, 1:-1], np.arange(1, 31) - 0.5, atol=1e-5)


@given(n_in=st.integers(1, 40), n_out=st.integers(1, 120), stride=st.integers(1, 4))
def test_taps_ascend_and_stay_inside(n_in: int, n_out: int, stride: int) -> None:
    for taps in (half_pixel_taps(n_in, n_out), exact_taps(n_in, n_out, stride, n_in * stride)):
        assert (np.diff(taps.low) >= 0).all()
        assert taps.low.min() >= 0
        assert taps.high.max() <= n_in - 1
        assert ((taps.weight >= 0) & (taps.weight <= 1)).all()
