"""The sgemm yardstick: its own check, its environment, and the name of the kernel it used."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from fgvc_benchmarks.gemm import OVERRIDES, Sgemm, blas_kernel, worker_environment
from fgvc_benchmarks.workers import Worker


def test_check_passes_and_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Sgemm({"size": 256}, 1)
    assert all(figure.passed for figure in subject.check())
    assert subject.facts["gflop"] == pytest.approx(2 * 256**3 / 1e9)
    monkeypatch.setattr(subject, "run", lambda: None)
    subject._product[:] = 0
    assert not all(figure.passed for figure in subject.check())


def test_overrides_are_taken_out_and_named() -> None:
    given = {"HOME": "/h", "OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_L2_SIZE": "1", "OMP_NUM_THREADS": "64"}
    variables, removed = worker_environment(given, 2)
    assert removed == OVERRIDES
    assert "OPENBLAS_CORETYPE" not in variables
    assert variables["HOME"] == "/h"
    assert variables["OMP_NUM_THREADS"] == variables["OPENBLAS_NUM_THREADS"] == "2"
    assert worker_environment({"HOME": "/h"}, 1).removed == ()


@pytest.mark.skipif(platform.machine() != "x86_64" or not blas_kernel(), reason="needs x86-64 and OpenBLAS")
def test_a_crippling_override_does_not_reach_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The override works in a process that inherits it, so the worker's freedom from it is no accident."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    code = "from fgvc_benchmarks.gemm import blas_kernel; print(blas_kernel())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", code]
    crippled = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    with Worker("sgemm", {"size": 128}, 1, worker_environment(os.environ, 1).variables) as worker:
        worker.start()
        assert worker.check()["failed"] == ""
        used = worker.warm(1)["facts"]["blas_kernel"]
    assert used == blas_kernel()
    assert crippled != used


def test_product_is_a_real_one() -> None:
    subject = Sgemm({"size": 64}, 1)
    subject.run()
    np.testing.assert_allclose(subject._product, subject._left @ subject._right, rtol=1e-5, atol=1e-5)
