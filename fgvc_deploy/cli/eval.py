"""`fgvc-deploy eval`: options of the accuracy evaluation.  The work is in `fgvc_benchmarks.accuracy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fgvc_deploy.console import Reporter

HOW = "How"
OUTPUT = "Results"


def evaluate(
    dataset: Annotated[
        Literal["tapvid", "badja", "jhmdb", "davis", "planar", "flow", "synthetic", "cycle"],
        typer.Argument(help="Data set, in its official layout."),
    ],
    root: Annotated[Path, typer.Option(help="Folder of the data set; docs/evaluation.md shows the layouts.")],
    model: Annotated[Path | None, typer.Option(help="Bundle folder or .zip; default: the one shipped.")] = None,
    compat: Annotated[
        Literal["corrected", "reference"],
        typer.Option(
            help="reference: tracker, protocol and metric as the published code has them.", rich_help_panel=HOW
        ),
    ] = "corrected",
    size: Annotated[
        str | None,
        typer.Option(
            help="What the encoder sees: HxW, short:256 or native; default: by data set.", rich_help_panel=HOW
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="auto, one backend, or encoder+propagation.", rich_help_panel=HOW)
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads to use; default: all cores.", rich_help_panel=HOW)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Replace a propagation setting, as in memory=9; repeatable.", rich_help_panel=HOW),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="DAVIS: list of sequences, as in val; synthetic: calibration or test.", rich_help_panel=HOW
        ),
    ] = None,
    year: Annotated[
        Literal["2016", "2017"] | None, typer.Option(help="DAVIS: year of the list.", rich_help_panel=HOW)
    ] = None,
    query_mode: Annotated[
        Literal["first", "strided"], typer.Option(help="TAP-Vid: where queries start.", rich_help_panel=HOW)
    ] = "first",
    round_trip: Annotated[
        bool,
        typer.Option("--round-trip", help="Follow points back home too, for their visibility.", rich_help_panel=HOW),
    ] = False,
    sequence: Annotated[
        list[str] | None, typer.Option(help="Only this sequence; repeatable.", rich_help_panel=HOW)
    ] = None,
    overlays: Annotated[
        Path | None, typer.Option(help="Folder for a video of every sequence.", rich_help_panel=OUTPUT)
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Folder for records; a stopped evaluation continues from them.", rich_help_panel=OUTPUT),
    ] = Path("fgvc-eval"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Track again what the folder already holds.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when done, nothing else.")] = False,
) -> None:
    """Score a model on a published benchmark, or on synthetic scenes with exact truth.

    Appends to DATASET.jsonl in the folder of records: sequences it holds for the same model, settings, data, code and
    machine are not tracked again.

    Example: `fgvc-deploy eval badja --root ../shared/data`
    """
    from fgvc_benchmarks.accuracy.answer import answer
    from fgvc_benchmarks.accuracy.base import EvalOptions
    from fgvc_benchmarks.accuracy.evaluation import Places
    from fgvc_benchmarks.accuracy.evaluation import evaluate as run
    from fgvc_benchmarks.accuracy.tasks.table import find_task
    from fgvc_deploy.model import load

    reporter = Reporter(quiet=quiet, as_json=as_json)
    options = EvalOptions(
        compat=compat,
        size=size,
        backend=backend,
        threads=threads,
        split=split,
        year=year,
        query_mode=query_mode,
        round_trip=round_trip,
        settings=parse_settings(settings or []),
    )
    done = run(
        find_task(dataset),
        load(model, threads=threads),
        options,
        Places(root, out, overlays),
        only=tuple(sequence or ()),
        fresh=fresh,
        say=reporter.say,
        progress=reporter.progress,
    )
    reporter.say(done.summary())
    reporter.result(answer(done))


def parse_settings(texts: list[str]) -> dict[str, float | int | str]:
    """`["memory=9", "mode=local"]` -> names and values; numbers become numbers.

    Raises InputError for a text that is not name=value.
    """
    from fgvc_deploy.errors import InputError

    found: dict[str, float | int | str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals or not value:
            raise InputError(f"--set {text!r} is not understood: write it as name=value, as in --set memory=9.")
        found[name.strip()] = _number(value.strip())
    return found


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
