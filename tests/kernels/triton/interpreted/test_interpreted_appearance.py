"""`label_mass` and `appearance` against the runtime's own evidence of visibility."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.trackers.visibility import Appearance, sample_features
from fgvc_kernels.triton.appearance import Points, appearance_reference, launch_appearance
from fgvc_kernels.triton.errors import KernelArgumentError
from fgvc_kernels.triton.label_mass import label_mass_reference, launch_label_mass

Frames = Callable[..., torch.Tensor]


def points_of(count: int, channels: int) -> Points:
    """Not written yet."""
    return Points(torch.full((count, 2), torch.nan), torch.full((count, channels), torch.nan))


def random_labels(pixels: int, maps: int) -> torch.Tensor:
    return torch.rand((pixels, maps), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("hw", "stride", "channels", "dtype", "xy"),
    [
        ((5, 7), 2, 16, "float32", [[3.25, 2.5], [0, 0], [12, 8], [11.9, 7.7]]),
        ((4, 9), 4, 48, "float16", [[17.3, 9.1], [100, -3], [-1, 100], [32, 12]]),
        ((1, 6), 3, 32, "bfloat16", [[4.4, 1.0], [15.0, 0.0]]),
        ((6, 1), 1, 16, "float32", [[0.0, 2.75]]),
    ],
)
def test_similarity_and_mass_are_the_runtimes(
    frames: Frames, hw: tuple[int, int], stride: int, channels: int, dtype: str, xy: list[list[float]]
) -> None:
    """Corners, borders, outside, one row and one column; more maps than points."""
    features = frames(0, 2, hw, channels=channels, dtype=dtype)
    before = torch.tensor(xy)
    after = before + torch.tensor([1.5, -0.75])
    maps = -(-len(xy) // 4) * 4
    labels = [random_labels(hw[0] * hw[1], maps) * scale for scale in (1, 0.25)]
    points = points_of(len(xy), channels)
    first = launch_appearance(
        features[0], before, launch_label_mass(labels[0]), hw, points, stride=stride, first=True
    )
    found = launch_appearance(
        features[1], after, launch_label_mass(labels[1]), hw, points, stride=stride, first=False
    )
    looks = []
    for frame, place, label in zip(features, (before, after), labels, strict=True):
        seen = sample_features(FeatureMap(hw, frame.float().numpy()), place.numpy() / np.float32(stride))
        looks.append(Appearance(seen, label.numpy()[:, : len(xy)].sum(axis=0)))
    expected = looks[0].compare(np.zeros(len(xy), np.float32), looks[1])
    # The same fp32 products, summed in another order.
    np.testing.assert_allclose(found.similarity, expected.similarity, rtol=0, atol=5e-7)
    np.testing.assert_allclose(found.mass / first.mass, expected.mass, rtol=1e-6)
    np.testing.assert_allclose(points.looks, looks[0].features, rtol=0, atol=5e-7)
    assert (first.similarity == 1).all()
    plain = points_of(len(xy), channels)
    for frame, place, label in ((0, before, labels[0]), (1, after, labels[1])):
        parts = label_mass_reference(label)
        reference = appearance_reference(features[frame], place, parts, hw, plain, stride=stride, first=not frame)
    torch.testing.assert_close(reference.similarity, found.similarity, rtol=0, atol=5e-7)
    torch.testing.assert_close(reference.mass, found.mass, rtol=1e-6, atol=0)
    torch.testing.assert_close(plain.last, points.last, rtol=0, atol=0)


def test_a_vanished_point_is_looked_at_where_it_was_last_seen(frames: Frames) -> None:
    features, hw = frames(3, 3, (6, 8), dtype="float32"), (6, 8)
    points = points_of(2, 16)
    parts = launch_label_mass(random_labels(48, 4))
    steps = [[[2.0, 4.0], [9.0, 5.0]], [[3.0, 4.5], [8.5, 6.0]], [[np.nan, np.nan], [8.0, 7.0]]]
    found = [
        launch_appearance(features[t], torch.tensor(xy), parts, hw, points, stride=2, first=t == 0)
        for t, xy in enumerate(steps)
    ]
    assert points.last.tolist() == [[3.0, 4.5], [8.0, 7.0]]
    seen = sample_features(FeatureMap(hw, features[2].numpy()), np.array([[1.5, 2.25], [4.0, 3.5]], np.float32))
    np.testing.assert_allclose(found[2].similarity, (points.looks.numpy() * seen).sum(1), rtol=0, atol=5e-7)


@pytest.mark.parametrize(
    ("pixels", "maps", "dtype"), [(1, 4, "float32"), (1030, 20, "float32"), (3000, 3, "float16")]
)
def test_parts_add_up(pixels: int, maps: int, dtype: str) -> None:
    """Pixels that no part divides, more maps than a program takes; summed in another order than the reference."""
    labels = random_labels(pixels, maps).to(getattr(torch, dtype))
    found = launch_label_mass(labels)
    assert found.shape == (-(-pixels // 1024), maps)
    torch.testing.assert_close(found, label_mass_reference(labels), rtol=1e-6, atol=0)


def test_more_parts_than_one_round(frames: Frames) -> None:
    features, points = frames(4, 1, (3, 3), dtype="float32"), points_of(1, 16)
    parts: NDArray[np.float32] = np.arange(70 * 4, dtype=np.float32).reshape(70, 4)
    found = launch_appearance(
        features[0], torch.tensor([[1.0, 1.0]]), torch.from_numpy(parts), (3, 3), points, stride=1, first=True
    )
    assert found.mass.tolist() == [parts[:, 0].sum()]


def test_refusals(frames: Frames) -> None:
    features, points = frames(5, 1, (3, 3), dtype="float32"), points_of(2, 16)
    xy, parts = torch.zeros(2, 2), torch.zeros(1, 4)
    with pytest.raises(KernelArgumentError, match="fewer than the 2 points"):
        launch_appearance(features[0], xy, parts[:, :1].contiguous(), (3, 3), points, stride=1, first=True)
    with pytest.raises(KernelArgumentError, match="stride of 0"):
        launch_appearance(features[0], xy, parts, (3, 3), points, stride=0, first=True)
    with pytest.raises(KernelArgumentError, match="`looks` must be float32"):
        launch_appearance(features[0], xy, parts, (3, 3), points_of(2, 32), stride=1, first=True)
    with pytest.raises(KernelArgumentError, match="`labels` must be float32 or float16"):
        launch_label_mass(torch.zeros(3, 2, dtype=torch.int32))
