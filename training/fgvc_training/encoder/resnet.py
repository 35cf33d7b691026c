"""ResNet-18 "d1", the encoder of the FGVC paper: one stride of 2 in the stem, then full resolution to the end."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fgvc_training.encoder.blocks import ConvNorm


class BasicBlock(nn.Module):
    """Two 3x3 convolutions at stride 1 beside a shortcut, which is a 1x1 convolution where the width changes."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(c_in, c_out, 3, activation=nn.ReLU(inplace=True))
        self.conv2 = ConvNorm(c_out, c_out, 3)
        self.downsample = ConvNorm(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, h, w] -> [N, c_out, h, w]."""
        return F.relu(self.conv2(self.conv1(x)) + self.downsample(x))


class ResNet18D1(nn.Module):
    """7x7 stem of stride 2 without pooling, three stages at stride 1, 256 channels (goldens item 5).

    The reference also runs a fourth stage and throws its output away; here there is none.
    The names of parameters are the official ones without `backbone.`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 64, 7, stride=2, activation=nn.ReLU(inplace=True))
        self.layer1 = nn.Sequential(BasicBlock(64, 64), BasicBlock(64, 64))
        self.layer2 = nn.Sequential(BasicBlock(64, 128), BasicBlock(128, 128))
        self.layer3 = nn.Sequential(BasicBlock(128, 256), BasicBlock(256, 256))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised Lab frames [N, 3, H, W] -> features [N, 256, ceil(H/2), ceil(W/2)], non-negative, not unit.

        Feature (i, j) is centred on pixel (2i, 2j).
        """
        out: Tensor = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return out
