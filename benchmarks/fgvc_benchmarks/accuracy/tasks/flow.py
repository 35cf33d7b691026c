"""Optical flow of Middlebury pairs: every few pixels of the first frame are followed into the second.

End-point error as Middlebury defines it (mean distance in source pixels) and the shares of errors above 0.5, 1 and
2 px, taken on a grid of `SPACING` source pixels instead of all pixels; label propagation makes one label map per
point.  Pixels without ground truth are left out.  FGVC publishes no flow: `compat` changes the tracker only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Marks, Runs, Scores, Task, known
from fgvc_benchmarks.datasets.flow import FlowPair, read_flow_pairs

Floats = NDArray[np.floating]
SPACING = 8
AT_ONCE = 1024
"""Points tracked together, which bounds the memory that their label maps take."""
ROBUSTNESS = (0.5, 1.0, 2.0)


class Flow(Task[FlowPair, Floats]):
    """`end_point_error` in pixels; predictions are tracks [N, 2, 2] of the grid."""

    name = "flow"
    unit = "px"
    about = "end-point error of Middlebury pairs; ROOT/<scene>/frame10.png, frame11.png, flow10.flo"

    def headline(self, options: EvalOptions) -> str:
        """Middlebury's EE."""
        return "end_point_error"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[FlowPair]:
        """All scenes."""
        yield from read_flow_pairs(root)

    def predict(self, clip: FlowPair, run: Runs, options: EvalOptions) -> Floats:
        """The grid in both frames."""
        points = grid(clip)
        queries = np.stack([np.zeros(len(points)), points[:, 1], points[:, 0]], axis=1)
        chunks = (queries[start : start + AT_ONCE] for start in range(0, len(queries), AT_ONCE))
        return np.concatenate([run.points(clip.frames, chunk).tracks for chunk in chunks])

    def score(self, clip: FlowPair, prediction: Floats, options: EvalOptions) -> Scores:
        """Errors of the grid points."""
        points = grid(clip)
        error = np.linalg.norm(prediction[:, 1] - points - clip.flow[points[:, 1], points[:, 0]], axis=-1)
        shares = {f"R{limit}": known(float((error > limit).mean())) for limit in ROBUSTNESS}
        return Scores(figures={"end_point_error": known(float(error.mean())), **shares})

    def marks(self, clip: FlowPair, prediction: Floats, options: EvalOptions) -> Marks:
        """The grid and where it should be."""
        points = grid(clip)
        truth = np.stack([points, points + clip.flow[points[:, 1], points[:, 0]]], axis=1)
        everywhere = np.ones(prediction.shape[:2], bool)
        return Marks(prediction, everywhere, truth, everywhere)


def grid(clip: FlowPair) -> NDArray[np.int64]:
    """Pixels (x, y) of the first frame with known flow, int64 [N, 2], `SPACING` apart."""
    rows, columns = (slice(SPACING // 2, None, SPACING),) * 2
    known_rows, known_columns = np.nonzero(clip.known[rows, columns])
    points: NDArray[np.int64] = np.stack([known_columns, known_rows], axis=1) * SPACING + SPACING // 2
    return points
