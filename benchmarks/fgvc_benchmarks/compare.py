"""`bench compare BASE`: whether the working tree is slower than another commit.

Each case runs in two processes, one for each side, interleaved; the ratio of the medians decides, with its bootstrap
interval.  How the sides come about is in `worktree.py`.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from fgvc_benchmarks.cases import Case
from fgvc_benchmarks.gemm import worker_environment
from fgvc_benchmarks.kernels import GEOMETRIES, kernel_group
from fgvc_benchmarks.latency import LatencyOptions, step_params
from fgvc_benchmarks.suite import Run
from fgvc_benchmarks.timing import Interval, interleave, ratio_interval
from fgvc_benchmarks.workers import Worker
from fgvc_benchmarks.worktree import Side, two_sides
from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import FrozenModel

THRESHOLD = 1.05
ROUNDS = 15
CONTROL = "control"
Verdict = Literal["slower", "faster", "same", "broken", "not compared"]


class Outcome(FrozenModel):
    """One case on both sides: median wall-clock seconds, and working tree / base with its 95 % interval.

    `slower` and `faster` mean by more than 5 % with an interval that excludes 1.  `broken`: base runs it, the working
    tree does not, or not correctly.  `not compared`: base cannot run it, or neither can; `reason` says why.
    """

    case: str
    verdict: Verdict
    base_s: float | None = None
    head_s: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    cpu_ratio: float | None = None
    reason: str = ""


def compared_cases(bundle: str | None) -> list[Case]:
    """Sgemm as a control (both sides run the same code), every kernel, and with a bundle some tracker steps."""
    kernels = [c for g in GEOMETRIES for c in kernel_group(g, dense=False).cases if c.subject == "propagation"]
    cases = [Case(CONTROL, "sgemm", {"size": 2048}), *kernels]
    if bundle is not None:
        options = LatencyOptions(bundle)
        for changes in ({"points": 5}, {"points": 256}, {"size": 128}):
            name = "step " + ", ".join(f"{key}={value}" for key, value in changes.items())
            cases.append(Case(name, "tracker", step_params(options, **changes)))
    return cases


def compare(
    root: Path,
    base: str,
    cases: Sequence[Case],
    *,
    threads: int,
    rounds: int,
    progress: Callable[[str, int], Any],
) -> Iterator[Outcome]:
    """Compare the working tree at `root` with commit `base`, case by case.

    A difference counts only if it is found twice, in new processes: of a dozen 95 % intervals one is often wrong.
    Raises InputError when `base` names no commit.  `progress(what, total)` is a context manager that yields a
    function to call after each step.
    """
    with two_sides(root, base) as sides:
        for case in cases:
            first = _compare_case(case, sides, threads, rounds, progress)
            if first.verdict not in ("slower", "faster"):
                yield first
                continue
            again = _compare_case(case, sides, threads, rounds, progress)
            yield again if again.verdict == first.verdict else again.model_copy(update={"verdict": "same"})


def _compare_case(
    case: Case, sides: tuple[Side, Side], threads: int, rounds: int, progress: Callable[[str, int], Any]
) -> Outcome:
    environment = worker_environment(os.environ, threads).variables
    with ExitStack() as stack, progress(case.name, 2 + 2 * rounds) as advance:
        runs = []
        for side in sides:
            worker = Worker(case.subject, case.params, threads, environment, side.search_path)
            runs.append(Run(case, stack.enter_context(worker)))
        for run in runs:
            run.prepare()
            advance()
        if not any(run.reason for run in runs):
            named = {"base": runs[0].sample, "head": runs[1].sample}
            for _ in interleave(named, dict.fromkeys(named, rounds)):
                advance()
    return _outcome(case, *runs)


def _outcome(case: Case, base: Run, head: Run) -> Outcome:
    if base.reason:
        return Outcome(case=case.name, verdict="not compared", reason=f"base: {base.reason}")
    if head.reason:
        return Outcome(case=case.name, verdict="broken", reason=f"working tree: {head.reason}")
    base_wall, head_wall = ([sample.wall_s for sample in run.samples] for run in (base, head))
    base_cpu, head_cpu = (statistics.median(s.cpu_s for s in run.samples) for run in (base, head))
    interval = ratio_interval(head_wall, base_wall)
    return Outcome(
        case=case.name,
        verdict=judge(interval),
        base_s=statistics.median(base_wall),
        head_s=statistics.median(head_wall),
        ratio=interval.value,
        low=interval.low,
        high=interval.high,
        cpu_ratio=head_cpu / base_cpu,
    )


def judge(ratio: Interval) -> Verdict:
    """Slower or faster by more than the threshold, with an interval that excludes 1; otherwise the same."""
    if ratio.value > THRESHOLD and ratio.low > 1:
        return "slower"
    if ratio.value < 1 / THRESHOLD and ratio.high < 1:
        return "faster"
    return "same"


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 when the working tree is slower or broken in a case, else 0.

    Raises InputError when nothing could be compared, and when the control differs: then the machine was not quiet
    enough to judge.
    """
    judged = [outcome for outcome in outcomes if outcome.case != CONTROL]
    if all(outcome.verdict == "not compared" for outcome in judged):
        raise InputError("nothing could be compared: the base commit runs none of the cases.")
    if any(o.case == CONTROL and o.verdict != "same" for o in outcomes):
        raise InputError("the control, the same code on both sides, differs: the machine is not quiet; try again.")
    return 1 if any(outcome.verdict in ("slower", "broken") for outcome in judged) else 0


def line(outcome: Outcome) -> str:
    """One line for people."""
    if outcome.ratio is None:
        return f"{outcome.case}: {outcome.verdict}: {outcome.reason}"
    return (
        f"{outcome.case}: {outcome.verdict}: {outcome.base_s:.4g} s -> {outcome.head_s:.4g} s, "
        f"x{outcome.ratio:.3f} [{outcome.low:.3f}, {outcome.high:.3f}], CPU x{outcome.cpu_ratio:.3f}"
    )
