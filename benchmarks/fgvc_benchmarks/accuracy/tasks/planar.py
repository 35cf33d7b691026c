"""Planar video: an 8x8 grid on a flat object, followed from the first frame; truth is a homography per frame.

Scored like TAP-Vid: distances on a 256x256 frame, frames without a valid homography and the first left out.  It is a
protocol of this project; there is no published one for these frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Marks, Runs, Scores, Task, known
from fgvc_benchmarks.datasets.planar import PlanarClip, read_planar
from fgvc_benchmarks.datasets.tapvid import pixels_to_scored
from fgvc_benchmarks.metrics.tapvid import THRESHOLDS

Floats = NDArray[np.floating]


class Planar(Task[PlanarClip, Floats]):
    """`average_pts_within_thresh` (<delta_avg) and its parts as fractions; predictions are tracks [N, T, 2]."""

    name = "planar"
    unit = "fraction"
    about = "points on a planar object within 1, 2, 4, 8, 16 px at 256x256; ROOT/<sequence> and _derived_H.json"

    def headline(self, options: EvalOptions) -> str:
        """TAP-Vid's name of <delta_avg."""
        return "average_pts_within_thresh"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[PlanarClip]:
        """All sequences with homographies."""
        yield from read_planar(root)

    def predict(self, clip: PlanarClip, run: Runs, options: EvalOptions) -> Floats:
        """The grid of the first frame, followed to the last."""
        points = clip.grid()
        queries = np.stack([np.zeros(len(points)), points[:, 1], points[:, 0]], axis=1)
        return run.points(clip.frames, queries).tracks

    def score(self, clip: PlanarClip, prediction: Floats, options: EvalOptions) -> Scores:
        """Shares within each threshold, their mean, and the mean distance in pixels at 256x256."""
        hw = clip.frames[0].shape[:2]
        sides = (pixels_to_scored(xy, (hw[0], hw[1])) for xy in (prediction, clip.tracks(clip.grid())))
        ours, truth = (xy[:, 1:][:, clip.valid[1:]] for xy in sides)
        distance = np.linalg.norm(ours - truth, axis=-1)
        within = {f"pts_within_{t}": known(float((distance < t).mean())) for t in THRESHOLDS}
        mean = known(float(np.mean([(distance < t).mean() for t in THRESHOLDS])))
        error = {"ade": known(float(distance.mean())), "median_error": known(float(np.median(distance)))}
        return Scores(figures={"average_pts_within_thresh": mean, **within, **error})

    def marks(self, clip: PlanarClip, prediction: Floats, options: EvalOptions) -> Marks:
        """The grid and its truth."""
        shown = np.ones(prediction.shape[:2], bool)
        return Marks(prediction, shown, clip.tracks(clip.grid()), shown & clip.valid)
