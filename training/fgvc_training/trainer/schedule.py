"""Optimizers and the learning rate of each step; the rate is a function of the step and needs no state."""

from __future__ import annotations

import math
from typing import Any

import torch

from fgvc_training.trainer.config import OptimizerSettings


def make_optimizer(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """The optimizer over the task's groups; each group's own rate is remembered as `initial_lr`."""
    if settings.name == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(groups, lr=0.0, momentum=settings.betas[0])
    else:
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.name]
        optimizer = kind(groups, lr=0.0, betas=settings.betas)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def rate_factor(step: int, steps: int, settings: OptimizerSettings) -> float:
    """Share of the learning rate at `step` (from 0): linear warm-up, then a cosine that ends at `final`."""
    warm_up = min(settings.warmup_steps, steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / max(steps - 1, 1), 1.0)))
    factor = settings.final + (1 - settings.final) * cosine
    if step < warm_up:
        factor *= settings.warmup_from + (1 - settings.warmup_from) * step / warm_up
    return factor


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's initial rate by `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
