"""Weights and thresholds of visibility from scenes whose occlusion is exact.  Tracking them: `calibrate.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.accuracy.base import EvalOptions, Figures, mean_figures
from fgvc_benchmarks.accuracy.tasks.points import PointTruth, score_points
from fgvc_benchmarks.accuracy.tasks.synthetic import SyntheticClip
from fgvc_deploy.settings import RoundTripSettings, VisibilitySettings
from fgvc_deploy.trackers.visibility import LEAST_GAP, LEAST_MASS, Evidence, confidence, round_trip_confidence

RIDGE = 1e-3
"""Penalty on squared weights of standardised evidence, relative to the mean log loss."""
THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 50))
STREAMED = ("peak", "similarity", "log_mass")
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Observed(NamedTuple):
    """A scene tracked from its first frame: exact truth, predicted tracks [N, T, 2], and what frames 1.. say.

    `evidence`, each part [N, T - 1]; `visible` bool [N, T - 1] as the tracker judged while streaming; `gap` [N, T] in
    network pixels where points were followed back, else NaN.
    """

    clip: SyntheticClip
    tracks: NDArray[np.float32]
    evidence: Evidence
    visible: Flags
    gap: NDArray[np.float32]

    @property
    def seen(self) -> Flags:
        """What is true: bool [N, T - 1]."""
        return ~self.clip.occluded[:, 1:]

    @property
    def followed_back(self) -> Flags:
        """Where the way back says something: bool [N, T - 1]."""
        both: Flags = np.isfinite(self.gap[:, 1:]) & np.isfinite(self.gap[:, :1])
        return both


class Calibrated(NamedTuple):
    """Weights and the least confidence that counts as visible."""

    settings: VisibilitySettings
    threshold: float


def calibrate(scenes: list[Observed]) -> Calibrated:
    """Weights by logistic regression, and the threshold with the best mean of AJ and occlusion accuracy."""
    bias, weights = fit_logistic(
        np.concatenate([_streamed(scene.evidence) for scene in scenes]),
        np.concatenate([scene.seen.ravel() for scene in scenes]),
    )
    settings = VisibilitySettings(bias=round(bias, 3), **_named(STREAMED, weights))
    sure = [streamed_sure(scene, settings) for scene in scenes]
    return Calibrated(settings, best_threshold(scenes, lambda scene, t: sure[scene] >= t))


def calibrate_round_trip(scenes: list[Observed]) -> RoundTripSettings:
    """The same where points were followed back; elsewhere streaming's verdict stands, threshold included."""
    bias, weights = fit_logistic(
        np.concatenate([_round_trip(scene)[scene.followed_back.ravel()] for scene in scenes]),
        np.concatenate([scene.seen[scene.followed_back] for scene in scenes]),
    )
    named = _named((*STREAMED, "log_gap", "log_home"), weights)
    settings = RoundTripSettings(bias=round(bias, 3), **named, threshold=0.5)
    sure = [round_trip_sure(scene, settings) for scene in scenes]

    def verdict(scene: int, threshold: float) -> Flags:
        return np.where(scenes[scene].followed_back, sure[scene] >= threshold, scenes[scene].visible)

    return settings.model_copy(update={"threshold": best_threshold(scenes, verdict)})


def streamed_sure(scene: Observed, settings: VisibilitySettings) -> NDArray[np.float32]:
    """Confidence [N, T - 1] as the tracker says it while streaming: 0 where the label has vanished."""
    return np.where(scene.evidence.peak > 0, confidence(scene.evidence, settings), np.float32(0))


def round_trip_sure(scene: Observed, settings: RoundTripSettings) -> NDArray[np.float32]:
    """Confidence [N, T - 1] with the way back; meaningless where a point was not followed back."""
    home = np.broadcast_to(scene.gap[:, :1], scene.seen.shape)
    sure = round_trip_confidence(scene.evidence, np.nan_to_num(scene.gap[:, 1:]), np.nan_to_num(home), settings)
    return np.where(scene.evidence.peak > 0, sure, np.float32(0))


def fit_logistic(columns: Floats, answers: Flags) -> tuple[float, Floats]:
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


def best_threshold(scenes: list[Observed], verdict: Callable[[int, float], Flags]) -> float:
    """The threshold t for which `verdict(i, t)`, bool [N, T - 1] of scene i, has the best sum of AJ and accuracy."""

    def goodness(threshold: float) -> float:
        figures = score(scenes, [verdict(number, threshold) for number in range(len(scenes))])
        return sum(figures[name] or 0.0 for name in ("average_jaccard", "occlusion_accuracy"))

    return max(THRESHOLDS, key=goodness)


def score(scenes: list[Observed], visible: list[Flags]) -> Figures:
    """TAP-Vid's figures, mean over scenes, for these verdicts on frames 1.. [N, T - 1]."""
    rows = []
    for scene, seen in zip(scenes, visible, strict=True):
        with_query = np.concatenate([np.ones((len(seen), 1), bool), seen], axis=1)
        truth = PointTruth(np.zeros(len(seen), np.int64), scene.clip.tracks, scene.clip.occluded)
        rows.append(score_points(truth, scene.tracks, with_query, EvalOptions()))
    return mean_figures(rows)


def _streamed(evidence: Evidence) -> Floats:
    """Evidence as the logistic function takes it, [M, 3]."""
    log_mass = np.log(np.maximum(evidence.mass, LEAST_MASS))
    return np.stack([evidence.peak.ravel(), evidence.similarity.ravel(), log_mass.ravel()], axis=1).astype(np.float64)


def _round_trip(scene: Observed) -> Floats:
    """The same with both gaps, [M, 5]; NaN where a point was not followed back."""
    home = np.broadcast_to(scene.gap[:, :1], scene.seen.shape)
    gaps = [np.log(np.maximum(part.astype(np.float64), LEAST_GAP)).ravel() for part in (scene.gap[:, 1:], home)]
    return np.concatenate([_streamed(scene.evidence), np.stack(gaps, axis=1)], axis=1)


def _named(names: tuple[str, ...], weights: Floats) -> dict[str, float]:
    return {name: round(float(weight), 3) for name, weight in zip(names, weights, strict=True)}
