"""The cases of `bench latency`: a whole tracker step against points, frame size, memory length and backends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fgvc_benchmarks.cases import Case, Comparison, Group, speed, wall
from fgvc_deploy.encoders.select import ENCODER_BACKENDS
from fgvc_deploy.propagation.select import propagation_names

SUITE = "latency"
SIZE = 256
POINTS = 5
DENSE_ROUNDS = 2


@dataclass(frozen=True)
class Sweep:
    """One axis of the suite: the parameter that varies, its values, and the subset that `--quick` takes.

    With `together` all values are measured interleaved, so that they may be compared with each other.
    """

    parameter: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    together: bool


SWEEPS = (
    Sweep("points", (1, 5, 16, 64, 256, 1024), (1, 256), together=True),
    Sweep("size", (128, 192, 256, 384, 512), (128,), together=False),
    Sweep("memory", (1, 2, 5, 10, 20), (), together=True),
)
"""Frame sizes are squares of network pixels; memory is the number of frames kept beside the first."""


@dataclass(frozen=True)
class LatencyOptions:
    """What a person may ask for.

    `bundle`: path of the model.  `backend`: as in `fgvc-deploy run`.  `quick` takes a few cases, `dense` includes the
    dense reference pipeline.
    """

    bundle: str
    backend: str = "auto"
    quick: bool = False
    dense: bool = True


def latency_groups(options: LatencyOptions) -> list[Group]:
    """The groups of every sweep, then one that compares backends."""
    groups = [group for sweep in SWEEPS for group in _sweep_groups(sweep, options)]
    return groups if options.quick else [*groups, backend_group(options)]


def step_params(options: LatencyOptions, **changes: Any) -> dict[str, Any]:
    """Parameters of a tracker step: 5 points at 256x256 with the bundle's memory, but for `changes`."""
    size = changes.pop("size", SIZE)
    base = {"bundle": options.bundle, "backend": options.backend, "points": POINTS, "memory": None}
    return base | changes | {"size": [size, size]}


def _sweep_groups(sweep: Sweep, options: LatencyOptions) -> Iterable[Group]:
    values = sweep.quick if options.quick else sweep.values
    cases = [
        Case(f"{sweep.parameter}={value}", "tracker", step_params(options, **{sweep.parameter: value}))
        for value in values
    ]
    if not cases:
        return []
    if not sweep.together:
        return [Group(f"latency {case.name}", (case,)) for case in cases]
    if sweep.parameter == "points":
        return [_points_group(cases, options)]
    return [Group(f"latency {sweep.parameter}", tuple(cases))]


def _points_group(cases: list[Case], options: LatencyOptions) -> Group:
    """Against the number of points, with the ratio to one point; the reference pipeline is measured beside it."""
    comparisons = [Comparison("cost_of_one_point", case.name, cases[0].name, wall, wall) for case in cases[1:]]
    if options.dense:
        dense = Case("dense pipeline", "dense_tracker", step_params(options), rounds=DENSE_ROUNDS)
        comparisons += [Comparison("speedup_over_dense", case.name, dense.name, speed, speed) for case in cases]
        cases = [*cases, dense]
    return Group("latency points", tuple(cases), tuple(comparisons))


def backend_group(options: LatencyOptions) -> Group:
    """Every encoder backend with every propagation backend, each as far as it can run here."""
    names = [f"{encoder.name}+{matcher}" for encoder in ENCODER_BACKENDS for matcher in propagation_names()]
    cases = [Case(f"backend={name}", "tracker", step_params(options, backend=name)) for name in names]
    return Group("latency backends", tuple(cases))
