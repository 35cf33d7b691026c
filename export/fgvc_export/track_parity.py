"""The parity gate on the task: how far points tracked with an exported encoder end from the reference's.

What is left to chance, ties between matches (`ties.py`) and of the read-out, and points that the reference itself has
lost, is told apart from error here; how much tracks may differ is `budgets.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from fgvc_deploy.bundle.manifest import ParityFigure
from fgvc_deploy.encoders.base import EncoderBackend, Float32Array
from fgvc_deploy.propagation.base import BoolArray
from fgvc_deploy.readout.masks import FAINT
from fgvc_export.budgets import judge
from fgvc_export.clip import Clip
from fgvc_export.parity import RoundingNoise, Setup, grid_points, track_points, track_steps
from fgvc_export.ties import TIED, Follower, Recorder

DRAWS = 8
# So much of the clip has to be left to judge when lost points are left out.
MOST_LOST = 0.5


class Resolved(NamedTuple):
    """Tracks [T, P, 2] with tied matches chosen as the reference chose them, and of how many pixels that was."""

    tracks: Float32Array
    detail: str


def track_figures(
    ours: EncoderBackend, reference: EncoderBackend, setup: Setup, clip: Clip, precision: str
) -> list[ParityFigure]:
    """p95 and maximum distance between the tracks of an 8x8 grid of points with either encoder, in source pixels."""
    xy = grid_points(clip.frames[0].shape[0], clip.frames[0].shape[1])
    steps = track_steps(reference, setup, clip, xy)
    theirs, mine = np.stack([step.xy for step in steps]), track_points(ours, setup, clip, xy)

    def noisy(seed: int) -> Float32Array:
        return track_points(RoundingNoise(reference, seed), setup, clip, xy)

    def resolved() -> Resolved:
        recorder = Recorder()
        track_points(reference, setup, clip, xy, recorder)
        follower = Follower(recorder.steps)
        tracks = track_points(ours, setup, clip, xy, follower)
        return Resolved(tracks, f"{follower.followed} of {follower.seen} matches tied within {TIED:g}")

    if precision == "fp32":
        return judge_tracks(mine, theirs, noisy, clip, precision, resolved)
    # Lower precisions are off by far more than a tie is wide.  Without calibration confidence is the label's height.
    lost = np.stack([step.confidence for step in steps]) < FAINT
    return judge_tracks(mine, theirs, noisy, clip, precision, lost=lost)


def judge_tracks(
    mine: Float32Array,
    theirs: Float32Array,
    noisy: Callable[[int], Float32Array],
    clip: Clip,
    precision: str,
    resolved: Callable[[], Resolved] | None = None,
    lost: BoolArray | None = None,
) -> list[ParityFigure]:
    """Both figures of tracks [T, P, 2] beside the reference's.

    When a figure is over its budget, `resolved` is asked for and replaces `mine`, and places where the reference has
    `lost` [T, P] its point are left out: what is left of a label then lies anywhere, and its best pixels with it.
    When one still is, `noisy(seed)`, the reference's own tracks with rounding noise.  A tie of the read-out flips in
    some draws only, so there may be up to `DRAWS` of them; the largest figure counts.
    """
    # Points that stay where they are would agree by doing nothing; the manifest shows that they moved.
    moved = float(np.median(np.linalg.norm(theirs[-1] - theirs[0], axis=1)))
    detail = f"{clip.describe()}, {theirs.shape[1]} points, moved {moved:.2g} px (median)"
    judged = np.ones(theirs.shape[:2], np.bool_)
    figures = _judged(mine, theirs, judged, precision, detail)
    if lost is not None and not _passed(figures) and lost[1:].mean() <= MOST_LOST:
        judged = ~lost
        plain = max(figure.value for figure in figures)
        detail += f"; without {lost[1:].mean():.0%} of the places, where the reference's label is below {FAINT:g} "
        detail += f"(else {plain:.2g} px)"
        figures = _judged(mine, theirs, judged, precision, detail)
    if resolved is not None and not _passed(figures):
        mine, ties = resolved()
        detail += f"; {ties}, chosen as in the reference (else {max(figure.value for figure in figures):.2g} px)"
        figures = _judged(mine, theirs, judged, precision, detail)
    noise: dict[str, float] = {}
    for seed in range(DRAWS):
        if _passed(figures):
            break
        drawn = _distances(noisy(seed), theirs, judged)
        noise = {name: float(np.fmax(noise.get(name, 0.0), value)) for name, value in drawn.items()}
        figures = _judged(mine, theirs, judged, precision, detail, noise)
    return figures


def _judged(
    mine: Float32Array,
    theirs: Float32Array,
    judged: BoolArray,
    precision: str,
    detail: str,
    noise: Mapping[str, float] | None = None,
) -> list[ParityFigure]:
    return [
        judge(name, precision, value, detail, (noise or {}).get(name, 0.0))
        for name, value in _distances(mine, theirs, judged).items()
    ]


def _passed(figures: list[ParityFigure]) -> bool:
    return all(figure.passed for figure in figures)


def _distances(tracks: Float32Array, reference: Float32Array, judged: BoolArray) -> dict[str, float]:
    """The two figures for tracks [T, P, 2], over the places `judged` [T, P].

    The query frame is left out, it does not depend on features.
    """
    distance = np.linalg.norm(tracks.astype(np.float64) - reference, axis=2)[1:][judged[1:]]
    return {"track_p95": float(np.percentile(distance, 95)), "track_max": float(distance.max())}
