"""Fit the weights of visibility and its thresholds on synthetic occlusion, and report them on scenes held out.

    python -m fgvc_benchmarks.accuracy.calibrate --data ../shared/data [--model BUNDLE] [--write]

Weights are fitted, and thresholds chosen, on the split `calibration`; the figures are those of the split `test`,
whose objects and backgrounds are others.  `--write` stores both in the bundle's manifest and the figures in
benchmarks/results/visibility.json and docs/visibility.md.  The fit itself: `visibility_fit.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fgvc_deploy
from fgvc_benchmarks.accuracy.tasks.synthetic import SyntheticClip, make_clip, source_videos
from fgvc_benchmarks.accuracy.visibility_fit import (
    Calibrated,
    Observed,
    calibrate,
    calibrate_round_trip,
    round_trip_sure,
    score,
    streamed_sure,
)
from fgvc_benchmarks.accuracy.visibility_page import Judged, VisibilityReport, write_report
from fgvc_benchmarks.metrics.ranking import log_loss, roc_auc
from fgvc_benchmarks.provenance import ROOT, commit
from fgvc_deploy.bundle.manifest import Manifest
from fgvc_deploy.errors import InputError
from fgvc_deploy.model import DEFAULT_BUNDLE
from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.settings import PropagationSettings, RoundTripSettings, VisibilitySettings
from fgvc_deploy.trackers.visibility import Evidence

SCENES = 10
RIGHT_PX = 4.0
"""A position is right within this distance, the middle one of TAP-Vid's five."""
# Any weights make the tracker gather evidence; with these every point counts as visible.
ANY = {
    "visibility": VisibilitySettings(bias=0.0, peak=1.0, similarity=0.0, log_mass=0.0),
    "visible_threshold": 0.0,
    "round_trip": None,
}


def main() -> None:
    """Fit, choose the thresholds, report, and store when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--model", type=Path, default=DEFAULT_BUNDLE, help="bundle folder")
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes of each split")
    parser.add_argument("--write", action="store_true", help="store settings and report")
    arguments = parser.parse_args()
    model = fgvc_deploy.load(arguments.model, threads=1)
    root = arguments.data / "davis16_train256"
    base = model.bundle.manifest.propagation.model_copy(update=ANY)
    streamed = calibrate(list(observe(model, root, "calibration", arguments.scenes, base)))
    # Where a way home begins depends on the streamed verdict, so that comes first.
    judging = base.model_copy(update={"visibility": streamed.settings, "visible_threshold": streamed.threshold})
    home = calibrate_round_trip(list(observe(model, root, "calibration", arguments.scenes, judging)))
    print(f"{streamed}\n{home!r}")
    report = held_out_report(list(observe(model, root, "test", arguments.scenes, judging)), model, streamed, home)
    print(report.model_dump_json(indent=1))
    if arguments.write:
        store(arguments.model, streamed, home)
        write_report(report)


def observe(
    model: fgvc_deploy.Model, root: Path, split: str, count: int, settings: PropagationSettings
) -> Iterable[Observed]:
    """Track the scenes of a split there and back, one at a time."""
    videos = source_videos(root, split)
    for number in range(count):
        yield follow(model, make_clip(videos, f"{split}_{number:02d}"), settings)


def follow(model: fgvc_deploy.Model, clip: SyntheticClip, settings: PropagationSettings) -> Observed:
    """Track one scene and keep what its frames say; frames and network have the same size."""
    tracker = model.point_tracker(size="256x256", propagation=settings)
    frames = list(point_frames(clip.frames, tracker, clip.queries_tyx.astype(np.float32), round_trip=True))
    evidence = [frame.evidence for frame in frames[1:] if frame.evidence is not None]
    if len(evidence) != len(frames) - 1:
        raise InputError("the backend of this model gives no evidence of visibility: calibrate with one on the CPU.")
    return Observed(
        clip,
        np.stack([frame.xy for frame in frames], axis=1),
        Evidence(*(np.stack(column, axis=1) for column in zip(*evidence, strict=True))),
        np.stack([frame.visible for frame in frames[1:]], axis=1),
        np.stack([frame.gap for frame in frames if frame.gap is not None], axis=1),
    )


def held_out_report(
    scenes: list[Observed], model: fgvc_deploy.Model, streamed: Calibrated, home: RoundTripSettings
) -> VisibilityReport:
    """Figures of several ways to judge visibility on the same tracks."""
    sure = [streamed_sure(scene, streamed.settings) for scene in scenes]
    homeward = [
        np.where(scene.followed_back, round_trip_sure(scene, home), plain)
        for scene, plain in zip(scenes, sure, strict=True)
    ]
    visible = [values >= streamed.threshold for values in sure]
    told = [
        np.where(scene.followed_back, values >= home.threshold, plain)
        for scene, values, plain in zip(scenes, homeward, visible, strict=True)
    ]
    peak = [scene.evidence.peak for scene in scenes]
    rows = {
        "all visible": _judged(scenes, [np.ones_like(scene.seen) for scene in scenes]),
        "label height >= 0.5 (before)": _judged(scenes, [values >= 0.5 for values in peak], peak),
        "calibrated": _judged(scenes, visible, sure),
        "calibrated, with `--round-trip`": _judged(scenes, told, homeward),
        "known from the scene": _judged(scenes, [scene.seen for scene in scenes]),
    }
    return VisibilityReport(
        settings=streamed.settings,
        threshold=streamed.threshold,
        round_trip=home,
        occluded_share=float(np.mean([scene.clip.occluded[:, 1:].mean() for scene in scenes])),
        scenes=len(scenes),
        rows=rows,
        model_weights=model.bundle.manifest.provenance.weights,
        commit=commit(ROOT).sha,
    )


def store(bundle: Path, streamed: Calibrated, home: RoundTripSettings) -> None:
    """Write weights and thresholds into a bundle folder's manifest.  Raises InputError for an archive."""
    path = bundle / "manifest.json"
    if not path.is_file():
        raise InputError(f"{bundle} is no bundle folder: unpack the archive before it is calibrated.")
    content = json.loads(path.read_text(encoding="utf-8"))
    content["propagation"] |= {
        "visibility": streamed.settings.model_dump(),
        "visible_threshold": streamed.threshold,
        "round_trip": home.model_dump(),
    }
    path.write_bytes(Manifest.model_validate(content).to_json())


def _judged(
    scenes: list[Observed], visible: list[NDArray[np.bool_]], sure: list[NDArray[np.float32]] | None = None
) -> Judged:
    """TAP-Vid's figures of a verdict, and how well the confidence behind it ranks positions."""
    figures = score(scenes, visible)
    if sure is not None:
        values = np.concatenate([part.ravel() for part in sure])
        seen, near = (np.concatenate([of(scene).ravel() for scene in scenes]) for of in (_seen, _right))
        figures |= {
            "auc_visible": roc_auc(values, seen),
            "auc_right": roc_auc(values, near),
            "log_loss": log_loss(values, seen),
        }
    return Judged.model_validate({name: figures.get(name) for name in Judged.model_fields})


def _seen(scene: Observed) -> NDArray[np.bool_]:
    return scene.seen


def _right(scene: Observed) -> NDArray[np.bool_]:
    """Positions of frames 1.. that can be seen and are close to the truth, [N, T - 1]."""
    distance = np.linalg.norm(scene.tracks - scene.clip.tracks, axis=-1)[:, 1:]
    right: NDArray[np.bool_] = scene.seen & (distance < RIGHT_PX)
    return right


if __name__ == "__main__":
    main()
