"""The one building block that both encoders share."""

from __future__ import annotations

from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, activation.

    [N, C_in, H, W] -> [N, C_out, ceil(H/stride), ceil(W/stride)].  The padding is symmetric and the kernel odd, so
    output (i, j) is centred on input (stride*i, stride*j).
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        eps: float = 1e-5,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=eps)
        self.activation = activation or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.activation(self.bn(self.conv(x)))
        return out
