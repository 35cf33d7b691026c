"""`StageTimer`: where the time of a run goes, in constant memory.  Reports are assembled in `run_json.py`."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fgvc_deploy.settings import FrozenModel

_GROWTH = 1.02
_SMALLEST_MS = 1e-3
_BUCKETS = math.ceil(math.log(1e9 / _SMALLEST_MS) / math.log(_GROWTH))


class StageSummary(FrozenModel):
    """Milliseconds of one stage.  Count, total, mean, min and max are exact; percentiles are within 1 %."""

    count: int
    total_ms: float
    mean_ms: float
    min_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Histogram:
    """Durations in buckets that grow by 2 %: a percentile is off by at most 1 % of itself, whatever the number.

    Percentiles are nearest-rank: the smallest duration that at least q of all do not exceed.  Durations below one
    microsecond share the first bucket, those above 11 days the last.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)
        self._count, self._total, self._min, self._max = 0, 0.0, math.inf, 0.0

    def add(self, milliseconds: float) -> None:
        """Count one duration."""
        bucket = math.floor(math.log(max(milliseconds, _SMALLEST_MS) / _SMALLEST_MS) / math.log(_GROWTH))
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self._count += 1
        self._total += milliseconds
        self._min, self._max = min(self._min, milliseconds), max(self._max, milliseconds)

    def quantile(self, q: float) -> float:
        """Milliseconds at quantile q in 0..1; 0 when nothing was counted."""
        if not self._count:
            return 0.0
        rank = max(1, math.ceil(q * self._count))
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank))
        middle: float = _SMALLEST_MS * _GROWTH ** (bucket + 0.5)
        return min(max(middle, self._min), self._max)

    def summary(self) -> StageSummary:
        """Figures of everything counted so far."""
        return StageSummary(
            count=self._count,
            total_ms=self._total,
            mean_ms=self._total / self._count if self._count else 0.0,
            min_ms=self._min if self._count else 0.0,
            p50_ms=self.quantile(0.50),
            p95_ms=self.quantile(0.95),
            p99_ms=self.quantile(0.99),
            max_ms=self._max,
        )


class StageTimer:
    """Wall-clock time by stage: `with timer.stage("encode"): ...`.  Memory: 11 kB a stage, however long the run.

    Stages are listed in the order they first occur; those of two threads may overlap in time.
    """

    def __init__(self) -> None:
        self._stages: dict[str, Histogram] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block as one occurrence of a stage; a block that raises is not counted."""
        start = time.perf_counter_ns()
        yield
        self.add(name, (time.perf_counter_ns() - start) / 1e6)

    def add(self, name: str, milliseconds: float) -> None:
        """Count a duration that was measured elsewhere."""
        with self._lock:
            self._stages.setdefault(name, Histogram()).add(milliseconds)

    def summary(self) -> dict[str, StageSummary]:
        """Figures by stage."""
        with self._lock:
            return {name: histogram.summary() for name, histogram in self._stages.items()}
