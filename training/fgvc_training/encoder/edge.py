"""The edge encoder: EfficientNet-lite0's levels, and beside them a light head that is trained for correspondence.

The head learns what ImageNet features lack; they stay part of the features, because training alone loses the grouping
of objects that they are good at (docs/edge-encoder.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fgvc_training.encoder.blocks import ConvNorm
from fgvc_training.encoder.efficientnet_lite import STAGES, EdgeLite0, unit_length, upsample_aligned

LEVELS = tuple(stage.c_out for stage in STAGES if stage.level)
"""Channels of the ImageNet levels of stride 4, 8 and 16: 24, 40 and 112."""
WIDTH = 96
HEAD_CHANNELS = 64
SHARES = (2 / 6, 1 / 6, 1 / 6, 2 / 6)
"""Shares of the ImageNet levels of stride 4, 8 and 16 and of the head in the squared length of a feature, so in every
cosine."""
STRIDE_2, STRIDE_4, STRIDE_8, MIDDLE_16, STRIDE_16 = 0, 2, 4, 7, 10
"""Blocks of the trunk whose outputs are used, with 16, 24, 40, 80 and 112 channels."""


class Centred(nn.Module):
    """[N, C, h, w] minus a fixed mean, scaled to unit length per pixel.  `mean` [C] is measured, not learnt."""

    mean: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return unit_length(x - self.mean[:, None, None])


class Mix(nn.Module):
    """Depthwise 5x5 and two 1x1 convolutions beside a shortcut; [N, C, h, w] -> the same shape."""

    def __init__(self, channels: int, expand: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, 5, groups=channels)
        self.expand = ConvNorm(channels, expand * channels, 1, activation=nn.ReLU(inplace=True))
        self.project = ConvNorm(expand * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = x + self.project(self.expand(self.depthwise(x)))
        return out


class Head(nn.Module):
    """Five levels of the trunk, fused from coarse to fine, to `channels` on the stride-4 grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lateral2 = ConvNorm(16, 48, 3, stride=2, activation=nn.ReLU(inplace=True))
        self.lateral4 = ConvNorm(24 + 48, WIDTH, 1)
        self.lateral8 = ConvNorm(40, WIDTH, 1)
        self.lateral16 = ConvNorm(80 + 112, WIDTH, 1)
        self.mix16, self.mix8, self.mix4 = Mix(WIDTH, 2), Mix(WIDTH, 2), Mix(WIDTH, 2)
        self.out = nn.Conv2d(WIDTH, channels, 1)

    def forward(self, l2: Tensor, l4: Tensor, l8: Tensor, m16: Tensor, l16: Tensor) -> Tensor:
        """Levels [N, 16 | 24 | 40 | 80 | 112, ., .] -> [N, channels, ceil(H/4), ceil(W/4)], not unit."""
        x = self.mix16(self.lateral16(torch.cat([m16, l16], dim=1)))
        x = self.mix8(self.lateral8(l8) + upsample_aligned(x, 2, (l8.shape[2], l8.shape[3])))
        fine = self.lateral4(torch.cat([l4, self.lateral2(l2)], dim=1))
        out: Tensor = self.out(self.mix4(fine + upsample_aligned(x, 2, (l4.shape[2], l4.shape[3]))))
        return out


class EdgeFeatures(nn.Module):
    """Trunk and head, and how their features come side by side; feature (i, j) is centred on pixel (4i, 4j).

    What makes unit vectors of the ImageNet levels is a subclass's: `level_parts`, three modules.
    """

    def __init__(self, head_channels: int) -> None:
        super().__init__()
        self.trunk = EdgeLite0()
        self.head = Head(head_channels)

    def level_parts(self) -> nn.ModuleList:
        """Modules [N, C, h, w] -> unit vectors [N, ., h, w] for the levels of stride 4, 8 and 16."""
        raise NotImplementedError

    def trunk_levels(self, x: Tensor) -> dict[int, Tensor]:
        """RGB frames [N, 3, H, W] -> the outputs of the blocks used, by block number."""
        x = self.trunk.stem(x)
        levels = {}
        for index, block in enumerate(self.trunk.blocks):
            x = block(x)
            if index in (STRIDE_2, STRIDE_4, STRIDE_8, MIDDLE_16, STRIDE_16):
                levels[index] = x
        return levels

    def unit_parts(self, x: Tensor) -> list[Tensor]:
        """RGB frames [N, 3, H, W] -> unit vectors of the levels of stride 4, 8, 16 on their grids, and the head's."""
        levels = self.trunk_levels(x)
        used = (levels[STRIDE_4], levels[STRIDE_8], levels[STRIDE_16])
        parts = [part(level) for part, level in zip(self.level_parts(), used, strict=True)]
        head = self.head(levels[STRIDE_2], *used[:2], levels[MIDDLE_16], used[2])
        return [*parts, unit_length(head)]

    def forward(self, x: Tensor) -> Tensor:
        """RGB frames, ImageNet normalisation, [N, 3, H, W] -> features [N, channels, ceil(H/4), ceil(W/4)]."""
        fine, middle, coarse, head = self.unit_parts(x)
        hw = (fine.shape[2], fine.shape[3])
        parts = (fine, upsample_aligned(middle, 2, hw), upsample_aligned(coarse, 4, hw), head)
        return torch.cat([share**0.5 * part for share, part in zip(SHARES, parts, strict=True)], dim=1)


class EdgeEncoder(EdgeFeatures):
    """The encoder as it is trained: 240 channels, levels of stride 4, 8, 16 (24 + 40 + 112), then the head's 64.

    `edge_reduced.py` makes the 128 channels of it that are shipped.
    """

    def __init__(self) -> None:
        super().__init__(HEAD_CHANNELS)
        self.centred = nn.ModuleList(Centred(channels) for channels in LEVELS)

    def level_parts(self) -> nn.ModuleList:
        """See `EdgeFeatures`."""
        return self.centred

    @torch.no_grad()
    def measure_means(self, frames: Tensor) -> None:
        """Set the means of the ImageNet levels to those over RGB frames [N, 3, H, W]."""
        levels = self.trunk_levels(frames)
        for centred, block in zip(self.centred, (STRIDE_4, STRIDE_8, STRIDE_16), strict=True):
            centred.get_buffer("mean").copy_(levels[block].mean((0, 2, 3)))
