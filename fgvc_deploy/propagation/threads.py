"""Sharing independent jobs among threads that end with the call.  No arithmetic."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.blas_threads import one_blas_thread

Job = TypeVar("Job")


def worker_count(threads: int | None) -> int:
    """The number of threads asked for, or the number of cores this process may run on."""
    if threads is None:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if threads < 1:
        raise InputError(f"{threads} threads cannot run anything: give at least 1, or none for all cores")
    return threads


def run_jobs(function: Callable[[Job], None], jobs: Sequence[Job], threads: int) -> None:
    """Run `function` on every job, on at most `threads` threads with BLAS held to one thread each.

    Where BLAS cannot be held, jobs run one after the other and BLAS threads as it likes.  An error in a job is raised
    here; leaving early (Ctrl-C) cancels the jobs that have not begun.
    """
    with one_blas_thread() as held:
        workers = min(threads, len(jobs)) if held else 1
        if workers == 1:
            for job in jobs:
                function(job)
            return
        # A pool of its own costs 0.2 ms a call, survives fork and leaves nothing to shut down.
        with ThreadPoolExecutor(workers, thread_name_prefix="fgvc-propagation") as pool:
            for _ in pool.map(function, jobs):
                pass
