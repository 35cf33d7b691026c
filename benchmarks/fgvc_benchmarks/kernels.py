"""The cases of `bench kernels`: every propagation backend on three geometries, beside sgemm and dense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fgvc_benchmarks.cases import Case, Comparison, Group, gemm_rate, match_rate, speed
from fgvc_benchmarks.geometry import Geometry
from fgvc_deploy.propagation.select import propagation_names

SUITE = "kernels"
POINTS = 5
DENSE_ROUNDS = 2

GEOMETRIES = (
    Geometry("reference", 128, 128, 256, 15.0),
    Geometry("edge96", 64, 64, 96, 7.5),
    Geometry("edge64", 128, 128, 64, 15.0),
)
"""The reference's at 256x256 with stride 2, and two of edge encoders: stride 4 with 96, stride 2 with 64 channels."""

QUICK = ("edge96",)


@dataclass(frozen=True)
class KernelOptions:
    """What a person may ask for: `quick` takes the smallest geometry only, `dense` includes the dense reference."""

    quick: bool = False
    dense: bool = True


def kernel_groups(options: KernelOptions) -> list[Group]:
    """One group for each geometry."""
    chosen = [g for g in GEOMETRIES if not options.quick or g.name in QUICK]
    return [kernel_group(geometry, options.dense) for geometry in chosen]


def kernel_group(geometry: Geometry, dense: bool) -> Group:
    """All propagation backends on one geometry, sgemm, and the dense reference when asked for."""
    params: dict[str, Any] = {"geometry": asdict(geometry), "points": POINTS}
    backends = [
        Case(f"{geometry.name}/{name}", "propagation", {**params, "backend": name}) for name in propagation_names()
    ]
    others = [Case(f"{geometry.name}/sgemm", "sgemm", {"size": 2048})]
    if dense:
        others.append(Case(f"{geometry.name}/dense", "dense_propagation", params, rounds=DENSE_ROUNDS))
    comparisons = [c for case in backends for c in _comparisons(case.name, geometry.name, dense)]
    return Group(f"kernels {geometry.name}", (*backends, *others), tuple(comparisons))


def _comparisons(case: str, geometry: str, dense: bool) -> Iterator[Comparison]:
    yield Comparison("share_of_sgemm", case, f"{geometry}/sgemm", match_rate, gemm_rate)
    if dense:
        yield Comparison("speedup_over_dense", case, f"{geometry}/dense", speed, speed)
