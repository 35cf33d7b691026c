"""What the active set of few points costs in accuracy and saves in time, on real clips; written into the docs.

    python -m fgvc_benchmarks.active_set --root ../shared/data

Accuracy: every tau against tracking without an active set, on the same features.  Matches do not depend on labels,
and those of active pixels are equal bit for bit (tests/deploy/test_active_set.py), so they are found once per frame.
Time: the propagation of a streaming tracker, with and without, interleaved.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fgvc_deploy
from fgvc_benchmarks.active_set_page import PAGE, tables
from fgvc_benchmarks.active_set_parts import (
    Clip,
    RememberedMatches,
    Track,
    follow,
    random_points,
    read_clip,
    reference_engine,
)
from fgvc_benchmarks.inputs import grid_points
from fgvc_benchmarks.pages import write_page
from fgvc_benchmarks.provenance import ROOT, commit
from fgvc_benchmarks.timing import ExactTimer
from fgvc_deploy.engine import Engine
from fgvc_deploy.results.run_json import machine, versions
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.source import open_source

RESULT = ROOT / "benchmarks" / "results" / "active_set.json"
CLIPS = ("videos/bikes.mp4", "videos/cotracker_cat.mp4", "davis16/JPEGImages/480p/dog")
TAUS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
SETS = {1: 12, 5: 6, 16: 3}
"""Number of points tracked together, and how many random sets of them; a regular grid comes on top."""
TIMED_BACKENDS, TIMED_FRAMES, WARM_FRAMES = ("native", "numpy"), 30, 8


def main() -> None:
    """Measure, then write the record and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--frames", type=int, default=60, help="frames of each clip")
    arguments = parser.parse_args()
    model = fgvc_deploy.load()
    # Labels are compared: what the fine stage makes of them is no part of it.
    plain = model.bundle.manifest.propagation.model_copy(update={"fine": "off"})
    engines = {
        model.bundle.path.name: model.engine(propagation=plain),
        "untrained resnet18_d1, 128x128": reference_engine(),
    }
    accuracy: list[dict[str, Any]] = []
    for (name, engine), path in itertools.product(engines.items(), CLIPS):
        rows = measure_accuracy(engine, read_clip(engine, arguments.root / path, arguments.frames))
        accuracy += [{"encoder": name, "clip": Path(path).stem, **row} for row in rows]
    record = {
        "commit": commit(ROOT).model_dump(),
        "versions": versions(),
        "machine": machine().model_dump(),
        "bundle_sha256": model.bundle.sha256,
        "frames": arguments.frames,
        "accuracy": accuracy,
        "times": list(measure_times(model, arguments.root / CLIPS[0])),
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_page(PAGE, tables(record))


def measure_accuracy(engine: Engine, clip: Clip) -> Iterator[dict[str, float]]:
    """For each number of points and tau: the largest differences from tracking without an active set."""
    matches = RememberedMatches(engine.matcher)
    for points, sets in SETS.items():
        queries = [random_points(clip.hw, points, seed) for seed in range(sets)] + [grid_points(clip.hw, points)]
        exact = [follow(engine, matches, clip, xy, 0.0) for xy in queries]
        for tau in TAUS:
            found = [follow(engine, matches, clip, xy, tau) for xy in queries]
            pairs = list(zip(exact, found, strict=True))
            yield {"points": points, "tau": tau, **differences(pairs, engine.propagation.visible_threshold)}


def differences(pairs: list[tuple[Track, Track]], threshold: float) -> dict[str, float]:
    """Largest changes over several runs, ties included; frame 0 is left out because it is the query itself."""
    moved = np.concatenate([np.abs(a.xy - b.xy)[1:].max(axis=-1).ravel() for a, b in pairs])
    visible = np.concatenate([(a.confidence[1:] >= threshold).ravel() for a, _ in pairs])
    return {
        "moved_px": float(moved.max()),
        "moved_visible_px": float(moved[visible].max(initial=0.0)),
        "positions": len(moved),
        "visible": int(visible.sum()),
        "confidence": max(float(np.abs(a.confidence - b.confidence).max()) for a, b in pairs),
        "matched": float(np.mean([b.matched for _, b in pairs])),
    }


def measure_times(model: fgvc_deploy.Model, path: Path) -> Iterator[dict[str, Any]]:
    """Median milliseconds of a frame's propagation without an active set and with the default one."""
    with open_source(path) as video:
        frames = list(itertools.islice(video, TIMED_FRAMES))
    taus = (0.0, PropagationSettings().active_tau)
    for backend, points in itertools.product(TIMED_BACKENDS, SETS):
        xy = grid_points(frames[0].shape[:2], points)
        trackers = [_timed_tracker(model, backend, tau) for tau in taus]
        for tracker in trackers:
            tracker.add_points(xy)
        rows = [[_propagation_ms(tracker, frame) for tracker in trackers] for frame in frames]
        without, active = np.median(rows[WARM_FRAMES:], axis=0).tolist()
        yield {"backend": backend, "points": points, "without_ms": without, "with_ms": active}


def _timed_tracker(model: fgvc_deploy.Model, backend: str, tau: float) -> PointTracker:
    settings = model.bundle.manifest.propagation.model_copy(update={"active_tau": tau})
    tracker = model.point_tracker(backend=backend, propagation=settings)
    tracker.timer = ExactTimer()
    return tracker


def _propagation_ms(tracker: PointTracker, frame: Any) -> float:
    timer = tracker.timer
    assert isinstance(timer, ExactTimer)
    tracker.step(frame)
    return 1e3 * timer.take()["propagate"]


if __name__ == "__main__":
    main()
