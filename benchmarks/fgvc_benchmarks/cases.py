"""What a suite is made of: cases, the groups they are measured in, and the ratios worth writing down.  Data only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fgvc_benchmarks.timing import Sample

Figure = Callable[[Sample, Mapping[str, Any]], float]
"""A number from one sample and its case's facts."""


def wall(sample: Sample, facts: Mapping[str, Any]) -> float:
    """Wall-clock seconds of one execution."""
    return sample.wall_s


def speed(sample: Sample, facts: Mapping[str, Any]) -> float:
    """Executions per second."""
    return 1.0 / sample.wall_s


def gemm_rate(sample: Sample, facts: Mapping[str, Any]) -> float:
    """GFLOP/s of a matrix product."""
    return float(facts["gflop"]) / sample.wall_s


def match_rate(sample: Sample, facts: Mapping[str, Any]) -> float:
    """Useful GFLOP/s of finding the best keys: operations an exact answer needs, over the time of `match` alone."""
    return float(facts["useful_gflop"]) / sample.stages["match"]


@dataclass(frozen=True)
class Case:
    """One thing to measure: a subject of `subjects/table.py` and its JSON parameters.

    `rounds` overrides the suite's (a dense run takes half a minute); such a case is warmed by its check alone.
    """

    name: str
    subject: str
    params: Mapping[str, Any]
    rounds: int | None = None

    def identity(self) -> dict[str, Any]:
        """What a record stores as its parameters."""
        return {"subject": self.subject, **self.params}


@dataclass(frozen=True)
class Comparison:
    """A ratio `name` of case `case`: its `figure` over `of_other` of the case `to`."""

    name: str
    case: str
    to: str
    figure: Figure
    of_other: Figure


@dataclass(frozen=True)
class Group:
    """Cases measured interleaved, in the same run; only they are compared with each other."""

    name: str
    cases: tuple[Case, ...]
    comparisons: tuple[Comparison, ...] = ()
