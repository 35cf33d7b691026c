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
    Geometry("128x128x256 r15", 128, 128, 256, 15.0),
    Geometry("64x64x96 r7.5", 64, 64, 96, 7.5),
    Geometry("128x128x64 r15", 128, 128, 64, 15.0),
)
"""The reference's at 256x256 with stride 2, and two of edge encoders: stride 4 with 96, stride 2 with 64 channels."""

QUICK = ("64x64x96 r7.5",)


VARIANTS: dict[str, tuple[dict[str, str], ...]] = {"native": ({"precision": "bf16"}, {"precision": "fp32"})}
"""Options that a backend is measured with; a backend that is not listed has none."""


@dataclass(frozen=True)
class KernelOptions:
    """What a person may ask for.

    `quick` takes the smallest geometry only, `dense` includes the dense reference, `isas` adds the native backend on
    every instruction set this processor has.
    """

    quick: bool = False
    dense: bool = True
    isas: bool = False


def kernel_groups(options: KernelOptions) -> list[Group]:
    """One group for each geometry."""
    chosen = [g for g in GEOMETRIES if not options.quick or g.name in QUICK]
    return [kernel_group(geometry, options.dense, options.isas) for geometry in chosen]


def kernel_group(geometry: Geometry, dense: bool, isas: bool = False) -> Group:
    """All propagation backends on one geometry, sgemm, and the dense reference when asked for."""
    params: dict[str, Any] = {"geometry": asdict(geometry), "points": POINTS}
    backends = [
        Case("/".join([geometry.name, name, *variant.values()]), "propagation", case_params)
        for name in propagation_names()
        for variant in _variants(name, isas)
        for case_params in [{**params, "backend": name, "options": variant}]
    ]
    others = [Case(f"{geometry.name}/sgemm", "sgemm", {"size": 2048})]
    if dense:
        others.append(Case(f"{geometry.name}/dense", "dense_propagation", params, rounds=DENSE_ROUNDS))
    comparisons = [c for case in backends for c in _comparisons(case.name, geometry.name, dense)]
    return Group(f"kernels {geometry.name}", (*backends, *others), tuple(comparisons))


def _variants(backend: str, isas: bool) -> list[dict[str, str]]:
    variants = list(VARIANTS.get(backend, ({},)))
    if backend == "native" and isas:
        variants += [{"isa": isa} for isa in _native_isas()]
    return variants


def _native_isas() -> tuple[str, ...]:
    from fgvc_kernels import native

    return tuple(native.isas()) if native.available()[0] else ()


def _comparisons(case: str, geometry: str, dense: bool) -> Iterator[Comparison]:
    yield Comparison("share_of_sgemm", case, f"{geometry}/sgemm", match_rate, gemm_rate)
    if dense:
        yield Comparison("speedup_over_dense", case, f"{geometry}/dense", speed, speed)
