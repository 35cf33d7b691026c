"""Fit the weights of visibility and its threshold on synthetic occlusion, and report them on scenes held out.

    python -m fgvc_benchmarks.accuracy.calibrate --data ../shared/data [--model BUNDLE] [--write]

Weights are fitted, and the threshold chosen, on the split `calibration`; the figures are those of the split `test`,
whose objects and backgrounds are others.  `--write` stores both in the bundle's manifest and the figures in
benchmarks/results/visibility.json and docs/visibility.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import fgvc_deploy
from fgvc_benchmarks.accuracy.base import EvalOptions, mean_figures
from fgvc_benchmarks.accuracy.tasks.points import PointTruth, score_points
from fgvc_benchmarks.accuracy.tasks.synthetic import SyntheticClip, make_clip, source_videos
from fgvc_benchmarks.accuracy.visibility_page import Judged, VisibilityReport, write_report
from fgvc_benchmarks.provenance import ROOT, commit
from fgvc_deploy.bundle.manifest import Manifest
from fgvc_deploy.errors import InputError
from fgvc_deploy.model import DEFAULT_BUNDLE
from fgvc_deploy.settings import VisibilitySettings
from fgvc_deploy.trackers.visibility import LEAST_MASS, Evidence, confidence

SCENES = 10
RIDGE = 1e-3
"""Penalty on squared weights of standardised evidence, relative to the mean log loss."""
THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 50))
# Any weights make the tracker gather evidence; what it concludes from it is not used here.
ANY = VisibilitySettings(bias=0.0, peak=1.0, similarity=0.0, log_mass=0.0)
Floats = NDArray[np.float64]


class Observed(NamedTuple):
    """A scene tracked: exact truth, predicted tracks [N, T, 2], and evidence of frames 1.., each [N, T - 1]."""

    clip: SyntheticClip
    tracks: NDArray[np.float32]
    evidence: Evidence


def main() -> None:
    """Fit, choose the threshold, report, and store when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--model", type=Path, default=DEFAULT_BUNDLE, help="bundle folder")
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes of each split")
    parser.add_argument("--write", action="store_true", help="store settings and report")
    arguments = parser.parse_args()
    model = fgvc_deploy.load(arguments.model, threads=1)
    root = arguments.data / "davis16_train256"
    settings, threshold = calibrate(list(observe(model, root, "calibration", arguments.scenes)))
    print(f"{settings!r}, threshold {threshold}")
    report = held_out_report(list(observe(model, root, "test", arguments.scenes)), model, settings, threshold)
    print(report.model_dump_json(indent=1))
    if arguments.write:
        store(arguments.model, settings, threshold)
        write_report(report)


def observe(model: fgvc_deploy.Model, root: Path, split: str, count: int) -> Iterable[Observed]:
    """Track the scenes of a split, one at a time."""
    videos = source_videos(root, split)
    for number in range(count):
        yield follow(model, make_clip(videos, f"{split}_{number:02d}"))


def follow(model: fgvc_deploy.Model, clip: SyntheticClip) -> Observed:
    """Track one scene frame by frame and keep the evidence."""
    settings = model.bundle.manifest.propagation.model_copy(update={"visibility": ANY})
    tracker = model.point_tracker(size="256x256", propagation=settings)
    tracker.add_points(clip.queries_tyx[:, :0:-1])
    xy, evidence = [], []
    for frame in clip.frames:
        xy.append(tracker.step(frame).xy)
        if tracker.evidence is not None:
            evidence.append(tracker.evidence)
    if len(evidence) != len(clip.frames) - 1:
        raise InputError("the backend of this model gives no evidence of visibility: calibrate with one on the CPU.")
    return Observed(clip, np.stack(xy, axis=1), Evidence(*(np.stack(c, axis=1) for c in zip(*evidence, strict=True))))


