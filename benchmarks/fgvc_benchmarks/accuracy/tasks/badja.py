"""BADJA: animal joints on DAVIS sequences, followed from the first annotated frame.

Corrected: at the bundle's size, labels drawn as points, PCK averaged over sequences as PIPs publishes it.  Reference:
frames and masks at 320x512, labels drawn as key points, every visible joint counted (metrics/badja.py names the
differences; goldens item 43).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Figures, Marks, Runs, Scores, Task, known
from fgvc_benchmarks.datasets.badja import BadjaClip, foreground_area, read_badja
from fgvc_benchmarks.metrics.badja import ALPHAS, EVAL_HW, BadjaSequence, badja_counts, mask_area_at, percent

Floats = NDArray[np.float64]


class Badja(Task[BadjaClip, Floats]):
    """`pck_<alpha>` in percent; predictions are tracks [N, T, 2] in pixels of the frames."""

    name = "badja"
    unit = "percent"
    about = "PCK of animal joints, threshold alpha * sqrt(mask area); ROOT/davis16 and ROOT/badja"
    reference_size = f"{EVAL_HW[0]}x{EVAL_HW[1]}"

    def headline(self, options: EvalOptions) -> str:
        """The figure that PIPs and FGVC publish."""
        return "pck_0.2"

    def clips(self, root: Path, options: EvalOptions) -> Iterator[BadjaClip]:
        """Annotated sequences whose frames are there."""
        yield from read_badja(root, area=mask_area_at if options.reference else foreground_area)

    def predict(self, clip: BadjaClip, run: Runs, options: EvalOptions) -> Floats:
        """Joints visible in the first frame are followed; the reference follows them all."""
        followed = np.ones(len(clip.joints), bool) if options.reference else clip.visible[:, 0]
        predicted = np.full(clip.joints.shape, np.nan)
        predicted[followed] = run.points(clip.frames, queries(clip, followed), keypoints=options.reference).tracks
        return predicted

    def score(self, clip: BadjaClip, prediction: Floats, options: EvalOptions) -> Scores:
        """PCK at every alpha; tallies are (correct, counted) joints."""
        scale = np.ones(2)
        if options.reference:
            scale = np.array(EVAL_HW[::-1]) / np.array(clip.frames[0].shape[1::-1])
        sequence = BadjaSequence(prediction * scale, clip.joints * scale, clip.visible, clip.mask_area)
        tallies = {f"pck_{a}": badja_counts(sequence, a, reference=options.reference) for a in ALPHAS}
        figures = {name: known(percent(*counts)) for name, counts in tallies.items()}
        return Scores(figures=figures, tallies={name: (float(a), float(b)) for name, (a, b) in tallies.items()})

    def average(self, scores: Mapping[str, Scores], options: EvalOptions) -> Figures:
        """Over sequences; over joints under `reference`."""
        if not options.reference:
            return super().average(scores, options)
        names = dict.fromkeys(name for score in scores.values() for name in score.tallies)
        totals = {n: np.sum([score.tallies[n] for score in scores.values()], axis=0) for n in names}
        return {name: known(percent(int(total[0]), int(total[1]))) for name, total in totals.items()}

    def marks(self, clip: BadjaClip, prediction: Floats, options: EvalOptions) -> Marks:
        """Every followed joint; its truth where annotated and visible."""
        shown = ~np.isnan(prediction[..., 0])
        return Marks(prediction, shown, clip.joints, clip.visible & shown)


def queries(clip: BadjaClip, followed: NDArray[np.bool_]) -> Floats:
    """The followed joints of the first frame as (0, y, x)."""
    start = clip.joints[followed, 0]
    return np.stack([np.zeros(len(start)), start[:, 1], start[:, 0]], axis=1)
