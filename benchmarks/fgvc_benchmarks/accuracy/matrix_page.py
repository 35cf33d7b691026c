"""What `bench accuracy` leaves behind: accuracy.json, the plot, and the measured part of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fgvc_benchmarks import pages, plots
from fgvc_benchmarks.accuracy.intervals import MeanInterval
from fgvc_benchmarks.accuracy.matrix import Row, Score
from fgvc_benchmarks.accuracy.pareto import pareto_plot
from fgvc_benchmarks.accuracy.published import published_table
from fgvc_deploy.results.run_json import Machine, machine, versions
from fgvc_deploy.settings import FrozenModel

PLOT = "accuracy_pareto.svg"


class Matrix(FrozenModel):
    """All rows, and what they were measured on."""

    machine: Machine
    versions: dict[str, str]
    threads: int
    commit: str
    rows: tuple[Row, ...]


def matrix_of(rows: Sequence[Row], threads: int, commit: str) -> Matrix:
    """Rows with the machine they were measured on."""
    return Matrix(machine=machine(), versions=versions(), threads=threads, commit=commit, rows=tuple(rows))


def write_results(matrix: Matrix, folder: Path) -> Path:
    """Write accuracy.json, the plot and accuracy.md into a folder; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accuracy.json").write_text(matrix.model_dump_json(indent=1) + "\n", encoding="utf-8")
    plots.save(pareto_plot(matrix.rows), folder / PLOT)
    page = folder / "accuracy.md"
    page.write_text("# Accuracy\n\n" + measured(matrix, PLOT), encoding="utf-8")
    return page


def write_into(page: Path, matrix: Matrix) -> None:
    """Replace the part of a page between the marks, and draw the plot into images/ beside it.

    Raises InputError when the page has no marks.
    """
    pages.check_marks(page)
    (page.parent / "images").mkdir(exist_ok=True)
    plots.save(pareto_plot(matrix.rows), page.parent / "images" / PLOT)
    pages.write_page(page, measured(matrix, f"images/{PLOT}"))


def measured(matrix: Matrix, plot: str) -> str:
    """Tables and plot as Markdown."""
    parts = [f"![accuracy against processor time]({plot})\n", _summary(matrix), _sequences(matrix), published_table()]
    threads = "one thread" if matrix.threads == 1 else f"{matrix.threads} threads"
    about = f"{matrix.machine.cpu}, {threads}; commit {matrix.commit[:10] or 'unknown'}; " + ", ".join(
        f"{name} {version}" for name, version in matrix.versions.items()
    )
    titles = ("", "## Every combination\n\n", "## By sequence\n\n", "## Published figures and floors\n\n")
    return "\n".join(title + part for title, part in zip(titles, parts, strict=True)) + f"\n{about}.\n"


def _summary(matrix: Matrix) -> str:
    datasets = list(dict.fromkeys((s.dataset, s.figure, s.unit) for row in matrix.rows for s in row.scores))
    titles = [f"{dataset} {figure}" + (", %" if unit == "percent" else "") for dataset, figure, unit in datasets]
    head = ["model", "backend", "compat", *titles, "CPU-s a frame", "s a frame", "GMAC", "MB", "parity"]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|" + "---:|" * (len(titles) + 4) + "---|"]
    for row in matrix.rows:
        scores = {score.dataset: score for score in row.scores}
        cells = [figure_text(scores[dataset]) if dataset in scores else "" for dataset, *_ in datasets]
        lines.append(f"| {' | '.join([row.model, row.backend, row.compat, *cells, *_costs(row), _parity(row)])} |")
    return "\n".join(lines) + "\n"


def figure_text(score: Score) -> str:
    """An average with its interval: percentages with one digit, fractions with three."""
    return MeanInterval(score.average, score.low, score.high).text(1 if score.unit == "percent" else 3)


def cpu_seconds(row: Row) -> float | None:
    """Mean over data sets of the processor seconds a frame; None when nothing was measured."""
    return sum(score.cpu_s for score in row.scores) / len(row.scores) if row.scores else None


def _costs(row: Row) -> list[str]:
    cpu = cpu_seconds(row)
    wall = sum(score.wall_s for score in row.scores) / len(row.scores) if row.scores else None
    gmac = "" if row.gmac is None else f"{row.gmac:.2f}"
    return ["" if cpu is None else f"{cpu:.3f}", "" if wall is None else f"{wall:.3f}", gmac, f"{row.megabytes:.1f}"]


def _parity(row: Row) -> str:
    if row.status != "ok":
        return f"{row.status}: {row.reason}".replace("|", "/")
    failed = [figure.figure for figure in row.parity if not figure.passed]
    return f"failed: {', '.join(failed)}" if failed else f"{len(row.parity)} figures within budget"


def _sequences(matrix: Matrix) -> str:
    """Headline figures of every sequence for each combination that ran."""
    names = list(dict.fromkeys((s.dataset, clip) for row in matrix.rows for s in row.scores for clip in s.sequences))
    ran = [row for row in matrix.rows if row.scores]
    head = " | ".join(f"{row.model}, {row.backend}, {row.compat}" for row in ran)
    lines = [f"| data set | sequence | {head} |", "|---|---|" + "---:|" * len(ran)]
    for dataset, clip in names:
        cells = [_clip_text(row, dataset, clip) for row in ran]
        lines.append(f"| {dataset} | {clip} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _clip_text(row: Row, dataset: str, clip: str) -> str:
    score = next((score for score in row.scores if score.dataset == dataset), None)
    value = None if score is None else score.sequences.get(clip)
    if score is None or value is None:
        return ""
    return f"{value:.1f}" if score.unit == "percent" else f"{value:.3f}"
