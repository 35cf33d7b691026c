"""Do the corrections cost accuracy?  Score both compat modes on real ground truth and write it into the docs.

    python -m fgvc_benchmarks.corrections --root ../shared/data

Protocol and metrics are the corrected ones for both, and the fine stage, which the reference has not, is off: the
two differ in the tracker's `compat` only.  Scores go to benchmarks/results/corrections.json and into the table of
docs/corrections.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fgvc_deploy
from fgvc_benchmarks.accuracy.base import EvalOptions, Scores
from fgvc_benchmarks.accuracy.running import Runner
from fgvc_benchmarks.accuracy.tasks.table import find_task
from fgvc_benchmarks.pages import write_page
from fgvc_benchmarks.provenance import ROOT, commit
from fgvc_deploy.results.run_json import machine, versions
from fgvc_deploy.settings import Compat

RESULT = ROOT / "benchmarks" / "results" / "corrections.json"
PAGE = ROOT / "docs" / "corrections.md"
MODES: tuple[Compat, ...] = ("reference", "corrected")
PROTOCOL = EvalOptions()
MOST_LINES = 8
ByClip = dict[str, float]


class Figure(NamedTuple):
    """A row group of the table: one figure of a task, with what makes it percent."""

    label: str
    task: str
    name: str
    scale: float


FOLDERS = {"badja": ".", "davis": "davis16", "planar": "planar_video", "synthetic": "davis16_train256"}
FIGURES = (
    Figure("BADJA PCK@0.2", "badja", "pck_0.2", 1.0),
    Figure("BADJA PCK@0.1", "badja", "pck_0.1", 1.0),
    Figure("DAVIS 2016 J", "davis", "J-Mean", 100.0),
    Figure("planar <delta_avg", "planar", "average_pts_within_thresh", 100.0),
    Figure("synthetic <delta_avg", "synthetic", "average_pts_within_thresh", 100.0),
    Figure("synthetic, within 1 px", "synthetic", "pts_within_1", 100.0),
)


def main() -> None:
    """Measure every data set in both modes; write the record and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--model", type=Path, default=None, help="bundle; default: the one shipped")
    arguments = parser.parse_args()
    model = fgvc_deploy.load(arguments.model)
    scores = {
        (task, mode): score(model, task, arguments.root / folder, mode)
        for task, folder in FOLDERS.items()
        for mode in MODES
    }
    rows = {figure.label: {mode: _by_clip(scores[figure.task, mode], figure) for mode in MODES} for figure in FIGURES}
    record = {
        "commit": commit(ROOT).model_dump(),
        "versions": versions(),
        "machine": machine().model_dump(),
        "bundle_sha256": model.bundle.sha256,
        "scores": rows,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_page(PAGE, table(rows))


def score(model: fgvc_deploy.Model, name: str, root: Path, mode: Compat) -> dict[str, Scores]:
    """Scores of every clip of a task, tracked in this mode at the protocol's size, else the bundle's."""
    task: Any = find_task(name)
    settings = model.bundle.manifest.propagation.model_copy(update={"fine": "off"})
    runner = Runner(model, EvalOptions(compat=mode), task.size(PROTOCOL), settings)
    return {
        clip.name: task.score(clip, task.predict(clip, runner, PROTOCOL), PROTOCOL)
        for clip in task.clips(root, PROTOCOL)
    }


def _by_clip(scores: dict[str, Scores], figure: Figure) -> ByClip:
    found = {clip: score.figures[figure.name] for clip, score in scores.items()}
    return {clip: figure.scale * value for clip, value in found.items() if value is not None}


def table(rows: dict[str, dict[Compat, ByClip]]) -> str:
    """Markdown: a line per sequence and one for the mean of each data set; of scenes, the mean alone."""
    lines = ["| data | sequence | reference | corrected |", "|---|---|---:|---:|"]
    for name, modes in rows.items():
        reference, corrected = modes["reference"], modes["corrected"]
        lines += [
            f"| {name} | {s} | {reference[s]:.1f} | {corrected[s]:.1f} |"
            for s in reference
            if len(reference) <= MOST_LINES
        ]
        if len(reference) > 1:
            means = [float(np.mean(list(scores.values()))) for scores in (reference, corrected)]
            lines.append(f"| {name} | **mean** | **{means[0]:.1f}** | **{means[1]:.1f}** |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
