"""Averages over a subset of pixels that stay right with no pixel and with several processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist


def mean_over(
    values: Tensor, selected: Tensor, *, nan_if_empty: bool = False, across_processes: bool = False
) -> Tensor:
    """Mean of `values` where `selected`, 0 (with zero gradient) where nothing is selected.

    With `across_processes` every process must call this; the denominator is then the mean count per process, so that
    averaging gradients over processes (DDP) gives the mean over all their pixels, as one process would.
    """
    # where, not multiplication: an unselected infinity or NaN must not reach the sum.
    total = torch.where(selected, values, torch.zeros_like(values)).sum()
    count = selected.sum().to(values.dtype)
    if across_processes:
        dist.all_reduce(count)
        count = count / dist.get_world_size()
    if nan_if_empty:
        return total / count
    return total / torch.where(count > 0, count, torch.ones_like(count))
