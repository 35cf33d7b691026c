"""A scene: a background and moving layers over it, and everything that can be asked about it, exactly.

Images are rendered at twice the size and area-averaged: a pixel at x is the mean over the four points x +- 0.25, so
big pixel X lies at x = (X + 0.5) / 2 - 0.5.  Which layer owns a pixel, flow, tracks and visibility are evaluated at
pixel centres and at exact positions, never read back from rendered maps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fgvc_training.data.synthetic.motion import Motion
from fgvc_training.sampling import inside_image, pixel_positions, sample

OWNED_FROM = 0.5
"""Opacity from which a layer owns a point."""


@dataclass(frozen=True)
class Layer:
    """Something flat that moves: `rgb` float32 [3, h, w] in 0..1, `opacity` float32 [1, h, w], None for a background.

    A background is mirrored without end at its borders.
    """

    rgb: Tensor
    opacity: Tensor | None
    motion: Motion


class Owners(NamedTuple):
    """For points of a frame: `ids` int64 [..], the layer that owns each, and `positions` [.., 2] on that layer."""

    ids: Tensor
    positions: Tensor


class SceneTracks(NamedTuple):
    """`tracks` float64 [N, T, 2] (x, y) and `occluded` bool [N, T]: hidden by another layer or outside the frame."""

    tracks: Tensor
    occluded: Tensor


class Scene:
    """Layers from back to front, the first the background.  Frames are H x W = `hw`; ids are places in `layers`."""

    def __init__(self, layers: Sequence[Layer], hw: tuple[int, int]) -> None:
        self.layers = tuple(layers)
        self.hw = hw

    def __len__(self) -> int:
        return len(self.layers[0].motion)

    def image(self, frame: int) -> Tensor:
        """RGB in 0..1, float32 [3, H, W]."""
        height, width = self.hw
        big = (pixel_positions(2 * height, 2 * width, torch.empty(0, dtype=torch.float64)) + 0.5) / 2 - 0.5
        behind = self.layers[0]
        picture = sample(behind.rgb[None], _mirrored(behind.motion.to_layer(frame, big), behind.rgb)[None].float())
        for layer in self.layers[1:]:
            left, top, right, bottom = layer.motion.bounds(frame, _size(layer))
            # Pixel x is at big pixel 2x + 0.5.
            rows = slice(max(0, math.floor(2 * top)), max(0, math.ceil(2 * bottom) + 2))
            columns = slice(max(0, math.floor(2 * left)), max(0, math.ceil(2 * right) + 2))
            here, part = big[rows, columns], picture[..., rows, columns]
            if here.numel():
                positions = layer.motion.to_layer(frame, here)[None].float()
                part += sample(_opacity(layer), positions) * (sample(layer.rgb[None], positions) - part)
        return F.avg_pool2d(picture, 2)[0]

    def owners(self, frame: int, xy: Tensor) -> Owners:
        """The front-most opaque layer at each frame position [.., 2]."""
        ids = torch.zeros(xy.shape[:-1], dtype=torch.int64)
        positions = self.layers[0].motion.to_layer(frame, xy)
        for number, layer in enumerate(self.layers[1:], start=1):
            left, top, right, bottom = layer.motion.bounds(frame, _size(layer))
            x, y = xy.unbind(-1)
            near = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
            here = layer.motion.to_layer(frame, xy[near])
            owned = sample(_opacity(layer).double(), here[None, None])[0, 0, 0] >= OWNED_FROM
            near[near.clone()] = owned
            ids[near], positions[near] = number, here[owned]
        return Owners(ids, positions)

    def ids(self, frame: int) -> Tensor:
        """The layer that owns each pixel centre, int64 [H, W]; 0 = background."""
        return self.owners(frame, self._pixels()).ids

    def follow(self, owners: Owners, frame: int) -> Tensor:
        """Where points of layers are in `frame`, [.., 2], seen or not."""
        there = torch.empty_like(owners.positions)
        for number, layer in enumerate(self.layers):
            mine = owners.ids == number
            there[mine] = layer.motion.to_frame(frame, owners.positions[mine])
        return there

    def seen(self, owners: Owners, frame: int, there: Tensor) -> Tensor:
        """Whether points of layers, being at `there` in `frame`, are inside the image and in front, bool [..]."""
        # Rounding, because a pixel of the border comes back to itself only to within 1e-10.
        return inside_image(there.round(decimals=6), *self.hw) & (self.owners(frame, there).ids == owners.ids)

    def flow(self, frame: int, other: int) -> tuple[Tensor, Tensor]:
        """Flow [2, H, W] (x, y) of the pixels of `frame` to `other`, and which of them `other` shows, bool [H, W]."""
        pixels = self._pixels()
        owners = self.owners(frame, pixels)
        there = self.follow(owners, other)
        return (there - pixels).permute(2, 0, 1), self.seen(owners, other, there)

    def track(self, queries_tyx: Tensor) -> SceneTracks:
        """Tracks of the points seen at queries (frame, y, x) [N, 3] through all frames, before and after."""
        frames, xy = queries_tyx[:, 0].long(), queries_tyx[:, [2, 1]].double()
        owners = Owners(torch.empty(len(xy), dtype=torch.int64), torch.empty_like(xy))
        for frame in sorted(set(frames.tolist())):
            now = frames == frame
            owners.ids[now], owners.positions[now] = self.owners(frame, xy[now])
        tracks = torch.stack([self.follow(owners, frame) for frame in range(len(self))], dim=1)
        seen = torch.stack([self.seen(owners, frame, tracks[:, frame]) for frame in range(len(self))], dim=1)
        return SceneTracks(tracks, ~seen)

    def _pixels(self) -> Tensor:
        return pixel_positions(*self.hw, torch.empty(0, dtype=torch.float64))


def _mirrored(positions: Tensor, rgb: Tensor) -> Tensor:
    """Positions folded back into the image at its outer pixel centres, as often as needed."""
    extent = torch.tensor((rgb.shape[-1] - 1, rgb.shape[-2] - 1), dtype=positions.dtype)
    folded = positions.remainder(2 * extent)
    return torch.where(folded > extent, 2 * extent - folded, folded)


def _size(layer: Layer) -> tuple[int, int]:
    return layer.rgb.shape[-2], layer.rgb.shape[-1]


def _opacity(layer: Layer) -> Tensor:
    """Opacity as an image [1, 1, h, w]."""
    return torch.ones(1, 1, *_size(layer)) if layer.opacity is None else layer.opacity[None]
