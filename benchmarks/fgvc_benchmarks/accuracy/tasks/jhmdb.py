"""JHMDB: 15 human joints of the test videos of split 1, followed from the first frame.

Corrected: at the bundle's size.  Reference: at 320x320, as UVC and the papers after it track JHMDB, with the
published count of joints (metrics/jhmdb.py names the differences; goldens items 31 and 42).  Labels are those of key
points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Figures, Marks, Runs, Scores, Task, known
from fgvc_benchmarks.datasets.jhmdb import JhmdbClip, read_jhmdb
from fgvc_benchmarks.metrics.jhmdb import ALPHAS, JhmdbVideo, jhmdb_counts, joint_average

Floats = NDArray[np.floating]
COUNTED = "counted"


class Jhmdb(Task[JhmdbClip, Floats]):
    """`PCK@<alpha>` in percent; predictions are tracks [15, T, 2] in pixels of the frames."""

    name = "jhmdb"
    unit = "percent"
    about = "PCK of human joints, relative to the person's size; ROOT/splits, joint_positions and Rename_Images"
    reference_size = "320x320"

    def headline(self, options: EvalOptions) -> str:
        """The strictest published figure."""
        return "PCK@0.1"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[JhmdbClip]:
        """Test videos of split 1."""
        yield from read_jhmdb(root)

    def predict(self, clip: JhmdbClip, run: Runs, options: EvalOptions) -> Floats:
        """All joints, also those that the first frame's annotation puts outside the image: moved to its border."""
        start = clip.joints[:, 0]
        queries = np.stack([np.zeros(len(start)), start[:, 1], start[:, 0]], axis=1)
        return run.points(clip.frames, queries, keypoints=True).tracks

    def score(self, clip: JhmdbClip, prediction: Floats, options: EvalOptions) -> Scores:
        """PCK of this video; tallies are counts per joint."""
        video = JhmdbVideo(prediction, clip.joints)
        correct, counted = jhmdb_counts(video, reference=options.reference)
        tallies = {f"PCK@{a}": tuple(map(float, row)) for a, row in zip(ALPHAS, correct, strict=True)}
        tallies[COUNTED] = tuple(map(float, counted))
        return Scores(figures=_figures(tallies), tallies=tallies)

    def average(self, scores: Mapping[str, Scores], options: EvalOptions) -> Figures:
        """Joint by joint over all videos, then over joints."""
        names = dict.fromkeys(name for score in scores.values() for name in score.tallies)
        totals = {n: tuple(np.sum([score.tallies[n] for score in scores.values()], axis=0)) for n in names}
        return _figures(totals)

    def marks(self, clip: JhmdbClip, prediction: Floats, options: EvalOptions) -> Marks:
        """Every joint and its truth."""
        shown = np.ones(prediction.shape[:2], bool)
        return Marks(prediction, shown, clip.joints, shown)


def _figures(tallies: Mapping[str, tuple[float, ...]]) -> Figures:
    counted = np.array(tallies[COUNTED])
    return {n: known(joint_average(np.array(row), counted)) for n, row in tallies.items() if n != COUNTED}
