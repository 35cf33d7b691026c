"""Lab channel dropout: the published random stream, and no surprise for the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fgvc_training.augment.lab_dropout import draw_dropped_channel, drop_channel

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]


def test_draws_the_published_channels(goldens: Goldens, parity: Callable[..., None]) -> None:
    expected = goldens("h_training")["dropout.first_channel_for_seed_0_7"]
    drawn = [draw_dropped_channel(np.random.RandomState(seed)) for seed in range(8)]
    wrong = int(np.sum(np.array(drawn) != expected))
    parity(group="h", case="dropout.first_channel_for_seed_0_7", value=wrong, budget=0, unit="channels")


def test_generator_draws_both_colours_and_never_lightness() -> None:
    rng = np.random.default_rng(0)
    assert {draw_dropped_channel(rng) for _ in range(50)} == {1, 2}


def test_drops_one_channel_and_scales_the_rest() -> None:
    images = torch.randn(2, 3, 3, 4, 5)
    before = images.clone()
    dropped = drop_channel(images, 2)
    assert torch.equal(images, before)
    assert torch.equal(dropped[:, :, 2], torch.zeros(2, 3, 4, 5))
    assert torch.equal(dropped[:, :, :2], before[:, :, :2] * 1.5)


def test_in_place_only_when_asked() -> None:
    images = torch.randn(1, 2, 3, 4, 5)
    assert drop_channel(images, 1, in_place=True) is images
    assert float(images[:, :, 1].abs().max()) == 0.0
