"""Sharing jobs among threads: BLAS is held and given back, errors come through, nothing is left running."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fgvc_deploy.propagation import blas_threads
from fgvc_deploy.propagation.blas_threads import one_blas_thread
from fgvc_deploy.propagation.threads import run_jobs, worker_count


def blas_count() -> int:
    control = blas_threads._openblas()
    if control is None:
        pytest.skip("this NumPy is not linked to OpenBLAS")
    return control.read()


def test_blas_is_held_and_given_back() -> None:
    before = blas_count()
    with one_blas_thread() as outer, one_blas_thread() as inner:
        assert (outer, inner, blas_count()) == (True, True, 1)
    assert blas_count() == before
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert blas_count() == before


def test_overlapping_holders_give_back_once() -> None:
    before = blas_count()
    first, second = one_blas_thread(), one_blas_thread()
    with first:
        second.__enter__()
    assert blas_count() == 1
    second.__exit__(None, None, None)
    assert blas_count() == before


@pytest.mark.parametrize(("value", "held"), [("1", True), ("2", False), (None, False)])
def test_without_openblas_the_environment_decides(
    value: str | None, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas_threads, "_openblas", lambda: None)
    for name in blas_threads.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv("MKL_NUM_THREADS", value)
    names: set[str] = set()
    meet = threading.Barrier(2 if held else 1, timeout=20)

    def job(_: int) -> None:
        names.add(threading.current_thread().name)
        meet.wait()

    run_jobs(job, [0, 1], threads=2)
    assert len(names) == (2 if held else 1)


def test_every_job_runs_once_on_as_many_threads() -> None:
    blas_count()
    meet = threading.Barrier(3, timeout=20)
    done: list[int] = []

    def job(number: int) -> None:
        if number < 3:
            meet.wait()
        done.append(number)

    run_jobs(job, list(range(20)), threads=3)
    assert sorted(done) == list(range(20))


def test_an_error_comes_through_and_no_thread_is_left() -> None:
    before = threading.active_count()

    def job(number: int) -> None:
        if number == 2:
            raise RuntimeError("tile 2 failed")

    with pytest.raises(RuntimeError, match="tile 2 failed"):
        run_jobs(job, list(range(50)), threads=2)
    assert threading.active_count() == before


def test_concurrent_calls_from_several_threads() -> None:
    before = blas_count()
    done: list[int] = []
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda _: run_jobs(done.append, list(range(10)), threads=2), range(8)))
    assert len(done) == 80
    assert blas_count() == before


def test_worker_count() -> None:
    assert worker_count(3) == 3
    assert worker_count(None) >= 1
