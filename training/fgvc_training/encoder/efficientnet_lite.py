"""EfficientNet-lite0 up to stride 16 as an edge encoder: three levels side by side on the stride-4 grid.

Layer widths follow Tan and Le 2019 (EfficientNet) in the "lite" form: no squeeze-and-excitation, ReLU6.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fgvc_training.encoder.blocks import ConvNorm

# The published weights were trained with this epsilon; with the usual 1e-5 narrow channels explode.
BN_EPS = 1e-3


class Stage(NamedTuple):
    """`repeats` blocks of one width; the first has the stride.  `level`: its last output is part of the features."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    c_out: int
    level: bool = False


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24, level=True),
    Stage(2, 5, 2, 6, 40, level=True),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112, level=True),
)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, linear 1x1 projection; a shortcut where the shape does not change."""

    def __init__(self, c_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = c_in * stage.expand
        relu6 = nn.ReLU6(inplace=True)
        self.expand = ConvNorm(c_in, wide, 1, eps=BN_EPS, activation=relu6) if stage.expand > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, stage.kernel, stride=stride, groups=wide, eps=BN_EPS, activation=relu6)
        self.project = ConvNorm(wide, stage.c_out, 1, eps=BN_EPS)
        self.shortcut = stride == 1 and c_in == stage.c_out

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, h, w] -> [N, c_out, ceil(h/stride), ceil(w/stride)]."""
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.shortcut else out


class EdgeLite0(nn.Module):
    """The EfficientNet-lite0 trunk; features are its levels of stride 4, 8 and 16, each of unit length per pixel.

    Padding is symmetric (TensorFlow's "SAME" is not), so level (i, j) of stride s is centred on pixel (s*i, s*j).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, 3, stride=2, eps=BN_EPS, activation=nn.ReLU6(inplace=True))
        blocks: list[nn.Module] = []
        self._level_ends: list[int] = []
        c_in = 32
        for stage in STAGES:
            for repeat in range(stage.repeats):
                blocks.append(InvertedResidual(c_in, stage, stage.stride if repeat == 0 else 1))
                c_in = stage.c_out
            if stage.level:
                self._level_ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)

    def levels(self, x: Tensor) -> list[Tensor]:
        """[N, 3, H, W] -> raw levels [N, 24, ceil(H/4), .], [N, 40, ceil(H/8), .], [N, 112, ceil(H/16), .]."""
        x = self.stem(x)
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._level_ends:
                levels.append(x)
        return levels

    def forward(self, x: Tensor) -> Tensor:
        """RGB frames, ImageNet normalisation, [N, 3, H, W] -> features [N, 176, ceil(H/4), ceil(W/4)]."""
        fine, *coarse = [unit_length(level) for level in self.levels(x)]
        hw = (fine.shape[2], fine.shape[3])
        return torch.cat([fine, *(upsample_aligned(level, 2 << i, hw) for i, level in enumerate(coarse))], dim=1)


def unit_length(x: Tensor) -> Tensor:
    """[N, C, h, w] with the vector of each pixel scaled to length 1; a zero vector stays zero."""
    # Not F.normalize: its expand becomes shape arithmetic in an exported graph.
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / length.clamp_min(1e-12)


def upsample_aligned(x: Tensor, factor: int, hw: tuple[int, int]) -> Tensor:
    """Bilinear [N, C, h, w] -> [N, C, *hw] such that index i lands exactly on index factor*i; the edge is repeated.

    `hw` must be at most (factor*h, factor*w).
    """
    # One repeated row and column first: then every position wanted lies between two samples, and a crop is enough.
    padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
    size = (factor * x.shape[2] + 1, factor * x.shape[3] + 1)
    return F.interpolate(padded, size=size, mode="bilinear", align_corners=True)[:, :, : hw[0], : hw[1]]
