"""Colour conversion, photometric changes and crops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fgvc_training.augment.crop import Box, flip_flow, random_area_box, random_box, resize
from fgvc_training.augment.lab import normalized_lab
from fgvc_training.augment.photometric import PhotometricSettings, change_photometry, gaussian_blur
from fgvc_training.errors import ShapeError
from fgvc_training.sampling import flow_targets, sample

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
OFF = PhotometricSettings(
    brightness=0, contrast=0, saturation=0, gamma=0, cast=0, shading=0, noise=0, per_frame=0, blur_probability=0
)


def test_lab_is_within_the_documented_distance_of_the_reference(
    goldens: Goldens, parity: Callable[..., None]
) -> None:
    a = goldens("a_preprocess")
    rgb = torch.from_numpy(a["rgb96"]).permute(0, 3, 1, 2).float() / 255
    error = np.abs(normalized_lab(rgb).numpy() - a["out96"]).max()
    # OpenCV interpolates a table: 0.0038 of the normalised input (goldens item 3).
    parity(group="a", case="training Lab, exact formula", value=error, budget=0.0039, unit="Lab, normalised")


def test_lab_is_the_textbook_formula() -> None:
    """Published Lab values of the sRGB primaries, white and black."""
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.01, 0.02, 0.03]])
    lab = normalized_lab(colours.T.reshape(1, 3, 1, 6).double())[0, :, 0].T
    expected = torch.tensor(
        [[100, 0.0, 0.0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    ).double()
    scaled = lab[:5] * torch.tensor([50.0, 127, 127]) + torch.tensor([50.0, 0, 0])
    torch.testing.assert_close(scaled, expected, rtol=0, atol=0.02)
    assert bool(torch.isfinite(lab).all())


def test_photometry_off_changes_nothing() -> None:
    frames = torch.rand(3, 3, 10, 12)
    torch.testing.assert_close(change_photometry(frames, OFF, np.random.default_rng(0)), frames)


@pytest.mark.parametrize("strength", ["brightness", "contrast", "saturation", "gamma", "cast", "shading", "noise"])
def test_each_photometric_change_does_something_and_stays_in_range(strength: str) -> None:
    frames = torch.rand(3, 3, 10, 12)
    settings = OFF.model_copy(update={strength: 0.5, "per_frame": 0.5})
    changed = change_photometry(frames, settings, np.random.default_rng(1))
    assert float((changed - frames).abs().max()) > 0.01
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1


def test_photometry_is_a_function_of_the_generator() -> None:
    frames = torch.rand(2, 3, 10, 12)
    first, again, other = (
        change_photometry(frames, PhotometricSettings(), np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("sigma", [0.5, 1.3, 4.0])
def test_blur_matches_opencv(sigma: float) -> None:
    image = np.random.default_rng(0).random((3, 31, 27)).astype(np.float32)
    side = 2 * int(np.ceil(3 * sigma)) + 1
    expected = cv2.GaussianBlur(image.transpose(1, 2, 0), (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    ours = gaussian_blur(torch.from_numpy(image)[None], sigma)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, expected, atol=2e-6)


def test_random_area_box_stays_inside_and_keeps_its_promise() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        box = random_area_box((256, 455), (0.6, 1.0), (1.5, 2.0), rng)
        assert box.top >= 0
        assert box.left >= 0
        assert box.top + box.height <= 256
        assert box.left + box.width <= 455
        assert 0.5 <= box.height * box.width / (256 * 455) <= 1.0
        assert 1.4 <= box.width / box.height <= 2.05


def test_random_box_covers_all_places_and_refuses_small_frames() -> None:
    rng = np.random.default_rng(0)
    assert {random_box((5, 4), (4, 4), rng) for _ in range(50)} == {Box(0, 0, 4, 4), Box(1, 0, 4, 4)}
    with pytest.raises(ShapeError, match="smaller than the crop"):
        random_box((5, 4), (6, 4), rng)


def test_resize_keeps_the_mean_of_a_checkerboard() -> None:
    board = (torch.arange(16)[:, None] + torch.arange(16)).remainder(2).float()[None, None]
    torch.testing.assert_close(resize(board, (4, 4)), torch.full((1, 1, 4, 4), 0.5), atol=0.02, rtol=0)


def test_flipped_flow_still_points_at_the_same_content() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 1, 8, 10, generator=generator)
    flow = torch.randn(1, 2, 8, 10, generator=generator)
    moved = sample(image, flow_targets(flow))
    mirrored = sample(image.flip(-1), flow_targets(flip_flow(flow)))
    torch.testing.assert_close(mirrored, moved.flip(-1))
