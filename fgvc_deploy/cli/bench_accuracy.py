"""`fgvc-deploy bench accuracy`: options of the accuracy matrix.  The work is in `fgvc_benchmarks.accuracy.matrix`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fgvc_deploy.console import Reporter


def accuracy(
    root: Annotated[Path, typer.Option(help="Folder with davis16, badja, planar_video, as ../shared/data.")],
    model: Annotated[
        list[Path] | None, typer.Option(help="Bundle folder or .zip, repeatable; default: the one shipped.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="badja, davis, planar, flow or synthetic, repeatable; default: first three."),
    ] = None,
    propagation: Annotated[
        list[str] | None, typer.Option(help="Propagation backend, repeatable; default: what auto takes.")
    ] = None,
    compat: Annotated[
        Literal["both", "corrected", "reference"], typer.Option(help="Mode of tracker and metrics.")
    ] = "both",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to use; default: all cores.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for records, table and plot.")] = Path("fgvc-bench"),
    page: Annotated[Path | None, typer.Option(help="Also write into this page, between its marks.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Score every model, precision, backend and compat mode: accuracy beside time, size and parity.

    Sequences that the folder of records holds for the same configuration are not tracked again.
    """
    from fgvc_benchmarks.extras import require

    require("matplotlib")
    from fgvc_benchmarks.accuracy.matrix import DATASETS, MODES, cases, check_datasets, run_matrix
    from fgvc_benchmarks.accuracy.matrix_page import matrix_of, write_into, write_results
    from fgvc_benchmarks.provenance import ROOT, commit
    from fgvc_deploy.model import DEFAULT_BUNDLE
    from fgvc_deploy.propagation.threads import worker_count

    reporter, count = Reporter(quiet=quiet), worker_count(threads)
    datasets = check_datasets(dataset or DATASETS)
    todo = list(cases(model or [DEFAULT_BUNDLE], propagation or ["auto"], MODES if compat == "both" else [compat]))
    rows = run_matrix(todo, root, datasets, out, count, reporter.say, reporter.progress)
    matrix = matrix_of(rows, count, commit(ROOT).sha)
    reporter.say(f"table: {write_results(matrix, out)}")
    if page:
        write_into(page, matrix)
        reporter.say(f"written into {page}")
