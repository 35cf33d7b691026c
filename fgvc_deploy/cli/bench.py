"""`fgvc-deploy bench`: options of the benchmark verbs.  The suites themselves are in `fgvc_benchmarks`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fgvc_deploy.cli.bench_accuracy import accuracy
from fgvc_deploy.console import Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fgvc_benchmarks.cases import Group
    from fgvc_deploy.bundle import Bundle

DEFAULT_OUT = Path("fgvc-bench")

bench = typer.Typer(
    name="bench",
    help="Measure speed, with a correctness check before every figure.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Model = Annotated[Path | None, typer.Option(help="Bundle folder or .zip; default: the one shipped.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads to use; default: all cores.")]
Quick = Annotated[bool, typer.Option("--quick", help="A small subset, in about a minute.")]
Dense = Annotated[bool, typer.Option("--dense/--no-dense", help="Measure the dense reference beside it (slow).")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure again what the folder already holds.")]
Out = Annotated[Path, typer.Option(help="Folder for records and report; records are appended.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


@bench.command("latency")
def latency(
    model: Model = None,
    backend: Annotated[str, typer.Option(help="auto, one backend, or encoder+propagation.")] = "auto",
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Samples of each case.")] = 7,
    quick: Quick = False,
    dense: Dense = True,
    fresh: Fresh = False,
    out: Out = DEFAULT_OUT,
    quiet: Quiet = False,
) -> None:
    """Time a whole tracker step: against points, frame size, memory length, and by backend.

    Appends to latency.jsonl and rewrites report.md.  Cases that the folder holds for this very machine, code and
    model are not measured again.  Exit code 1 when a case fails its correctness check; such a case gets no speed.
    """
    from fgvc_benchmarks import latency as suite
    from fgvc_benchmarks.extras import require
    from fgvc_deploy.bundle import open_bundle
    from fgvc_deploy.model import DEFAULT_BUNDLE

    require("matplotlib", *(["torch"] if dense else []))
    path = (model or DEFAULT_BUNDLE).resolve()
    options = suite.LatencyOptions(str(path), backend, quick, dense)
    groups = suite.latency_groups(options)
    _measure(suite.SUITE, groups, open_bundle(path), threads, rounds, fresh, out, Reporter(quiet=quiet))


@bench.command("kernels")
def kernels(
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=1, help="Samples of each case.")] = 9,
    quick: Quick = False,
    dense: Dense = True,
    isas: Annotated[bool, typer.Option("--isas", help="The native kernel on every instruction set here.")] = False,
    fresh: Fresh = False,
    out: Out = DEFAULT_OUT,
    quiet: Quiet = False,
    static: Annotated[
        bool,
        typer.Option("--static", help="Print counts of the GPU kernels' machine code and a model; time nothing."),
    ] = False,
) -> None:
    """Time the propagation backends on three geometries, beside this machine's matrix product.

    Appends to kernels.jsonl and rewrites report.md; resumes and fails as `bench latency` does.  With --static it
    prints what stands in docs/static-gates.md instead, and needs neither a GPU nor triton.
    """
    if static:
        from fgvc_benchmarks.static_gates import page

        Reporter(quiet=quiet).say(page())
        return
    from fgvc_benchmarks import kernels as suite
    from fgvc_benchmarks.extras import require

    require("matplotlib", *(["torch"] if dense else []))
    groups = suite.kernel_groups(suite.KernelOptions(quick, dense, isas))
    _measure(suite.SUITE, groups, None, threads, rounds, fresh, out, Reporter(quiet=quiet))


def _measure(
    suite: str,
    groups: Sequence[Group],
    bundle: Bundle | None,
    threads: int | None,
    rounds: int,
    fresh: bool,
    out: Path,
    reporter: Reporter,
) -> None:
    import os

    from fgvc_benchmarks.gemm import OVERRIDES
    from fgvc_benchmarks.provenance import configuration
    from fgvc_benchmarks.report import write_report
    from fgvc_benchmarks.suite import run_suite
    from fgvc_deploy.propagation.threads import worker_count

    removed = [name for name in OVERRIDES if name in os.environ]
    if removed:
        reporter.say(f"{', '.join(removed)} would change the BLAS kernels: taken out of the measured processes.")
    described = configuration(
        suite, threads=worker_count(threads), rounds=rounds, bundle=bundle, removed_environment=removed
    )
    records = run_suite(
        groups, described, out / f"{suite}.jsonl", fresh=fresh, say=reporter.say, progress=reporter.progress
    )
    reporter.say(f"report: {write_report(out)}")
    if any(record.status == "failed" for record in records):
        raise typer.Exit(1)


bench.command("accuracy")(accuracy)


@bench.command("compare")
def compare(
    base: Annotated[str, typer.Argument(help="Commit, branch or tag to compare the working tree with.")],
    model: Model = None,
    steps: Annotated[bool, typer.Option("--steps/--no-steps", help="Also compare whole tracker steps.")] = True,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=5, help="Samples of each case and side.")] = 15,
    quiet: Quiet = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when done, nothing else.")] = False,
) -> None:
    """Compare the speed of the working tree with another commit, both measured in turns.

    Exit code 1 when a case is slower by more than 5 % with a 95 % interval that excludes 1, or no longer correct.

    Example: `fgvc-deploy bench compare main`
    """
    from fgvc_benchmarks import compare as suite
    from fgvc_benchmarks.provenance import ROOT
    from fgvc_deploy.model import DEFAULT_BUNDLE
    from fgvc_deploy.propagation.threads import worker_count

    reporter = Reporter(quiet=quiet, as_json=as_json)
    cases = suite.compared_cases(str((model or DEFAULT_BUNDLE).resolve()) if steps else None)
    count = worker_count(threads)
    outcomes = []
    for outcome in suite.compare(ROOT, base, cases, threads=count, rounds=rounds, progress=reporter.progress):
        outcomes.append(outcome)
        reporter.say(suite.line(outcome))
    code = suite.exit_code(outcomes)
    reporter.result({"base": base, "outcomes": [outcome.model_dump(mode="json") for outcome in outcomes]})
    raise typer.Exit(code)


@bench.command("report")
def report(
    folder: Annotated[Path, typer.Argument(help="Folder that holds latency.jsonl or kernels.jsonl.")] = DEFAULT_OUT,
    quiet: Quiet = False,
) -> None:
    """Write report.md and its plots from the records of a folder."""
    from fgvc_benchmarks.extras import require

    require("matplotlib")
    from fgvc_benchmarks.report import write_report

    Reporter(quiet=quiet).say(f"report: {write_report(folder)}")
