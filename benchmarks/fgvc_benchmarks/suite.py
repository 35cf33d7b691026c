"""Running a suite: groups of cases, each checked, then measured interleaved, then written down.

What cases are is said in `cases.py`, which there are in `latency.py` and `kernels.py`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fgvc_benchmarks.cases import Case, Comparison, Group
from fgvc_benchmarks.gemm import worker_environment
from fgvc_benchmarks.provenance import Configuration
from fgvc_benchmarks.quiet import NOTICEABLE_CORES, watch_bystanders
from fgvc_benchmarks.records import Measurement, Ratio, Record, Status, append, is_complete, measurement, ratio, read
from fgvc_benchmarks.timing import Interval, Sample, interleave, ratio_interval
from fgvc_benchmarks.workers import Unavailable, Worker, WorkerFault
from fgvc_deploy.bundle import ParityFigure

Say = Callable[[str], None]
Advance = Callable[[], None]


@dataclass
class Run:
    """One case while its group is measured."""

    case: Case
    worker: Worker
    parity: tuple[ParityFigure, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    failed: bool = False
    repeats: int = 1
    peak: int = 0
    samples: list[Sample] = field(default_factory=list)

    def prepare(self) -> None:
        """Build, check and warm up; a case that cannot go on gets its reason instead."""
        try:
            self.worker.start()
            answer = self.worker.check()
            self.parity = tuple(ParityFigure.model_validate(figure) for figure in answer["parity"])
            if answer["failed"]:
                self.failed, self.reason = True, answer["failed"]
                return
            warm = self.worker.warm(2 if self.case.rounds is None else 0)
            self.facts, self.repeats = warm["facts"], warm["repeats"]
        except Unavailable as error:
            self.reason = str(error)
        except WorkerFault as error:
            self.failed, self.reason = True, str(error)

    def sample(self) -> Sample:
        """Take one sample; a case whose process breaks is failed and keeps none."""
        if self.failed:
            return Sample()
        try:
            sample, self.peak = self.worker.run()
        except WorkerFault as error:
            self.failed, self.reason = True, str(error)
            self.samples.clear()
            return Sample()
        self.samples.append(sample)
        return sample

    def measurement(self) -> Measurement | None:
        """The samples summed up; None when there are none."""
        return measurement(self.samples, self.repeats, self.peak) if self.samples else None


def run_suite(
    groups: Sequence[Group],
    configuration: Configuration,
    out: Path,
    *,
    fresh: bool,
    say: Say,
    progress: Callable[[str, int], Any],
) -> list[Record]:
    """Measure every group that `out` does not hold for this configuration; returns the new records.

    `out` is a JSONL file, appended to after each group.  `fresh` measures again what is there.  `progress(what,
    total)` is a context manager that yields a function to call after each step.
    """
    written: list[Record] = []
    stored = [] if fresh else read(out)
    for group in groups:
        cases = {case.name: case.identity() for case in group.cases}
        if is_complete(stored, configuration, group.name, cases):
            say(f"{group.name}: measured already with this configuration, skipped")
            continue
        records = measure_group(group, configuration, progress)
        append(out, records)
        written += records
        for record in records:
            say(line(record))
        _warn_if_busy(records, say)
    return written


def _warn_if_busy(records: Sequence[Record], say: Say) -> None:
    busy = records[0].other_cores
    if busy is not None and busy > NOTICEABLE_CORES:
        say(f"{records[0].group}: other processes used {busy:.2f} cores meanwhile, so these times are too long")


def measure_group(group: Group, configuration: Configuration, progress: Callable[[str, int], Any]) -> list[Record]:
    """Check every case of a group, then measure those that passed, interleaved."""
    environment = worker_environment(os.environ, configuration.threads).variables
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with ExitStack() as stack:
        runs = [
            Run(case, stack.enter_context(Worker(case.subject, case.params, configuration.threads, environment)))
            for case in group.cases
        ]
        rounds = {case.name: case.rounds or configuration.rounds for case in group.cases}
        with progress(group.name, len(runs) + sum(rounds.values())) as advance:
            for run in runs:
                run.prepare()
                advance()
            with watch_bystanders([run.worker.pid for run in runs if not run.reason]) as others:
                _take_samples([run for run in runs if not run.reason], rounds, advance)
    common = {"configuration": configuration, "group": group.name, "run": secrets.token_hex(6)}
    common |= {"started": started, "other_cores": others.cores}
    return [_record(run, _ratios(group, runs, run), common) for run in runs]


def _take_samples(runs: Sequence[Run], rounds: Mapping[str, int], advance: Advance) -> None:
    by_name = {run.case.name: run for run in runs}
    wanted = {name: rounds[name] for name in by_name}
    for _ in interleave({name: run.sample for name, run in by_name.items()}, wanted):
        advance()


def _ratios(group: Group, runs: Sequence[Run], run: Run) -> dict[str, Ratio]:
    by_name = {other.case.name: other for other in runs}
    return {
        comparison.name: ratio(comparison.to, _compare(comparison, run, by_name[comparison.to]))
        for comparison in group.comparisons
        if comparison.case == run.case.name and run.samples and by_name[comparison.to].samples
    }


def _compare(comparison: Comparison, run: Run, other: Run) -> Interval:
    own = [comparison.figure(sample, run.facts) for sample in run.samples]
    others = [comparison.of_other(sample, other.facts) for sample in other.samples]
    return ratio_interval(own, others)


def _record(run: Run, ratios: dict[str, Ratio], common: Mapping[str, Any]) -> Record:
    status: Status = "failed" if run.failed else "unavailable" if run.reason else "ok"
    return Record(
        **common,
        case=run.case.name,
        params=run.case.identity(),
        facts=run.facts,
        status=status,
        reason=run.reason,
        parity=run.parity,
        measurement=run.measurement(),
        ratios=ratios,
    )


def line(record: Record) -> str:
    """One line about a record for people; a case that is not ok shows its reason and no speed."""
    if record.measurement is None:
        return f"{record.case}: {record.status}: {record.reason}"
    took = record.measurement
    text = f"{record.case}: {took.wall_s.median:.4g} s, {took.cpu_s.median:.4g} CPU-s"
    return text + "".join(f", {name} {r.value:.3g} [{r.low:.3g}, {r.high:.3g}]" for name, r in record.ratios.items())
