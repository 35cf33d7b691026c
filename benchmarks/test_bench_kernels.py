"""pytest-benchmark of the propagation backends: `pytest benchmarks/test_bench_kernels.py --benchmark-enable`.

The cases are those of `fgvc-deploy bench kernels`, which also writes records; this is for a quick look while working.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fgvc_benchmarks.cases import Case
from fgvc_benchmarks.gemm import Sgemm
from fgvc_benchmarks.kernels import GEOMETRIES, kernel_group
from fgvc_benchmarks.subjects.table import create
from fgvc_deploy.errors import BackendError

CASES = [
    case
    for geometry in GEOMETRIES
    for case in kernel_group(geometry, dense=False, isas=True).cases
    if case.subject == "propagation"
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_propagation_step(case: Case, threads: int, benchmark: BenchmarkFixture) -> None:
    try:
        subject = create(case.subject, case.params, threads)
    except BackendError as error:
        pytest.skip(str(error))
    wrong = [figure for figure in subject.check() if not figure.passed]
    assert not wrong
    benchmark.group = case.params["geometry"]["name"]
    benchmark.extra_info.update(subject.facts)
    benchmark(subject.run)


def test_sgemm(threads: int, benchmark: BenchmarkFixture) -> None:
    """NumPy's own number of threads: set OPENBLAS_NUM_THREADS beside FGVC_BENCH_THREADS."""
    subject = Sgemm({}, threads)
    assert all(figure.passed for figure in subject.check())
    benchmark.extra_info.update(subject.facts)
    benchmark(subject.run)
