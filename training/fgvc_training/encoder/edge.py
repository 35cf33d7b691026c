"""The edge encoder: EfficientNet-lite0's levels, and beside them a light head that is trained for correspondence.

The head learns what ImageNet features lack; they stay part of the features, because training alone loses the grouping
of objects that they are good at (docs/edge-encoder.md).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgvc_training.encoder.blocks import ConvNorm
from fgvc_training.encoder.efficientnet_lite import EdgeLite0, unit_length, upsample_aligned

WIDTH = 96
HEAD_CHANNELS = 40
LEVEL_CHANNELS = {24: 16, 40: 24, 112: 48}
"""Principal components kept of the ImageNet levels of stride 4, 8 and 16, by their number of channels.  With the
head's they make 128: matching costs half of what all of them do, and tracks are as good (docs/edge-encoder.md)."""
SHARES = (2 / 6, 1 / 6, 1 / 6, 2 / 6)
"""Shares of the ImageNet levels of stride 4, 8 and 16 and of the head in the squared length of a feature, so in every
cosine."""
STRIDE_2, STRIDE_4, STRIDE_8, MIDDLE_16, STRIDE_16 = 0, 2, 4, 7, 10
"""Blocks of the trunk whose outputs are used, with 16, 24, 40, 80 and 112 channels."""


class Components(nn.Module):
    """Principal components of [N, C, h, w], scaled to unit length per pixel: [N, kept, h, w].

    `mean` [C] and the orthonormal rows of `basis` [kept, C] are measured, not learnt.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, channels: int, kept: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("basis", torch.eye(kept, channels))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return unit_length(F.conv2d(x - self.mean[:, None, None], self.basis[:, :, None, None]))

    @torch.no_grad()
    def measure(self, x: Tensor) -> None:
        """Set both to those of the pixels of [N, C, h, w], each at unit length once the mean is taken away."""
        self.mean.copy_(x.mean((0, 2, 3)))
        unit = unit_length(x - self.mean[:, None, None]).transpose(0, 1).flatten(1).double()
        # Ascending eigenvalues; their vectors are columns.
        vectors = torch.linalg.eigh(unit @ unit.T).eigenvectors
        self.basis.copy_(vectors.flip(1)[:, : len(self.basis)].T)


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
    """Five levels of the trunk, fused from coarse to fine, to HEAD_CHANNELS on the stride-4 grid."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral2 = ConvNorm(16, 48, 3, stride=2, activation=nn.ReLU(inplace=True))
        self.lateral4 = ConvNorm(24 + 48, WIDTH, 1)
        self.lateral8 = ConvNorm(40, WIDTH, 1)
        self.lateral16 = ConvNorm(80 + 112, WIDTH, 1)
        self.mix16, self.mix8, self.mix4 = Mix(WIDTH, 2), Mix(WIDTH, 2), Mix(WIDTH, 2)
        self.out = nn.Conv2d(WIDTH, HEAD_CHANNELS, 1)

    def forward(self, l2: Tensor, l4: Tensor, l8: Tensor, m16: Tensor, l16: Tensor) -> Tensor:
        """Levels [N, 16 | 24 | 40 | 80 | 112, ., .] -> [N, HEAD_CHANNELS, ceil(H/4), ceil(W/4)], not unit."""
        x = self.mix16(self.lateral16(torch.cat([m16, l16], dim=1)))
        x = self.mix8(self.lateral8(l8) + upsample_aligned(x, 2, (l8.shape[2], l8.shape[3])))
        fine = self.lateral4(torch.cat([l4, self.lateral2(l2)], dim=1))
        out: Tensor = self.out(self.mix4(fine + upsample_aligned(x, 2, (l4.shape[2], l4.shape[3]))))
        return out


class EdgeEncoder(nn.Module):
    """Trunk, head, and their features side by side; feature (i, j) is centred on pixel (4i, 4j).

    The order of channels is: components of the ImageNet levels of stride 4, 8, 16 (16 + 24 + 48), then the head's 40.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EdgeLite0()
        self.head = Head()
        self.components = nn.ModuleList(Components(*sizes) for sizes in LEVEL_CHANNELS.items())

    def trunk_levels(self, x: Tensor) -> dict[int, Tensor]:
        """RGB frames [N, 3, H, W] -> the outputs of the blocks used, by block number."""
        x = self.trunk.stem(x)
        levels = {}
        for index, block in enumerate(self.trunk.blocks):
            x = block(x)
            if index in (STRIDE_2, STRIDE_4, STRIDE_8, MIDDLE_16, STRIDE_16):
                levels[index] = x
        return levels

    def forward(self, x: Tensor) -> Tensor:
        """RGB frames, ImageNet normalisation, [N, 3, H, W] -> features [N, 128, ceil(H/4), ceil(W/4)]."""
        levels = self.trunk_levels(x)
        used = (levels[STRIDE_4], levels[STRIDE_8], levels[STRIDE_16])
        fine, middle, coarse = (part(level) for part, level in zip(self.components, used, strict=True))
        hw = (fine.shape[2], fine.shape[3])
        head = unit_length(self.head(levels[STRIDE_2], *used[:2], levels[MIDDLE_16], used[2]))
        parts = (fine, upsample_aligned(middle, 2, hw), upsample_aligned(coarse, 4, hw), head)
        return torch.cat([share**0.5 * part for share, part in zip(SHARES, parts, strict=True)], dim=1)

    @torch.no_grad()
    def measure_levels(self, frames: Tensor) -> None:
        """Set means and components of the ImageNet levels to those over RGB frames [N, 3, H, W]."""
        levels = self.trunk_levels(frames)
        for part, block in zip(self.components, (STRIDE_4, STRIDE_8, STRIDE_16), strict=True):
            assert isinstance(part, Components)
            part.measure(levels[block])
