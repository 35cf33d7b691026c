"""Ties between matches, told apart from errors: tracks in which a tied choice is made as the reference made it.

The k best keys of a pixel are a hard choice.  Where the k-th and the next are equal to within rounding, two correct
encoders choose differently, and the label that comes along can move a point by pixels.  What a figure may be is
`budgets.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import (
    BoolArray,
    FeatureMap,
    Float32Array,
    Int32Array,
    Matches,
    PropagationBackend,
    Window,
)
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_export.budgets import BUDGETS

# Scores of a correct fp32 encoder and matcher are off by up to this (the budget says why): keys this close are tied.
TIED = BUDGETS["match_score_max"].value["fp32"]


class Recorder:
    """The NumPy matcher; `steps` are the matches of every call, oldest first."""

    name = "numpy, recorded"

    def __init__(self) -> None:
        self.steps: list[Matches] = []
        self._backend: PropagationBackend = TiledBackend()

    def prepare(self, features: Float32Array) -> FeatureMap:
        """See `PropagationBackend.prepare`."""
        return self._backend.prepare(features)

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """See `PropagationBackend.match`."""
        self.steps.append(self._backend.match(query, keys, window, topk, active))
        return self.steps[-1]


class Follower(Recorder):
    """The NumPy matcher, which chooses recorded keys where they tie with its own.

    `recorded` are the matches of the same steps with other features.  A pixel follows them when, by the features
    given here, each of the recorded keys scores at least the k-th best score minus `TIED`: then they are a valid
    answer.  Scores are always of the features given here.  `followed` counts the pixels that did, `seen` all of them.
    """

    name = "numpy, ties as recorded"

    def __init__(self, recorded: Sequence[Matches]) -> None:
        super().__init__()
        self.followed = self.seen = 0
        self._recorded: Iterator[Matches] = iter(recorded)

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """See `PropagationBackend.match`."""
        own, theirs = super().match(query, keys, window, topk, active), next(self._recorded)
        rows = _other_choice(own, theirs)
        scores = scores_at(query, keys, rows, theirs.positions[rows])
        tied = scores.min(axis=1, initial=np.inf) >= own.scores[rows].min(axis=1, initial=np.inf) - TIED
        self.followed += int(tied.sum())
        self.seen += int(np.isfinite(own.scores[:, 0]).sum())
        order = np.argsort(-scores[tied], axis=1)
        followed = Matches(own.scores.copy(), own.positions.copy())
        followed.scores[rows[tied]] = np.take_along_axis(scores[tied], order, axis=1)
        followed.positions[rows[tied]] = np.take_along_axis(theirs.positions[rows[tied]], order, axis=1)
        return followed


def _other_choice(own: Matches, theirs: Matches) -> NDArray[np.intp]:
    """Pixels with k keys in both, but not the same ones."""
    full = np.isfinite(own.scores).all(axis=1) & np.isfinite(theirs.scores).all(axis=1)
    differ = (np.sort(own.positions, axis=1) != np.sort(theirs.positions, axis=1)).any(axis=1)
    return np.flatnonzero(full & differ)


def scores_at(
    query: FeatureMap, keys: Sequence[FeatureMap], rows: NDArray[np.intp], positions: Int32Array
) -> Float32Array:
    """Cosines of the query pixels `rows` [n] and the keys at `positions` [n, k] as in `Matches`, float32 [n, k]."""
    slots, pixels = np.divmod(positions, len(query.unit))
    scores = np.empty(positions.shape, np.float32)
    for slot, frame in enumerate(keys):
        row, place = np.nonzero(slots == slot)
        scores[row, place] = np.einsum("ij,ij->i", query.unit[rows[row]], frame.unit[pixels[row, place]])
    return scores
