"""Measuring: stopwatch, interleaved rounds, medians, and bootstrap intervals of ratios.

What is timed is decided elsewhere (`subjects/`); nothing here knows about trackers or kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fgvc_deploy.stages import StageTimer

DRAWS = 4000


@dataclass(slots=True)
class Sample:
    """Seconds of one execution: wall clock, processor time of all threads, and wall clock by stage."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)


class Interval(NamedTuple):
    """A figure with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


class ExactTimer(StageTimer):
    """A stage timer that keeps the seconds of each stage since the last `take`, exactly."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[str, float] = {}

    def add(self, name: str, milliseconds: float) -> None:
        """Count a duration; several occurrences of a stage add up."""
        self._seconds[name] = self._seconds.get(name, 0.0) + milliseconds / 1e3

    def take(self) -> dict[str, float]:
        """Seconds by stage, in the order they first occurred; the timer starts anew."""
        taken, self._seconds = self._seconds, {}
        return taken


@contextmanager
def stopwatch() -> Iterator[Sample]:
    """Fill in a Sample for the block.  Processor time is that of the whole process, so its idle spinning counts."""
    sample = Sample()
    cpu, wall = time.process_time(), time.perf_counter()
    yield sample
    sample.wall_s, sample.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


def settle(idle_share: float = 0.1, step_s: float = 0.02, longest_s: float = 1.0) -> bool:
    """Wait until this process is idle; False if it was not within `longest_s`.

    Thread pools spin for a while after their work is done (OpenBLAS about .1 s), and would then slow down whichever
    process is timed next.
    """
    end = time.perf_counter() + longest_s
    while time.perf_counter() < end:
        cpu, wall = time.process_time(), time.perf_counter()
        time.sleep(step_s)
        if time.process_time() - cpu < idle_share * (time.perf_counter() - wall):
            return True
    return False


def mean_sample(samples: Sequence[Sample]) -> Sample:
    """One sample for several executions made in a row."""
    count = len(samples)
    stages = {name: sum(s.stages.get(name, 0.0) for s in samples) / count for name in samples[0].stages}
    return Sample(sum(s.wall_s for s in samples) / count, sum(s.cpu_s for s in samples) / count, stages)


def interleave(
    runs: Mapping[str, Callable[[], Sample]], rounds: Mapping[str, int], seed: int = 0
) -> Iterator[tuple[str, Sample]]:
    """Run every case once a round, in a new seeded order each round, so that slow drift hits all alike.

    A case with fewer rounds than the others takes part in evenly spaced ones.
    """
    rng = np.random.default_rng(seed)
    most = max(rounds.values(), default=0)
    names = sorted(runs)
    for number in range(most):
        for position in rng.permutation(len(names)):
            name = names[position]
            if _takes_part(number, rounds[name], most):
                yield name, runs[name]()


def _takes_part(number: int, rounds: int, most: int) -> bool:
    return (number + 1) * rounds // most > number * rounds // most


def ratio_interval(
    numerator: Sequence[float], denominator: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> Interval:
    """median(numerator) / median(denominator) and its percentile bootstrap interval.

    Both sides are resampled independently with a seeded generator.  With a single measurement on each side the
    interval is that one ratio: it then says nothing about the spread.
    """
    rng = np.random.default_rng(seed)
    ratios = _resampled_medians(rng, numerator) / _resampled_medians(rng, denominator)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.median(numerator) / np.median(denominator)), float(low), float(high))


def _resampled_medians(
    rng: np.random.Generator, values: Sequence[float]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    data = np.asarray(values, dtype=np.float64)
    medians: np.ndarray[tuple[int], np.dtype[np.float64]] = np.median(
        data[rng.integers(0, len(data), (DRAWS, len(data)))], axis=1
    )
    return medians
