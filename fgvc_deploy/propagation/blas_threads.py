"""Holding NumPy's BLAS to one thread while our own threads share the work.

Two workers that each start a two-thread product take twice as long as two that start plain ones (measured, 2 cores).
The limit is a setting of the whole process, so it is taken for the length of a call and counted across threads.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

# PyPI's wheels rename OpenBLAS's symbols; distributions do not.
OPENBLAS_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)
ENVIRONMENT = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")


class _Control(NamedTuple):
    read: Callable[[], int]
    write: Callable[[int], object]


_lock = threading.Lock()
_holders = 0
_threads_before = 1


@cache
def _openblas() -> _Control | None:
    spec = importlib.util.find_spec("numpy._core._multiarray_umath")
    if spec is None or spec.origin is None:
        return None
    # A look-up in NumPy's extension also searches the libraries it is linked to (not on Windows).
    library = ctypes.CDLL(spec.origin)
    for read, write in OPENBLAS_NAMES:
        if hasattr(library, read) and hasattr(library, write):
            return _Control(getattr(library, read), getattr(library, write))
    return None


@contextmanager
def one_blas_thread() -> Iterator[bool]:
    """Hold BLAS to one thread inside the block; yields whether that is known to be so."""
    control = _openblas()
    if control is None:
        yield any(os.environ.get(name) == "1" for name in ENVIRONMENT)
        return
    _enter(control)
    try:
        yield True
    finally:
        _leave(control)


def _enter(control: _Control) -> None:
    global _holders, _threads_before
    with _lock:
        if _holders == 0:
            _threads_before = control.read()
            control.write(1)
        _holders += 1


def _leave(control: _Control) -> None:
    global _holders
    with _lock:
        _holders -= 1
        if _holders == 0:
            control.write(_threads_before)
