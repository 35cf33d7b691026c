"""What `refine.py` computes, in plain PyTorch: the candidate mask as a dense matrix, then `torch.topk`."""

from __future__ import annotations

import torch

from .local_topk_reference import TopK, softmax_scores


def refine_candidates(matched: torch.Tensor, hw: tuple[int, int], scale: int, fine_radius: int) -> torch.Tensor:
    """Keys each query may take, bool [H*W, T*H*W], from the coarse matches int [T, cells]."""
    height, width = hw
    grid_width = -(-width // scale)
    pixel = torch.arange(height * width, device=matched.device)
    y, x = pixel // width, pixel % width
    cell = y // scale * grid_width + x // scale
    frames = []
    for chosen in matched.long() % matched.shape[1]:
        centre_y = (y % scale + scale * (chosen[cell] // grid_width)).clamp(max=height - 1)
        centre_x = (x % scale + scale * (chosen[cell] % grid_width)).clamp(max=width - 1)
        near_y = (y[None, :] - centre_y[:, None]).abs() <= fine_radius
        frames.append(near_y & ((x[None, :] - centre_x[:, None]).abs() <= fine_radius))
    return torch.cat(frames, dim=1)


def refine_reference(
    query: torch.Tensor,
    keys: torch.Tensor,
    slots: torch.Tensor,
    matched: torch.Tensor,
    hw: tuple[int, int],
    *,
    scale: int = 4,
    fine_radius: int = 4,
    topk: int = 10,
    temperature: float = 0.07,
) -> TopK:
    """Arguments and result of `launch_refine`; dense, so for small maps only."""
    dense = query.float() @ keys[slots.long()].float().flatten(0, 1).T
    allowed = refine_candidates(matched, hw, scale, fine_radius) & dense.isfinite()
    best = torch.where(allowed, dense, -torch.inf).topk(min(topk, dense.shape[1]), dim=1)
    missing = (0, topk - best.values.shape[1])
    scores = torch.nn.functional.pad(best.values, missing, value=-torch.inf)
    positions = torch.nn.functional.pad(best.indices, missing).int()
    values = softmax_scores(scores, temperature) if temperature else scores
    return TopK(torch.where(scores.isneginf(), 0, positions), values)
