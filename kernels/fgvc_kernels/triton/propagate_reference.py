"""What `propagate.py` computes, in plain PyTorch: a gather and a weighted sum."""

from __future__ import annotations

import torch


def propagate_reference(
    positions: torch.Tensor, weights: torch.Tensor, labels: torch.Tensor, slots: torch.Tensor
) -> torch.Tensor:
    """The same in plain PyTorch, differentiable; sums in the weights' type, the result in the labels'."""
    frame, pixel = positions // positions.shape[0], positions % positions.shape[0]
    gathered = labels[slots.long()[frame.long()], pixel.long()]
    # Not weight * label: an entry of weight 0 names no key, and its label may be anything.
    used = torch.where((weights != 0)[..., None], gathered.to(weights.dtype), 0)
    return (weights[..., None] * used).sum(1).to(labels.dtype)
