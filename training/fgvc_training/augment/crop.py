"""Crops, resizing and flips of clips, and of pairs with their flow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from fgvc_training.errors import ShapeError


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, images: Tensor) -> Tensor:
        """The part of `images` [.., H, W] inside the box."""
        return images[..., self.top : self.top + self.height, self.left : self.left + self.width]


def random_box(hw: tuple[int, int], size: tuple[int, int], rng: np.random.Generator) -> Box:
    """A box of `size` at a random place of an H x W image.  Raises ShapeError if the image is smaller."""
    if hw[0] < size[0] or hw[1] < size[1]:
        raise ShapeError(
            f"a frame of {hw[0]}x{hw[1]} is smaller than the crop of {size[0]}x{size[1]}: use larger frames"
        )
    top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(hw, size, strict=True))
    return Box(top, left, *size)


def random_area_box(
    hw: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float], rng: np.random.Generator
) -> Box:
    """A box whose share of the image is within `area` and width / height within `aspect`, clipped to the image."""
    height, width = hw
    pixels = rng.uniform(*area) * height * width
    ratio = float(np.exp(rng.uniform(np.log(aspect[0]), np.log(aspect[1]))))
    size = (
        min(height, max(1, round(float(np.sqrt(pixels / ratio))))),
        min(width, max(1, round(float(np.sqrt(pixels * ratio))))),
    )
    return random_box(hw, size, rng)


def resize(images: Tensor, hw: tuple[int, int]) -> Tensor:
    """`images` [N, C, H, W] at another size, bilinear, low-passed where it shrinks."""
    return F.interpolate(images, hw, mode="bilinear", align_corners=False, antialias=True)


def flip_flow(flow: Tensor) -> Tensor:
    """`flow` [.., 2, H, W] of images mirrored left to right."""
    mirrored = flow.flip(-1).clone()
    mirrored.select(-3, 0).neg_()
    return mirrored
