"""Which magnitude of an activation becomes 127: three ways to choose, from histograms over real frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import Float32Array

Histogram = NDArray[np.float64]
BINS = 2048
# Codes of one sign.
LEVELS = 128
PERCENTILE = 99.99


def magnitudes(seen: Iterable[Float32Array]) -> tuple[Histogram, float]:
    """Counts of |x| in `BINS` equal bins from 0 to the largest, and that largest.

    Values that are 0, most of what a ReLU gives, are not counted: every scale holds them exactly.
    """
    arrays = [np.abs(x[x != 0]) for x in seen]
    top = max((float(x.max()) for x in arrays if x.size), default=0.0)
    counts = sum(np.histogram(x, BINS, (0, top or 1.0))[0] for x in arrays)
    return np.asarray(counts, np.float64), top


def by_maximum(counts: Histogram, top: float) -> float:
    """Nothing is clipped."""
    return top


def by_percentile(counts: Histogram, top: float) -> float:
    """All but one value in 10,000 stay below."""
    share = np.cumsum(counts) / max(counts.sum(), 1)
    return top * (int(np.searchsorted(share, PERCENTILE / 100)) + 1) / BINS


def by_entropy(counts: Histogram, top: float) -> float:
    """The clipping whose 128 levels lose the least information: smallest Kullback-Leibler divergence (TensorRT's)."""
    if not counts.any():
        return top
    ends = np.arange(LEVELS, BINS + 1, 8)
    divergences = [_divergence(counts, int(end)) for end in ends]
    return top * float(ends[int(np.argmin(divergences))]) / BINS


METHODS: dict[str, Callable[[Histogram, float], float]] = {
    "maximum": by_maximum,
    "percentile": by_percentile,
    "entropy": by_entropy,
}


def _divergence(counts: Histogram, end: int) -> float:
    """KL(p || q): p the histogram clipped at bin `end`, q the same with each level's counts spread over its bins."""
    p = counts[:end].copy()
    level = np.arange(end) * LEVELS // end
    occupied = p > 0
    total = np.bincount(level, p, LEVELS)
    bins = np.bincount(level, occupied, LEVELS)
    q = np.where(occupied, (total / np.maximum(bins, 1))[level], 0)
    p[-1] += counts[end:].sum()
    p, q = p / p.sum(), q / q.sum()
    # A bin that only the clipped tail filled has no counterpart: an infinite loss, kept finite to be comparable.
    both = p > 0
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())
