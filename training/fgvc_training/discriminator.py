"""The adversary of domain adaptation: a per-pixel classifier of correlation windows behind gradient reversal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.alpha * grads[0], None


class GradientReversal(nn.Module):
    """Identity forwards; multiplies the gradient by -alpha backwards (Ganin and Lempitsky, 2015)."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`; its gradient will be reversed."""
        reversed_x: Tensor = _Reverse.apply(x, self.alpha)  # type: ignore[no-untyped-call]
        return reversed_x


class CorrelationDiscriminator(nn.Module):
    """Tells video from synthetic pairs by one pixel's correlation window (goldens item 38).

    Input [.., K] with K = (2r+1)**2, output one logit per pixel [.., 1]; layers K -> K//2 -> K//4 -> 1 with ReLU.
    Its own weights learn to tell the domains apart, while the reversed gradient teaches the encoder to hide them.
    Parameter names are the published checkpoint's (`cls_layer.1.weight`, ...).
    """

    def __init__(self, window_entries: int, alpha: float = 1.0) -> None:
        super().__init__()
        self.cls_layer = nn.Sequential(
            GradientReversal(alpha),
            nn.Linear(window_entries, window_entries // 2),
            nn.ReLU(),
            nn.Linear(window_entries // 2, window_entries // 4),
            nn.ReLU(),
            nn.Linear(window_entries // 4, 1),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Logits [N, 1] of windows [.., K]; positive = video."""
        logits: Tensor = self.cls_layer(windows.flatten(0, -2))
        return logits
