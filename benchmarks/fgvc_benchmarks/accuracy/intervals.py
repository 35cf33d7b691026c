"""Intervals of a mean over clips: 95 % percentile bootstrap, seeded.  One clip has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROUNDS = 4000
SEED = 0
LEVEL = 0.95


class MeanInterval(NamedTuple):
    """A mean and its interval; `low` and `high` are None for fewer than two values."""

    mean: float
    low: float | None
    high: float | None

    def text(self, digits: int = 1, scale: float = 1.0) -> str:
        """`62.8 [60.1, 65.0]`, or the mean alone."""
        mean = f"{scale * self.mean:.{digits}f}"
        if self.low is None or self.high is None:
            return mean
        return f"{mean} [{scale * self.low:.{digits}f}, {scale * self.high:.{digits}f}]"


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Mean over clips, and the interval of means of clips drawn anew.  Raises ValueError without values."""
    if not values:
        raise ValueError("there is nothing to average: give at least one value")
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return MeanInterval(mean, None, None)
    draws = np.random.default_rng(SEED).integers(len(array), size=(ROUNDS, len(array)))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(array[draws].mean(1), (tail, 100 - tail))
    return MeanInterval(mean, float(low), float(high))
