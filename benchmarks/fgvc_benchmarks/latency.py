"""The cases of `bench latency`: a whole tracker step against points, frame size, memory length and backends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fgvc_benchmarks.cases import Case, Comparison, Group, speed, wall
from fgvc_deploy.encoders.select import ENCODER_BACKENDS
from fgvc_deploy.propagation.select import propagation_names
from fgvc_deploy.settings import PropagationSettings

SUITE = "latency"
SIZE = 256
POINTS = 5
DENSE_ROUNDS = 2


@dataclass(frozen=True)
class Sweep:
    """One axis of the suite: the parameter that varies, its values, and the subset that `--quick` takes.

    With `together` all values are measured interleaved, so that they may be compared with each other.  `settings`
    change the bundle's for every case.
    """

    name: str
    parameter: str
    values: tuple[int, ...]
    quick: tuple[int, ...]
    together: bool
    settings: tuple[tuple[str, float], ...] = ()


POINT_COUNTS = (1, 5, 16, 64, 256, 1024)
SWEEPS = (
    Sweep("points", "points", POINT_COUNTS, (1, 256), together=True),
    Sweep("all pixels, points", "points", POINT_COUNTS, (), together=True, settings=(("active_tau", 0.0),)),
    Sweep("size", "size", (128, 192, 256, 384, 512), (128,), together=False),
    Sweep("memory", "memory", (1, 2, 5, 10, 20), (), together=True),
)
"""Frame sizes are squares of network pixels; memory is the number of frames kept beside the first.

`all pixels` switches the active set off, which leaves out pixels that no point's label can reach."""


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
    """The groups of every sweep, then one that encodes ahead and one that compares backends."""
    groups = [group for sweep in SWEEPS for group in _sweep_groups(sweep, options)]
    return groups if options.quick else [*groups, stream_group(options), backend_group(options)]


def step_params(options: LatencyOptions, **changes: Any) -> dict[str, Any]:
    """Parameters of a tracker step: 5 points at 256x256 with the bundle's settings, but for `changes`."""
    size = changes.pop("size", SIZE)
    base = {"bundle": options.bundle, "backend": options.backend, "points": POINTS, "settings": {}}
    return base | changes | {"size": [size, size]}


def _sweep_groups(sweep: Sweep, options: LatencyOptions) -> Iterable[Group]:
    values = sweep.quick if options.quick else sweep.values
    cases = [Case(f"{sweep.name}={value}", "tracker", _sweep_params(sweep, value, options)) for value in values]
    if not cases:
        return []
    if not sweep.together:
        return [Group(f"latency {case.name}", (case,)) for case in cases]
    comparisons: list[Comparison] = []
    if sweep.parameter == "points":
        comparisons = [Comparison("cost_of_one_point", case.name, cases[0].name, wall, wall) for case in cases[1:]]
    group = Group(f"latency {sweep.name}", tuple(cases), tuple(comparisons))
    return [_with_dense(group, options) if options.dense and sweep.name == "points" else group]


def _sweep_params(sweep: Sweep, value: int, options: LatencyOptions) -> dict[str, Any]:
    settings: dict[str, float] = dict(sweep.settings)
    if sweep.parameter in PropagationSettings.model_fields:
        return step_params(options, settings=settings | {sweep.parameter: value})
    return step_params(options, settings=settings, **{sweep.parameter: value})


def _with_dense(group: Group, options: LatencyOptions) -> Group:
    """The group with the reference pipeline beside it, and the speed-ups over that."""
    dense = Case("dense pipeline", "dense_tracker", step_params(options), rounds=DENSE_ROUNDS)
    speedups = [Comparison("speedup_over_dense", case.name, dense.name, speed, speed) for case in group.cases]
    return Group(group.name, (*group.cases, dense), (*group.comparisons, *speedups))


def stream_group(options: LatencyOptions) -> Group:
    """Frame after frame of a video, each encoded in its turn or one frame ahead."""
    names = {"stream=in turn": False, "stream=encode ahead": True}
    cases = [Case(name, "stream", step_params(options, ahead=ahead)) for name, ahead in names.items()]
    first, second = cases
    gain = Comparison("speedup_over_in_turn", second.name, first.name, speed, speed)
    return Group("latency stream", (first, second), (gain,))


def backend_group(options: LatencyOptions) -> Group:
    """Every encoder backend with every propagation backend, each as far as it can run here."""
    names = [f"{encoder.name}+{matcher}" for encoder in ENCODER_BACKENDS for matcher in propagation_names()]
    cases = [Case(f"backend={name}", "tracker", step_params(options, backend=name)) for name in names]
    return Group("latency backends", tuple(cases))
