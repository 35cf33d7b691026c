"""Frame -> network input against goldens a (bit for bit), and the two colour spaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fgvc_deploy.errors import InputError
from fgvc_deploy.preprocess import Preprocessor
from fgvc_deploy.settings import PreprocessSettings

IMAGENET = PreprocessSettings(color_space="rgb", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("frames", "expected", "size"), [("rgb96", "out96", (96, 128)), ("rgb_odd", "out_odd", (64, 96))]
)
def test_goldens(frames: str, expected: str, size: tuple[int, int], goldens: Any, parity: Any) -> None:
    a = goldens("a_preprocess")
    settings = PreprocessSettings(mean=tuple(a["mean"].tolist()), std=tuple(a["std"].tolist()))
    out = np.concatenate([Preprocessor(settings)(rgb, size) for rgb in a[frames]])
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    parity(group="a", case=expected, value=np.abs(out - a[expected]).max(), budget=0.0, unit="input")


def test_rgb_is_normalised_per_channel() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    out = Preprocessor(IMAGENET)(rgb, (40, 50))
    expected = (rgb / 255.0 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    assert out.shape == (1, 3, 40, 50)
    assert out.flags.c_contiguous
    # One rounding of the level, one of the difference, one of the product, on values up to 2.7.
    np.testing.assert_allclose(out[0], np.moveaxis(expected, -1, 0), rtol=0, atol=1e-6)


def test_input_is_left_alone_and_results_are_fresh() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    before = rgb.copy()
    preprocessor = Preprocessor(PreprocessSettings())
    first = preprocessor(rgb, (40, 50))
    kept = first.copy()
    preprocessor(255 - rgb, (40, 50))
    np.testing.assert_array_equal(rgb, before)
    np.testing.assert_array_equal(first, kept)


def test_grey_has_no_colour() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    lightness, a, b = Preprocessor(PreprocessSettings())(grey, (16, 16))[0]
    assert (np.diff(lightness.reshape(-1)) >= 0).all()
    assert lightness.reshape(-1)[[0, -1]].tolist() == [-1.0, 1.0]
    # Interpolating between table entries is off by up to 0.43 units (goldens item 3), over the std of 127.
    assert max(np.abs(a).max(), np.abs(b).max()) <= 0.43 / 127


@pytest.mark.parametrize("settings", [PreprocessSettings(), IMAGENET], ids=["lab", "rgb"])
def test_refuses_a_grey_image(settings: PreprocessSettings) -> None:
    with pytest.raises(InputError, match="uint8 RGB"):
        Preprocessor(settings)(np.zeros((40, 50), np.uint8), (40, 50))
