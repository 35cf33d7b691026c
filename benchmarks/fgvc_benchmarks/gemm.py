"""The yardstick of the kernels: how fast this machine multiplies float32 matrices, on the same threads.

Also keeps the environment of measured processes honest: settings that would make OpenBLAS pick a slower kernel than
the machine deserves are taken out, and said so.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fgvc_benchmarks.timing import Sample, stopwatch
from fgvc_deploy.bundle import ParityFigure

SIZE = 2048
# They override OpenBLAS's own choice; a container image may set them for another machine than this one.
OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# PyPI's wheels rename OpenBLAS's symbols; distributions do not.
CORENAMES = (
    "scipy_openblas_get_corename64_",
    "scipy_openblas_get_corename",
    "openblas_get_corename64_",
    "openblas_get_corename",
)


class Environment(NamedTuple):
    """Variables for a measured process, and the names of those that were taken out."""

    variables: dict[str, str]
    removed: tuple[str, ...]


def worker_environment(variables: Mapping[str, str], threads: int) -> Environment:
    """The environment of a measured process: the same, with `threads` threads and without BLAS overrides."""
    removed = tuple(name for name in OVERRIDES if name in variables)
    kept = {name: value for name, value in variables.items() if name not in OVERRIDES}
    return Environment(kept | dict.fromkeys(THREAD_VARIABLES, str(threads)), removed)


def blas_kernel() -> str:
    """Name of the processor family whose kernels NumPy's OpenBLAS uses in this process; empty when unknown."""
    spec = importlib.util.find_spec("numpy._core._multiarray_umath")
    if spec is None or spec.origin is None:
        return ""
    # A look-up in NumPy's extension also searches the libraries it is linked to (not on Windows).
    library = ctypes.CDLL(spec.origin)
    for name in CORENAMES:
        if hasattr(library, name):
            function = getattr(library, name)
            function.restype = ctypes.c_char_p
            return bytes(function()).decode()
    return ""


class Sgemm:
    """float32 product of two square matrices of 2048, NumPy's BLAS.  Takes no parameters but `size`."""

    def __init__(self, params: Mapping[str, Any], threads: int) -> None:
        size = int(params.get("size", SIZE))
        rng = np.random.default_rng(0)
        self._left, self._right = (rng.random((size, size), dtype=np.float32) - np.float32(0.5) for _ in range(2))
        self._product = np.empty((size, size), np.float32)
        self.facts: dict[str, Any] = {"gflop": 2e-9 * size**3, "blas_kernel": blas_kernel(), "numpy": np.__version__}

    def check(self) -> list[ParityFigure]:
        """Some rows against float64.

        Partial sums of n products of random sign stay below sqrt(n) / 4; n roundings of them, of random sign too,
        add up to sqrt(n) * sqrt(n) / 4 * 2^-24.
        """
        self.run()
        rows = slice(0, len(self._left), max(1, len(self._left) // 16))
        exact = self._left[rows].astype(np.float64) @ self._right.astype(np.float64)
        value = float(np.abs(self._product[rows] - exact).max())
        budget = len(self._left) / 4 * 2.0**-24
        return [ParityFigure(figure="product", value=value, budget=budget, unit="abs", passed=value <= budget)]

    def run(self) -> Sample:
        """One product."""
        with stopwatch() as sample:
            np.matmul(self._left, self._right, out=self._product)
        return sample
