"""How sure a tracker is of a point: evidence from one frame, and the confidence made of it.

Evidence is gathered while streaming.  The weights come with the bundle; they are fitted on synthetic occlusion by
`python -m fgvc_benchmarks.accuracy.calibrate` (docs/visibility.md).  The reference predicts no visibility.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import FeatureMap, Float32Array
from fgvc_deploy.settings import RoundTripSettings, VisibilitySettings

LEAST_MASS = 1e-3
"""Label mass below this share of the query frame's counts as this share: its logarithm must stay finite."""
LEAST_GAP = 0.1
"""Ways there and back that pass within this many network pixels agree; what is below is rounding."""


class Evidence(NamedTuple):
    """What one frame says about P points, each float32 [P].

    `peak`: mean of the five label values that the coordinate is averaged from, 0..1: do the matches agree?
    `similarity`: cosine of the features at the point's place now and on its query frame: does it look alike?
    `mass`: sum of the point's label map relative to that of its query frame: is it matched as often as it should be?
    """

    peak: Float32Array
    similarity: Float32Array
    mass: Float32Array

    @classmethod
    def certain(cls, points: int) -> Evidence:
        """Evidence of `points` points on their query frame, where each is seen and looks like itself."""
        return cls(*(np.ones(points, np.float32) for _ in cls._fields))


class Appearance(NamedTuple):
    """P points on their query frame: unit `features` [P, C] and the sums `mass` [P] of their label maps."""

    features: Float32Array
    mass: Float32Array

    def keep(self, rows: NDArray[np.bool_]) -> Appearance:
        """The points whose entry is True."""
        return Appearance(self.features[rows], self.mass[rows])

    def compare(self, peak: Float32Array, now: Appearance) -> Evidence:
        """Evidence of a later frame, on which the points have this `peak` and look like `now`."""
        similarity = np.einsum("pc,pc->p", self.features, now.features)
        mass = now.mass / np.maximum(self.mass, np.finfo(np.float32).tiny)
        return Evidence(peak, similarity, mass.astype(np.float32))


def confidence(evidence: Evidence, settings: VisibilitySettings) -> Float32Array:
    """Estimated probability [P] that the points are visible: a logistic function of the evidence."""
    return _logistic(_score(evidence, settings))


def round_trip_confidence(
    evidence: Evidence, gap: Float32Array, home: Float32Array, settings: RoundTripSettings
) -> Float32Array:
    """The same [P] where points were followed back too: `gap` [P] apart on this frame, `home` [P] on the query's.

    Both in network pixels (Kalal et al., Forward-Backward Error, ICPR 2010).
    """
    score = _score(evidence, settings)
    score += settings.log_gap * np.log(np.maximum(gap, LEAST_GAP))
    return _logistic(score + settings.log_home * np.log(np.maximum(home, LEAST_GAP)))


def _score(evidence: Evidence, settings: VisibilitySettings) -> NDArray[np.float64]:
    log_mass = np.log(np.maximum(evidence.mass, LEAST_MASS))
    score: NDArray[np.float64] = settings.bias + settings.peak * evidence.peak.astype(np.float64)
    score += settings.similarity * evidence.similarity + settings.log_mass * log_mass
    return score


def _logistic(score: NDArray[np.float64]) -> Float32Array:
    # Beyond +-30 float32 cannot tell it from 0 or 1, and exp would overflow.
    probability: Float32Array = (1 / (1 + np.exp(-score.clip(-30, 30)))).astype(np.float32)
    return probability


def sample_features(features: FeatureMap, xy: NDArray[np.floating]) -> Float32Array:
    """Unit features [P, C] at positions [P, 2] (x, y) in feature pixels, bilinear, clamped to the map."""
    height, width = features.hw
    x, y = (xy[:, axis].clip(0, side - 1) for axis, side in ((0, width), (1, height)))
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[:, None], (y - top)[:, None]
    upper = features.unit[top * width + left] * (1 - across) + features.unit[top * width + right] * across
    lower = features.unit[bottom * width + left] * (1 - across) + features.unit[bottom * width + right] * across
    mixed = upper * (1 - down) + lower * down
    length = np.linalg.norm(mixed, axis=1, keepdims=True)
    sampled: Float32Array = (mixed / np.maximum(length, 1e-12)).astype(np.float32)
    return sampled
