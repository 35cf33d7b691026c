"""Inputs for the kernels, and poison in everything that `torch.empty` returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

Frames = Callable[..., torch.Tensor]


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    """Uninitialised memory holds NaN and the largest integers, so that a value that nobody wrote is seen."""
    # PyTorch sets the attribute up at run time, so type checkers do not know it.
    memory: Any = torch.utils.deterministic
    before = memory.fill_uninitialized_memory, torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = True
    assert torch.empty(3).isnan().all()
    yield
    memory.fill_uninitialized_memory = before[0]
    torch.use_deterministic_algorithms(before[1])


@pytest.fixture
def frames() -> Frames:
    """`frames(seed, n, hw, channels, dtype)`: unit features [n, H*W, C], neighbouring frames alike."""

    def make(seed: int, n: int, hw: tuple[int, int], channels: int = 16, dtype: str = "float16") -> torch.Tensor:
        rng = np.random.default_rng(seed)
        base = rng.standard_normal((1, hw[0] * hw[1], channels))
        rows = torch.from_numpy(base + 0.5 * rng.standard_normal((n, hw[0] * hw[1], channels)))
        return torch.nn.functional.normalize(rows, dim=2).to(getattr(torch, dtype))

    return make
