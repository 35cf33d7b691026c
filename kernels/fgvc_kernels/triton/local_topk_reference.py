"""What `local_topk.py` computes, in plain PyTorch: dense scores of some queries at a time, a mask, `torch.topk`."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from .offsets import distance_limit

# Scores held at a time: 64 MB in fp32.
CHUNK_SCORES = 1 << 24


class TopK(NamedTuple):
    """Matches on the device: positions int32 and values fp32 (weights or scores), [H*W, k] or [splits, H*W, k]."""

    positions: torch.Tensor
    values: torch.Tensor


def allowed_keys(
    queries: torch.Tensor, hw: tuple[int, int], window: Literal["circle", "square"], radius: float
) -> torch.Tensor:
    """Keys of one frame that the queries (raster positions int64 [Q]) may take: bool [Q, H*W]."""
    pixels = torch.arange(hw[0] * hw[1], device=queries.device)
    dy = queries[:, None] // hw[1] - pixels[None, :] // hw[1]
    dx = queries[:, None] % hw[1] - pixels[None, :] % hw[1]
    measure = dy**2 + dx**2 if window == "circle" else torch.maximum(dy.abs(), dx.abs())
    return measure < distance_limit(window, radius, hw)


def softmax_scores(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    """Softmax of scores [rows, k] / temperature; -inf weighs exactly 0, a row of nothing else 0 throughout."""
    weights = torch.softmax(scores / temperature, dim=1)
    return torch.where(torch.isneginf(scores), 0.0, weights)


def softmax_gradient(grad: torch.Tensor, values: torch.Tensor, temperature: float) -> torch.Tensor:
    """Gradient of the scores [rows, k] from that of the values, which are weights or, for temperature 0, scores."""
    if not temperature:
        return torch.where(values.isneginf(), 0, grad)
    return values * (grad - (values * grad).sum(1, keepdim=True)) / temperature


def local_topk_reference(
    query: torch.Tensor,
    keys: torch.Tensor,
    slots: torch.Tensor,
    hw: tuple[int, int],
    *,
    radius: float,
    window: Literal["circle", "square"] = "circle",
    topk: int = 10,
    temperature: float = 0.07,
) -> TopK:
    """Arguments and result of `launch_local_topk` without splits; every score is computed, in fp32."""
    # Double stays double, so that gradients can be checked.
    kind = torch.float64 if query.dtype == torch.float64 else torch.float32
    rows = keys[slots.long()].to(kind).flatten(0, 1)
    scores = query.new_full((len(query), topk), -torch.inf, dtype=kind)
    positions = query.new_zeros((len(query), topk), dtype=torch.int32)
    everyone = torch.arange(len(query), device=query.device)
    for part in torch.split(everyone, max(1, CHUNK_SCORES // len(rows))):
        allowed = allowed_keys(part, hw, window, radius).repeat(1, len(slots))
        dense = query[part].to(kind) @ rows.T
        # A score that is not finite is never chosen.
        best = torch.where(allowed & dense.isfinite(), dense, -torch.inf).topk(min(topk, len(rows)), dim=1)
        scores[part, : best.values.shape[1]] = best.values
        positions[part, : best.values.shape[1]] = torch.where(best.values.isneginf(), 0, best.indices).int()
    return TopK(positions, softmax_scores(scores, temperature) if temperature else scores)
