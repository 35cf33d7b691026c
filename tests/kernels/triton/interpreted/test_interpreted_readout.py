"""The read-out kernels against the runtime's own read-out: the same five pixels, the same coordinates."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fgvc_deploy.readout import read_points
from fgvc_deploy.readout.points_dense import read_points_dense
from fgvc_deploy.readout.resample import map_taps
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.readout import largest_span
from fgvc_kernels.triton.readout_bounds import launch_readout_bounds, readout_bounds_reference
from fgvc_kernels.triton.readout_launch import launch_readout, readout_reference, readout_taps

Compat = Literal["corrected", "reference"]
MODES: list[Compat] = ["corrected", "reference"]
# The kernel stores fp32: half a unit in the last place of a coordinate below 128, and the order of five fp64 sums.
PIXELS = 4e-6


def blobs(hw: tuple[int, int], maps: int, seed: int = 0) -> NDArray[np.float32]:
    """Label maps [h * w, P] that look like propagated points: Gaussians with a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: hw[0], : hw[1]]
    centres = rng.random((maps, 2)) * hw
    distance = (y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2
    noisy = np.exp(-distance / 18) * (1 + 0.01 * rng.random((*hw, maps)))
    return np.asarray(noisy.reshape(-1, maps), np.float32)


def compare(
    labels: NDArray[np.float32], feature_hw: tuple[int, int], network_hw: tuple[int, int], stride: int
) -> None:
    for compat in MODES:
        given = (torch.from_numpy(labels), feature_hw, network_hw)
        found = launch_readout(*given, stride=stride, reference=compat == "reference")
        plain = readout_reference(*given, stride=stride, reference=compat == "reference")
        expected = read_points_dense(labels, feature_hw, network_hw, stride, compat)
        fast = read_points(labels, feature_hw, network_hw, stride, compat)
        for other in (expected, fast):
            np.testing.assert_allclose(found.xy.numpy(), other.xy, rtol=0, atol=PIXELS)
            np.testing.assert_array_equal(found.peak.numpy(), other.peak)
        np.testing.assert_allclose(plain.xy.numpy(), expected.xy, rtol=0, atol=PIXELS)
        np.testing.assert_array_equal(plain.peak.numpy(), expected.peak)


@pytest.mark.parametrize(
    ("feature_hw", "network_hw", "stride"),
    [
        ((12, 14), (24, 28), 2),
        ((9, 37), (17, 73), 2),
        ((6, 5), (24, 20), 4),
        ((5, 5), (5, 5), 1),
        ((3, 3), (10, 11), 4),
    ],
)
def test_coordinates_are_the_runtimes(feature_hw: tuple[int, int], network_hw: tuple[int, int], stride: int) -> None:
    """Even and odd sizes, more than one unit per row, strides 1, 2 and 4."""
    compare(blobs(feature_hw, 3), feature_hw, network_hw, stride)


def test_more_maps_than_one_program_bounds() -> None:
    compare(blobs((4, 5), 18), (4, 5), (8, 10), 2)


def test_ties_and_plateaus() -> None:
    """Constant maps, one positive feature, two equal peaks: the lower raster index comes first."""
    labels = np.zeros((40, 5), np.float32)
    labels[:, 0] = 0.5
    labels[17, 1] = 1.0
    labels[[3, 36], 2] = 0.25
    labels[:, 3] = np.repeat([0, 1], 20)
    labels[39, 4] = 1e-30
    compare(labels, (5, 8), (10, 16), 2)


def test_vanished_labels() -> None:
    """All zero, and above zero but below the corrected limit."""
    labels = np.zeros((12, 3), np.float32)
    labels[:, 1] = 1e-8
    labels[5, 2] = 1.0
    compare(labels, (3, 4), (6, 8), 2)


@pytest.mark.parametrize("network_hw", [(1, 1), (1, 3), (3, 1), (2, 9)])
def test_frames_with_few_pixels(network_hw: tuple[int, int]) -> None:
    """Fewer pixels than the five that are averaged."""
    feature_hw = (-(-network_hw[0] // 2), -(-network_hw[1] // 2))
    compare(blobs(feature_hw, 2), feature_hw, network_hw, 2)


def test_half_precision_labels() -> None:
    labels = blobs((5, 6), 2).astype(np.float16)
    found = launch_readout(torch.from_numpy(labels), (5, 6), (10, 12))
    expected = read_points_dense(labels.astype(np.float32), (5, 6), (10, 12), 2)
    np.testing.assert_allclose(found.xy.numpy(), expected.xy, rtol=0, atol=PIXELS)


def test_bounds_are_the_largest_features_of_a_unit() -> None:
    labels = torch.from_numpy(blobs((4, 70), 3))
    assert torch.equal(launch_readout_bounds(labels, (4, 70)), readout_bounds_reference(labels, (4, 70)))


@pytest.mark.parametrize("compat", MODES)
@pytest.mark.parametrize(("pixels", "stride"), [(64, 2), (101, 2), (100, 4), (7, 4), (33, 1), (3, 8)])
def test_the_tables_are_the_runtimes(pixels: int, stride: int, compat: Compat) -> None:
    """And the ahead-of-time span is wide enough for them."""
    features = -(-pixels // stride)
    own = readout_taps((features, features), (pixels, pixels), stride, compat == "reference", torch.device("cpu"))[0]
    runtime = map_taps((features, features), (pixels, pixels), stride, (pixels, pixels), compat).rows
    np.testing.assert_array_equal(own.low, runtime.low)
    np.testing.assert_array_equal(own.weight, runtime.weight)
    assert own.span <= largest_span(stride, compat == "reference")


def test_no_maps_and_refusals() -> None:
    assert launch_readout(torch.zeros(12, 0), (3, 4), (6, 8)).xy.shape == (0, 2)
    with pytest.raises(KernelArgumentError, match="`labels` must be"):
        launch_readout(torch.zeros(12, 2), (3, 5), (6, 8))
