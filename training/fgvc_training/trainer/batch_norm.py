"""Batch norm over the global batch on any device; torch's SyncBatchNorm runs on GPUs only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


class _SumOverProcesses(torch.autograd.Function):
    """Sum forwards; and backwards, because every process's loss depends on every process's term."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone()
        dist.all_reduce(total)
        return total


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose training statistics are those of all processes' samples together.

    With one process, or in eval mode, it is BatchNorm2d.  Every process must bring a batch of the same shape.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        # In float32 also under autocast, as the plain one.
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = self._sum(wide) / count
        centred = wide - mean[:, None, None]
        variance = self._sum(centred**2) / count
        self._track(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        normalized = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        out = normalized * self.weight[:, None, None] + self.bias[:, None, None] if self.affine else normalized
        return out.to(x.dtype)

    def _sum(self, x: Tensor) -> Tensor:
        total: Tensor = _SumOverProcesses.apply(x.sum((0, 2, 3)))  # type: ignore[no-untyped-call]
        return total

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), step)
        self.running_var.lerp_(variance.to(self.running_var.dtype), step)


def synchronize_batch_norm(module: nn.Module) -> nn.Module:
    """Turn every BatchNorm2d inside `module` into a SyncedBatchNorm2d, in place; names and tensors stay."""
    for part in module.modules():
        if type(part) is nn.BatchNorm2d:
            part.__class__ = SyncedBatchNorm2d
    return module