def calibrate(scenes: list[Observed]) -> tuple[VisibilitySettings, float]:
    """Weights by logistic regression, and the threshold with the best mean of AJ and occlusion accuracy."""
    evidence = np.concatenate([_columns(scene.evidence) for scene in scenes])
    visible = np.concatenate([~scene.clip.occluded[:, 1:].ravel() for scene in scenes])
    bias, weights = fit_logistic(evidence, visible)
    settings = VisibilitySettings(
        bias=round(bias, 3),
        **{n: round(float(w), 3) for n, w in zip(("peak", "similarity", "log_mass"), weights, strict=True)},
    )
    sure = [confidence(scene.evidence, settings) for scene in scenes]
    goodness = {t: _goodness(scenes, [values >= t for values in sure]) for t in THRESHOLDS}
    return settings, max(goodness, key=lambda t: goodness[t])


def fit_logistic(columns: Floats, answers: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Bias and weights [K] of a ridge-regularised logistic regression on columns [M, K], by Newton's method."""
    mean, spread = columns.mean(0), columns.std(0) + 1e-9
    design = np.concatenate([np.ones((len(columns), 1)), (columns - mean) / spread], axis=1)
    penalty = RIDGE * np.diag([0.0] + [1.0] * columns.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (probability - answers) / len(design) + penalty @ weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design / len(design) + penalty
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
        weights -= step
        if np.abs(step).max() < 1e-10:
            break
    scaled = weights[1:] / spread
    return float(weights[0] - scaled @ mean), scaled


def held_out_report(
    scenes: list[Observed], model: fgvc_deploy.Model, settings: VisibilitySettings, threshold: float
) -> VisibilityReport:
    """Figures of several ways to judge visibility on the same tracks."""
    ways: dict[str, Callable[[Observed], NDArray[np.bool_]]] = {
        "all visible": lambda scene: np.ones_like(scene.evidence.peak, bool),
        "label height >= 0.5 (before)": lambda scene: scene.evidence.peak >= 0.5,
        "calibrated": lambda scene: confidence(scene.evidence, settings) >= threshold,
        "known from the scene": lambda scene: ~scene.clip.occluded[:, 1:],
    }
    rows = {name: _scored(scenes, [judge(scene) for scene in scenes]) for name, judge in ways.items()}
    return VisibilityReport(
        settings=settings,
        threshold=threshold,
        occluded_share=float(np.mean([scene.clip.occluded[:, 1:].mean() for scene in scenes])),
        scenes=len(scenes),
        rows=rows,
        model_weights=model.bundle.manifest.provenance.weights,
        commit=commit(ROOT).sha,
    )


def store(bundle: Path, settings: VisibilitySettings, threshold: float) -> None:
    """Write weights and threshold into a bundle folder's manifest.  Raises InputError for an archive."""
    path = bundle / "manifest.json"
    if not path.is_file():
        raise InputError(f"{bundle} is no bundle folder: unpack the archive before it is calibrated.")
    content = json.loads(path.read_text(encoding="utf-8"))
    content["propagation"] |= {"visibility": settings.model_dump(), "visible_threshold": threshold}
    path.write_bytes(Manifest.model_validate(content).to_json())


def _columns(evidence: Evidence) -> Floats:
    """Evidence as the logistic function takes it, [M, 3]."""
    log_mass = np.log(np.maximum(evidence.mass, LEAST_MASS))
    return np.stack([evidence.peak.ravel(), evidence.similarity.ravel(), log_mass.ravel()], axis=1).astype(np.float64)


def _goodness(scenes: list[Observed], visible: list[NDArray[np.bool_]]) -> float:
    figures = _scored(scenes, visible)
    return figures.average_jaccard + figures.occlusion_accuracy


def _scored(scenes: list[Observed], visible: list[NDArray[np.bool_]]) -> Judged:
    rows = []
    for scene, seen in zip(scenes, visible, strict=True):
        with_query = np.concatenate([np.ones((len(seen), 1), bool), seen], axis=1)
        truth = PointTruth(np.zeros(len(seen), np.int64), scene.clip.tracks, scene.clip.occluded)
        rows.append(score_points(truth, scene.tracks, with_query, EvalOptions()))
    means = mean_figures(rows)
    return Judged.model_validate({name: means[name] for name in Judged.model_fields})


if __name__ == "__main__":
    main()
