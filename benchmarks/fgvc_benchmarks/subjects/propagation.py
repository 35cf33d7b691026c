"""One propagation step of a backend on synthetic features: prepare the query, match it, carry the labels."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.geometry import Geometry
from fgvc_benchmarks.inputs import feature_frames, label_frames
from fgvc_benchmarks.subjects.base import Params, at_most
from fgvc_benchmarks.timing import ExactTimer, Sample, stopwatch
from fgvc_deploy.bundle import ParityFigure, open_bundle
from fgvc_deploy.errors import BackendError, ParityError
from fgvc_deploy.propagation.base import Float32Array, Matches, PropagationBackend
from fgvc_deploy.propagation.select import PROPAGATION_BACKENDS
from fgvc_deploy.propagation.weights import propagate, softmax_weights
from fgvc_kernels.reference import MatchError, check_matches

CHECKED_ROWS = 512
# A dot product of two unit vectors of at most 256 channels in float32: 16 roundings of random sign, 2^-24 each.
SCORE_BUDGET = 2e-6
# The weights' exponent is a score difference / 0.07; scores being equal, only float32 rounding of the sum is left.
LABEL_BUDGET = 2e-6


def geometry_of(params: Params) -> Geometry:
    """The geometry a case's parameters describe."""
    return Geometry(**params["geometry"])


def make_backend(name: str, options: Mapping[str, Any], threads: int) -> PropagationBackend:
    """The backend `name` of the table, made with options; raises BackendError when it cannot run here.

    The option `bundle` is the path of the bundle that a backend lies in, for those that do.
    """
    given = dict(options)
    path = given.pop("bundle", None)
    bundle = open_bundle(path) if path is not None else None
    entry = next((entry for entry in PROPAGATION_BACKENDS if entry.name == name), None)
    reason = "there is none of that name" if entry is None else entry.check(bundle)
    if entry is None or reason is not None:
        raise BackendError(f"propagation backend '{name}' cannot run here: {reason}.")
    make = getattr(importlib.import_module(entry.module), entry.attribute)
    backend = make(*([bundle] if entry.in_bundle else []), threads=threads, **given)
    return cast(PropagationBackend, backend)


class Propagation:
    """Parameters: `geometry` (fields of Geometry), `points`, `backend` (a name of the propagation table), `options`.

    `options` are passed to the backend's class, for example {"precision": "fp32"}.
    """

    def __init__(self, params: Params, threads: int) -> None:
        self._geometry = geometry = geometry_of(params)
        self._backend = make_backend(params["backend"], params["options"], threads)
        *keys, self._query = feature_frames(geometry)
        self._keys = [self._backend.prepare(frame) for frame in keys]
        self._labels = label_frames(geometry, params["points"])
        self._timer = ExactTimer()
        self.facts: dict[str, Any] = {
            "backend": self._backend.name,
            # The native backend says whether it screens in bf16, and with which instructions.
            "precision": "bf16 + fp32" if getattr(self._backend, "screened", False) else "fp32",
            "isa": getattr(self._backend, "isa", ""),
            "useful_gflop": geometry.useful_gflop(),
        }

    def check(self) -> list[ParityFigure]:
        """Matches of sampled queries against float64 by value (ties are real), labels against the match's own."""
        matches, labels = self._step()
        query = self._backend.prepare(self._query)
        keys = [key.unit for key in self._keys]
        rows = sampled_rows(self._geometry.hw)
        return [
            match_figure(matches, query.unit, keys, self._geometry, rows),
            label_figure(matches, self._labels, labels, self._geometry.temperature, rows),
        ]

    def run(self) -> Sample:
        """One step; `prepare`, `match` and `carry` are its stages."""
        self._timer.take()
        with stopwatch() as sample:
            self._step()
        sample.stages = self._timer.take()
        return sample

    def _step(self) -> tuple[Matches, Float32Array]:
        geometry = self._geometry
        with self._timer.stage("prepare"):
            query = self._backend.prepare(self._query)
        with self._timer.stage("match"):
            matches = self._backend.match(query, self._keys, geometry.window, geometry.topk)
        with self._timer.stage("carry"):
            weights = softmax_weights(matches.scores, geometry.temperature)
            return matches, propagate(matches, weights, self._labels)


def sampled_rows(hw: tuple[int, int]) -> NDArray[np.intp]:
    """Seeded query pixels with the four corners among them; all of a small map."""
    size = hw[0] * hw[1]
    if size <= CHECKED_ROWS:
        return np.arange(size)
    corners = [0, hw[1] - 1, size - hw[1], size - 1]
    return np.union1d(corners, np.random.default_rng(0).choice(size, CHECKED_ROWS - 4, replace=False))


def match_figure(
    matches: Matches, query: Float32Array, keys: list[Float32Array], geometry: Geometry, rows: NDArray[np.intp]
) -> ParityFigure:
    """Largest difference of the top-k scores from float64 on some rows; ParityError when a key is wrong."""
    window = geometry.window
    detail = f"{len(rows)} query pixels against float64"
    try:
        value = check_matches(
            *matches, query, keys, geometry.hw, *window, geometry.topk, tolerance=SCORE_BUDGET, rows=rows.tolist()
        )
    except MatchError as error:
        raise ParityError(f"matches differ from the reference: {error}") from None
    return at_most("scores", value, SCORE_BUDGET, "cosine", detail)


def label_figure(
    matches: Matches, labels: list[Float32Array], carried: Float32Array, temperature: float, rows: NDArray[np.intp]
) -> ParityFigure:
    """Largest difference of carried labels from a float64 weighted sum over the same matches."""
    exponent = matches.scores[rows].astype(np.float64) / temperature
    weights = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    gathered = np.concatenate(labels)[matches.positions[rows]]
    exact = np.einsum("qk,qkp->qp", weights, gathered)
    return at_most("labels", float(np.abs(carried[rows] - exact).max()), LABEL_BUDGET, "label")
