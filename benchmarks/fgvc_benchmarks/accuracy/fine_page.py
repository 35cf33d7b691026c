"""What the fine stage brings: every shipped bundle with and without it, as the table of docs/fine-stage.md.

    python -m fgvc_benchmarks.accuracy.fine_page [--data ../shared/data] [--out fgvc-eval/fine] [--write]

Evaluates the planar clip, the synthetic scenes, cycle consistency of unlabelled videos and the Middlebury pairs at
the bundles' own settings.  A stopped run goes on where it was; `--write` puts the table into the page.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from fgvc_benchmarks.accuracy.base import EvalOptions, Figures
from fgvc_benchmarks.accuracy.evaluation import Places, evaluate
from fgvc_benchmarks.accuracy.tasks.table import find_task
from fgvc_benchmarks.pages import write_page
from fgvc_benchmarks.provenance import ROOT, commit
from fgvc_deploy.model import DEFAULT_BUNDLE, load

PAGE = ROOT / "docs" / "fine-stage.md"
BUNDLES = ("edge_lite0", "edge")
FOLDERS = {
    "planar": "planar_video",
    "synthetic": "davis16_train256",
    "cycle": "videos",
    "flow": "middlebury_flow",
}


class Row(NamedTuple):
    """One line of the table; figures are shares unless `unit` says px."""

    label: str
    task: str
    figure: str
    unit: str = "percent"
    bold: bool = False


ROWS = (
    *(Row(f"planar, within {px} px", "planar", f"pts_within_{px}") for px in (1, 2, 4, 8, 16)),
    Row("planar, average", "planar", "average_pts_within_thresh", bold=True),
    *(Row(f"synthetic, within {px} px", "synthetic", f"pts_within_{px}") for px in (1, 2, 8)),
    Row("synthetic, average", "synthetic", "average_pts_within_thresh", bold=True),
    Row("synthetic, average Jaccard", "synthetic", "average_jaccard", bold=True),
    Row("synthetic, occlusion accuracy", "synthetic", "occlusion_accuracy"),
    *(Row(f"cycle, back within {px} px", "cycle", f"returned_within_{px}") for px in (1, 2, 8, 16)),
    Row("cycle, average", "cycle", "average_returned_within_thresh", bold=True),
    Row("Middlebury, mean end-point error, px", "flow", "end_point_error", "px"),
    Row("Middlebury, further than 1 px", "flow", "R1.0"),
)


def main() -> None:
    """Evaluate, print the table, and write it into the page when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=Path("fgvc-eval/fine"), help="folder of the records")
    parser.add_argument("--write", action="store_true", help="write the table into docs/fine-stage.md")
    arguments = parser.parse_args()
    columns = {
        (bundle, fine): figures(bundle, fine, arguments.data, arguments.out)
        for bundle in BUNDLES
        for fine in ("off", "patch")
    }
    text = table(columns) + f"\nCommit {commit(ROOT).sha[:10]}, one thread.\n"
    print(text)
    if arguments.write:
        write_page(PAGE, text)


def figures(bundle: str, fine: str, data: Path, out: Path) -> dict[str, Figures]:
    """Averages of every data set for one bundle with `fine` "off" or "patch", by task."""
    model = load(DEFAULT_BUNDLE.parent / bundle, threads=1)
    options = EvalOptions(settings={"fine": fine}, threads=1)
    done = {}
    for task, folder in FOLDERS.items():
        places = Places(data / folder, out / bundle)
        done[task] = evaluate(find_task(task), model, options, places, say=print, progress=_silent).averages
    return done


def table(columns: dict[tuple[str, str], dict[str, Figures]]) -> str:
    """Markdown: a line for each row, a pair of columns for each bundle."""
    heads = [bundle if fine == "off" else "with it" for bundle, fine in columns]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for row in ROWS:
        cells = [_cell(row, done[row.task][row.figure]) for done in columns.values()]
        label = f"**{row.label}**" if row.bold else row.label
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: Row, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if row.unit == "px" else f"{100 * value:.1f}"


@contextmanager
def _silent(text: str, total: int | None) -> Iterator[Callable[[], None]]:
    yield lambda: None


if __name__ == "__main__":
    main()
