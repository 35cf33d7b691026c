"""Tracks of the default runtime on whole real clips, beside a plain reference tracker on the same features.

    python -m fgvc_benchmarks.clip_tracks --root ../shared/data [--model BUNDLE]

The reference is `referee.py`: float32 features, matches by the NumPy backend, sums in float64.  It knows which
positions hang on a tie of this frame; those are counted, and not compared.  Ties of earlier frames would spread, so
one referee goes on from the runtime's own labels after each frame.  A second one carries its own from start to end,
and there every position is compared, ties and lost points too.  The record goes to
benchmarks/results/clip_tracks.json, one entry for each bundle; exit code 1 when a position that no tie decides is
over budget, or more than 2 in 1000 of all positions are.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fgvc_deploy
from fgvc_benchmarks.inputs import grid_points
from fgvc_benchmarks.plain import Grid
from fgvc_benchmarks.provenance import ROOT, configuration
from fgvc_benchmarks.referee import Referee
from fgvc_benchmarks.subjects.tracker import TRACK_BUDGET
from fgvc_deploy.preprocess.size import PixelMap
from fgvc_deploy.propagation.base import Float32Array
from fgvc_deploy.propagation.threads import worker_count
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.source import open_source

RESULT = ROOT / "benchmarks" / "results" / "clip_tracks.json"
CLIPS = {"videos/bikes.mp4": None, "videos/cotracker_cat.mp4": None, "davis16/JPEGImages/480p/dog": 40}
"""Clips under the data folder, and how many frames of each; None is all of them."""
# Every position counts here, so that leaving out ties cannot hide a fault: one swapped tie of a lost point moves it
# anywhere, and most points of bikes.mp4 are lost by its end.
TIED_SHARE = 0.002
POINTS = 25
"""Few enough for the active set, which is on by default."""


class Seen(NamedTuple):
    """One frame: distances [P] in source pixels, and whether no tie decides, [P].

    `step`: from the same labels; `apart`: each from its own labels since the first frame.
    """

    step: NDArray[np.float64]
    clear: NDArray[np.bool_]
    apart: NDArray[np.float64]


def main() -> int:
    """Track every clip, add to the record, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the data sets")
    parser.add_argument("--model", type=Path, default=None, help="bundle; default: the one shipped")
    parser.add_argument("--points", type=int, default=POINTS, help="points of the grid")
    parser.add_argument("--frames", type=int, default=None, help="at most so many frames of each clip")
    arguments = parser.parse_args()
    threads = worker_count(None)
    model = fgvc_deploy.load(arguments.model, threads=threads)
    rows = []
    for path, count in CLIPS.items():
        frames = min((n for n in (count, arguments.frames) if n is not None), default=None)
        rows.append(compare(model, arguments.root / path, frames, arguments.points, threads))
        print(json.dumps(rows[-1]), flush=True)
    described = configuration("clip_tracks", threads=threads, rounds=1, bundle=model.bundle, removed_environment=())
    _write({"configuration": described.model_dump(mode="json"), "budget_px": TRACK_BUDGET, "clips": rows})
    return 0 if all(row["passed"] for row in rows) else 1


def compare(model: fgvc_deploy.Model, path: Path, count: int | None, points: int, threads: int) -> dict[str, Any]:
    """Largest distance on one clip; the first frame, where the points are given, is left out."""
    seen = list(both(model, path, count, points, threads))
    step, clear, apart = (np.concatenate(part) for part in zip(*seen, strict=True))
    worst = float(step[clear].max(initial=0.0))
    return {
        "clip": path.name,
        "frames": len(seen) + 1,
        "positions": len(step),
        "compared": int(clear.sum()),
        "worst_px": worst,
        "apart_over_budget": int((apart > TRACK_BUDGET).sum()),
        "apart_p99_px": float(np.quantile(apart, 0.99)),
        "passed": worst <= TRACK_BUDGET and bool(clear.any()) and bool((apart > TRACK_BUDGET).mean() <= TIED_SHARE),
    }


def both(model: fgvc_deploy.Model, path: Path, count: int | None, points: int, threads: int) -> Iterator[Seen]:
    """The default tracker and two referees, frame by frame."""
    # The referees read labels; what the fine stage makes of them is no part of propagation.
    settings = model.bundle.manifest.propagation.model_copy(update={"fine": "off"})
    engine, tracker = model.engine(propagation=settings), model.point_tracker(propagation=settings)
    with open_source(path) as video:
        for number, frame in enumerate(itertools.islice(video, count)):
            if number == 0:
                xy = grid_points(frame.shape[:2], points)
                tracker.add_points(xy)
            tracker.open(frame)
            features = tracker.encode(frame)
            found = tracker.step_features(features).xy
            unit = features.unit.reshape(*features.hw, -1)
            if number == 0:
                pixels = PixelMap((frame.shape[0], frame.shape[1]), tracker.network_hw)
                grid = Grid(tracker.network_hw, features.hw, engine.encoder_settings.stride)
                query = pixels.to_network(xy).astype(np.float32)
                following, alone = (Referee(engine.propagation, grid, query, threads) for _ in range(2))
                following.start(unit)
                alone.start(unit)
                continue
            expected, clear = following.judge(following.propagate(unit))
            following.adopt(np.pad(label_maps(tracker), ((0, 0), (0, 1))))
            own = alone.judge(alone.propagate(unit)).xy
            step, apart = (np.linalg.norm(found - pixels.to_source(xy), axis=-1) for xy in (expected, own))
            yield Seen(step, clear & np.isfinite(step), np.nan_to_num(apart, nan=0.0))


def label_maps(tracker: PointTracker) -> Float32Array:
    """Label maps [H*W, P] of the newest frame: the one thing a judge must see that no user needs."""
    (group,) = tracker._groups
    return group.labels.labels


def _write(record: dict[str, Any]) -> None:
    """Replace this bundle's entry of the record."""
    kept = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else []
    arch = record["configuration"]["model"]["arch"]
    others = [entry for entry in kept if entry["configuration"]["model"]["arch"] != arch]
    RESULT.write_text(json.dumps([*others, record], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
