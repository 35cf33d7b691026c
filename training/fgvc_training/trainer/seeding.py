"""Random streams: each is a function of the run's seed, what it is for, and a number; none carries state.

So there is nothing to save and nothing to wind forward: an interrupted run, another number of workers or of processes
draws the same values.
"""

from __future__ import annotations

import zlib
from typing import Literal

import numpy as np
import torch

Purpose = Literal["sample", "step", "torch", "weights", "evaluation", "epoch"]


def stream(seed: int, purpose: Purpose, number: int = 0) -> np.random.Generator:
    """The generator for `purpose` number `number` (a sample, a step, ...) of the run with this seed."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode()), number))


def seed_torch(seed: int, purpose: Purpose, number: int = 0) -> None:
    """Set torch's global generators, for modules that draw from them (initial weights, dropout)."""
    torch.manual_seed(int(stream(seed, purpose, number).integers(2**63)))
