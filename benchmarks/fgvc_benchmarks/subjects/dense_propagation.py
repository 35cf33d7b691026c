"""One step of the project's dense implementation of the reference: the denominator of every speed-up."""

from __future__ import annotations

from typing import Any

import numpy as np

from fgvc_benchmarks.inputs import feature_frames, label_frames
from fgvc_benchmarks.subjects.base import Params
from fgvc_benchmarks.subjects.propagation import geometry_of, label_figure, match_figure, sampled_rows
from fgvc_benchmarks.timing import Sample, stopwatch
from fgvc_deploy.bundle import ParityFigure
from fgvc_deploy.propagation.base import Matches
from fgvc_deploy.propagation.features import unit_features


class DensePropagation:
    """Parameters: `geometry` and `points`, as for `Propagation`.  The mask is made once, outside the stopwatch."""

    def __init__(self, params: Params, threads: int) -> None:
        from fgvc_benchmarks.dense import STEP, DenseAttention, dense_mask, use_threads

        use_threads(threads)
        self._geometry = geometry = geometry_of(params)
        frames = feature_frames(geometry)
        self._query, self._keys = frames[-1], frames[:-1]
        self._labels = label_frames(geometry, params["points"])
        self._stacked = np.stack(self._labels)
        self._attend = DenseAttention(dense_mask(geometry.hw, geometry.window), geometry.topk, geometry.temperature)
        self.facts: dict[str, Any] = {
            "backend": "dense",
            "precision": "fp32",
            "useful_gflop": geometry.useful_gflop(),
            "gflop": geometry.dense_gflop(),
            "query_step": STEP,
        }

    def check(self) -> list[ParityFigure]:
        """The checks every backend goes through."""
        labels, scores, positions = self._attend(self._query, self._keys, self._stacked)
        matches = Matches(scores, positions)
        query, *keys = (unit_features(frame).unit for frame in (self._query, *self._keys))
        rows = sampled_rows(self._geometry.hw)
        return [
            match_figure(matches, query, keys, self._geometry, rows),
            label_figure(matches, self._labels, labels, self._geometry.temperature, rows),
        ]

    def run(self) -> Sample:
        """One step over all queries: normalise, match, carry."""
        with stopwatch() as sample:
            self._attend(self._query, self._keys, self._stacked)
        return sample
