"""Do the corrections cost accuracy?  Score both compat modes on real ground truth and write it into the docs.

    python -m fgvc_benchmarks.corrections --root ../shared/data

Every sequence is tracked with the bundle's settings; scores go to benchmarks/results/corrections.json and into the
table of docs/corrections.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fgvc_deploy
from fgvc_benchmarks.datasets.badja import read_badja
from fgvc_benchmarks.datasets.davis import read_davis
from fgvc_benchmarks.datasets.frames import FrameFiles
from fgvc_benchmarks.datasets.planar import read_planar
from fgvc_benchmarks.metrics.badja import BadjaSequence, badja_pck
from fgvc_benchmarks.metrics.davis import score_masks
from fgvc_benchmarks.provenance import commit
from fgvc_deploy.results.run_json import machine, versions
from fgvc_deploy.settings import Compat

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "corrections.json"
PAGE = ROOT / "docs" / "corrections.md"
START, END = "<!-- measured -->", "<!-- /measured -->"
MODES: tuple[Compat, ...] = ("reference", "corrected")
PLANAR_THRESHOLDS = (1, 2, 4, 8, 16)
PLANAR_SIDE = 256
Scores = dict[str, float]


def main() -> None:
    """Measure every data set in both modes; write the record and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--model", type=Path, default=None, help="bundle; default: the one shipped")
    arguments = parser.parse_args()
    model = fgvc_deploy.load(arguments.model)
    rows = {name: {mode: measure(model, arguments.root, mode) for mode in MODES} for name, measure in SETS.items()}
    record = {
        "commit": commit(ROOT).model_dump(),
        "versions": versions(),
        "machine": machine().model_dump(),
        "bundle_sha256": model.bundle.sha256,
        "scores": rows,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, after = page.partition(START)
    PAGE.write_text(before + START + "\n" + table(rows) + END + after.partition(END)[2], encoding="utf-8")


def badja(model: fgvc_deploy.Model, root: Path, compat: Compat, alpha: float) -> Scores:
    """PCK per sequence: queries are the joints visible in the first annotated frame."""
    sequences = {}
    for clip in read_badja(root):
        seen = clip.visible[:, 0]
        queries = np.concatenate([np.zeros((seen.sum(), 1)), clip.joints[seen, 0, ::-1]], axis=1)
        tracks = model.track(_frames(clip.frames), queries, compat=compat).tracks
        sequences[clip.name] = BadjaSequence(tracks, clip.joints[seen], clip.visible[seen], clip.mask_area)
    return badja_pck(sequences, alpha).sequences


def davis(model: fgvc_deploy.Model, root: Path, compat: Compat) -> Scores:
    """Mean J per sequence, in percent."""
    scores = {}
    for sequence in read_davis(root / "davis16"):
        truth = [sequence.labels(t) for t in range(len(sequence.frames))]
        masks = model.track_masks(_frames(sequence.frames), truth[0], compat=compat)
        scores[sequence.name] = 100 * float(np.mean(score_masks(list(masks), truth)[1].region))
    return scores


def planar(model: fgvc_deploy.Model, root: Path, compat: Compat) -> Scores:
    """Points within 1, 2, 4, 8, 16 px of the truth at 256x256 scale, averaged, in percent."""
    scores = {}
    for clip in read_planar(root / "planar_video"):
        points, frames = clip.grid(), _frames(clip.frames)
        queries = np.concatenate([np.zeros((len(points), 1)), points[:, ::-1]], axis=1)
        tracks = model.track(frames, queries, compat=compat).tracks[:, 1:]
        scale = PLANAR_SIDE / np.array(frames.shape[2:0:-1])
        error = np.linalg.norm((tracks - clip.tracks(points)[:, 1:]) * scale, axis=-1)[:, clip.valid[1:]]
        scores[clip.name] = 100 * float(np.mean([(error < t).mean() for t in PLANAR_THRESHOLDS]))
    return scores


SETS: dict[str, Callable[[fgvc_deploy.Model, Path, Compat], Scores]] = {
    "BADJA PCK@0.2": partial(badja, alpha=0.2),
    "BADJA PCK@0.1": partial(badja, alpha=0.1),
    "DAVIS 2016 J": davis,
    "planar <delta_avg": planar,
}


def table(rows: dict[str, dict[Compat, Scores]]) -> str:
    """Markdown: a line per sequence and one for the mean of each data set."""
    lines = ["| data | sequence | reference | corrected |", "|---|---|---:|---:|"]
    for name, modes in rows.items():
        reference, corrected = modes["reference"], modes["corrected"]
        lines += [f"| {name} | {s} | {reference[s]:.1f} | {corrected[s]:.1f} |" for s in reference]
        if len(reference) > 1:
            means = [float(np.mean(list(scores.values()))) for scores in (reference, corrected)]
            lines.append(f"| {name} | **mean** | **{means[0]:.1f}** | **{means[1]:.1f}** |")
    return "\n".join(lines) + "\n"


def _frames(files: FrameFiles) -> NDArray[np.uint8]:
    return np.stack([files[t] for t in range(len(files))])


if __name__ == "__main__":
    main()
