"""A suite end to end on small cases, each in its own process: records, ratios, failures, resuming."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench_records import configuration
from fgvc_benchmarks import kernels, latency
from fgvc_benchmarks.cases import Case, Comparison, Group, gemm_rate, match_rate, wall
from fgvc_benchmarks.gemm import worker_environment
from fgvc_benchmarks.records import read
from fgvc_benchmarks.subjects.base import at_most
from fgvc_benchmarks.subjects.table import SUBJECTS
from fgvc_benchmarks.suite import run_suite
from fgvc_benchmarks.timing import Sample
from fgvc_benchmarks.worker import Server
from fgvc_benchmarks.workers import Unavailable, Worker, WorkerFault
from fgvc_deploy.bundle import ParityFigure

GEOMETRY = {"name": "t", "height": 13, "width": 17, "channels": 24, "radius": 3.5, "frames": 3}
KERNEL: dict[str, Any] = {"geometry": GEOMETRY, "points": 2, "backend": "numpy", "options": {}}
GROUP = Group(
    "small",
    (
        Case("numpy", "propagation", KERNEL),
        Case("absent", "propagation", KERNEL | {"backend": "warp"}),
        Case("sgemm", "sgemm", {"size": 128}, rounds=2),
    ),
    (
        Comparison("share_of_sgemm", "numpy", "sgemm", match_rate, gemm_rate),
        Comparison("beside_absent", "numpy", "absent", wall, wall),
    ),
)
ENVIRONMENT = worker_environment({"PATH": "/usr/bin:/bin"}, 1).variables


class Steps:
    """A progress display that counts."""

    def __init__(self) -> None:
        self.total = self.done = 0

    @contextmanager
    def __call__(self, what: str, total: int) -> Iterator[Any]:
        self.total += total
        yield self._advance

    def _advance(self) -> None:
        self.done += 1


def test_a_group_is_checked_measured_written_and_then_skipped(tmp_path: Path) -> None:
    said: list[str] = []
    out, steps = tmp_path / "kernels.jsonl", Steps()
    mine = configuration(threads=1, rounds=4)
    run_suite([GROUP], mine, out, fresh=False, say=said.append, progress=steps)
    records = {record.case: record for record in read(out)}
    assert {case: record.status for case, record in records.items()} == {
        "numpy": "ok",
        "absent": "unavailable",
        "sgemm": "ok",
    }
    numpy, sgemm = records["numpy"].measurement, records["sgemm"].measurement
    assert numpy is not None
    assert sgemm is not None
    assert (len(numpy.wall_s.samples), len(sgemm.wall_s.samples)) == (4, 2)
    assert numpy.repeats > 1
    assert 10**7 < numpy.peak_memory_bytes < 10**9
    assert set(records["numpy"].ratios) == {"share_of_sgemm"}
    assert records["absent"].reason.startswith("propagation backend 'warp' cannot run here")
    assert len({record.run for record in records.values()}) == 1
    assert steps.done == 3 + 4 + 2
    run_suite([GROUP], mine, out, fresh=False, say=said.append, progress=steps)
    assert len(read(out)) == 3
    assert "skipped" in said[-1]
    run_suite([GROUP], mine, out, fresh=True, say=said.append, progress=steps)
    assert len(read(out)) == 6


class Wrong:
    """A subject whose result is off."""

    def __init__(self, value: float) -> None:
        self.facts: dict[str, Any] = {}
        self._value = value

    def check(self) -> list[ParityFigure]:
        return [at_most("right", 0.0, 1.0, "px"), at_most("wrong", self._value, 1.0, "px")]

    def run(self) -> Sample:
        raise AssertionError("timed in spite of a failed check")


@pytest.mark.parametrize(("value", "why"), [(3.0, "wrong: 3 px is over 1"), (math.nan, "wrong: .* is nan")])
def test_a_failed_check_is_an_answer(value: float, why: str) -> None:
    assert re.fullmatch(why, Server(Wrong(value)).answer({"do": "check"})["failed"])


def test_a_case_that_fails_its_check_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is asked for nothing after its check failed."""
    monkeypatch.setattr(Worker, "check", lambda self: Server(Wrong(3.0)).answer({"do": "check"}))
    monkeypatch.setattr(Worker, "warm", lambda self, runs: pytest.fail("warmed up"))
    monkeypatch.setattr(Worker, "run", lambda self: pytest.fail("timed"))
    said: list[str] = []
    group = Group("wrong", (GROUP.cases[0],))
    out = tmp_path / "k.jsonl"
    (record,) = run_suite([group], configuration(), out, fresh=False, say=said.append, progress=Steps())
    assert record.status == "failed"
    assert record.measurement is None
    assert said == ["numpy: failed: wrong: 3 px is over 1"]
    assert [figure.passed for figure in record.parity] == [True, False]
    assert read(out) == [record]


def test_a_worker_that_dies_says_its_last_words() -> None:
    with Worker("sgemm", {"size": "many"}, 1, ENVIRONMENT) as worker, pytest.raises(WorkerFault, match="many"):
        worker.start()
    with Worker("sgemm", {"size": 64}, 1, ENVIRONMENT) as worker:
        worker.start()
        worker._process.kill()
        with pytest.raises(WorkerFault, match="ended unexpectedly"):
            worker.check()


def test_what_cannot_run_here_is_told_apart_from_what_breaks() -> None:
    with Worker("propagation", KERNEL | {"backend": "warp"}, 1, ENVIRONMENT) as worker, pytest.raises(Unavailable):
        worker.start()


def test_a_case_that_breaks_while_it_is_measured_is_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: Worker) -> tuple[Sample, int]:
        self._process.kill()
        raise WorkerFault("out of memory")

    monkeypatch.setattr(Worker, "run", die)
    out = tmp_path / "k.jsonl"
    groups = [Group("dies", (GROUP.cases[2],))]
    (record,) = run_suite(groups, configuration(), out, fresh=False, say=print, progress=Steps())
    assert (record.status, record.reason) == ("failed", "out of memory")


def test_library_output_does_not_disturb_the_protocol() -> None:
    """What a library prints to standard output, from Python or below it, goes to standard error."""
    code = "import os, sys; from fgvc_benchmarks.worker import _send, _take_stdout; channel = _take_stdout(); "
    code += "print('noise', flush=True); os.write(1, b'noise'); _send(channel, {'a': 1})"
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == '{"a": 1}\n'
    assert done.stderr.count("noise") == 2


@pytest.mark.parametrize("quick", [False, True])
def test_tables_are_consistent(quick: bool, toy_bundle: Path) -> None:
    groups = [
        *kernels.kernel_groups(kernels.KernelOptions(quick=quick, isas=not quick)),
        *latency.latency_groups(latency.LatencyOptions(str(toy_bundle), quick=quick)),
    ]
    assert len({group.name for group in groups}) == len(groups)
    for group in groups:
        names = [case.name for case in group.cases]
        assert len(set(names)) == len(names)
        assert all(case.subject in SUBJECTS for case in group.cases)
        assert all(c.case in names and c.to in names for c in group.comparisons)


def test_latency_covers_what_the_issue_asks_for(toy_bundle: Path) -> None:
    groups = latency.latency_groups(latency.LatencyOptions(str(toy_bundle)))
    cases = {case.name for group in groups for case in group.cases}
    assert {f"points={n}" for n in (1, 5, 16, 64, 256, 1024)} <= cases
    assert {f"size={n}" for n in (128, 256, 512)} <= cases
    assert {f"memory={n}" for n in (1, 5, 20)} <= cases
    assert {f"all pixels, points={n}" for n in (1, 256)} <= cases
    assert {"dense pipeline", "stream=in turn", "stream=encode ahead"} <= cases
    memory = next(case for group in groups for case in group.cases if case.name == "memory=20")
    assert memory.params["settings"] == {"memory": 20}
