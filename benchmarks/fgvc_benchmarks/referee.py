"""The judge of a tracker's coordinates: a plain tracker that also knows which of its answers hang on a tie.

Two correct implementations differ by float32 rounding.  Where the 10th and the 11th best key of a pixel score almost
the same, rounding decides which label is taken, and where the 5th and the 6th best pixel of a map do, which position
is averaged (goldens items 12 and 25).  Such answers are left out of a comparison; all others must agree.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_benchmarks.plain import Grid, PlainTracker
from fgvc_deploy.propagation.base import Float32Array, Window
from fgvc_deploy.propagation.features import unit_features
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.readout.centroid import TOP
from fgvc_deploy.readout.resample import map_taps, resize_maps
from fgvc_deploy.settings import PropagationSettings

# A backend's scores may be off by 2e-6 (`subjects/propagation.py`), so two that are 4e-6 apart may change places.
SCORE_GAP = 4e-6
# 2e-6 in a score is 2e-6 / 0.07 of a weight, and so of a label.
LABEL_GAP = 1e-4


class Verdict(NamedTuple):
    """Points (x, y) float64 [P, 2] in network pixels, and which of them hang on no tie, bool [P]."""

    xy: NDArray[np.float64]
    clear: NDArray[np.bool_]


class Referee(PlainTracker):
    """Matches by the NumPy backend (itself checked against `fgvc_kernels.reference`), weights in float64.

    A last label channel bounds how far ties may move a pixel's labels, which lie in 0..1.  Where keys tie for the
    last places of the top-k, that is the weight of these places; from then on it is carried like a label.
    """

    def __init__(self, settings: PropagationSettings, grid: Grid, xy: Float32Array, threads: int) -> None:
        self._backend = TiledBackend(threads)
        self._window = Window(settings.window, settings.radius)
        super().__init__(self._attend_with_doubt, settings, grid, xy)

    def judge(self, labels: Float32Array) -> Verdict:
        """Read label maps [H*W, P + 1] of a frame, the bounds last."""
        maps = np.ascontiguousarray(labels.T).reshape(-1, *self._grid.feature_hw)
        taps = map_taps(
            self._grid.feature_hw, self._grid.network_hw, self._grid.stride, self._grid.network_hw, "corrected"
        )
        *large, doubt = resize_maps(maps, taps).reshape(len(maps), -1)
        clear = [_is_clear(values, doubt) for values in large]
        return Verdict(self.read(np.ascontiguousarray(labels[:, :-1])), np.array(clear, dtype=np.bool_))

    def _draw(self, xy: Float32Array) -> Float32Array:
        return np.pad(super()._draw(xy), ((0, 0), (0, 1)))

    def _attend_with_doubt(self, query: Float32Array, keys: Float32Array, labels: Float32Array) -> Float32Array:
        topk = self._settings.topk
        found = self._backend.match(
            unit_features(query), [unit_features(key) for key in keys], self._window, topk + 1
        )
        scores, positions = found.scores[:, :topk].astype(np.float64), found.positions[:, :topk]
        weights = np.exp((scores - scores[:, :1]) / self._settings.temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        rows = labels.reshape(-1, labels.shape[-1])
        carried = np.zeros((len(weights), rows.shape[1]))
        for entry in range(topk):
            carried += weights[:, entry, None] * rows[positions[:, entry]]
        with np.errstate(invalid="ignore"):  # -inf - -inf: fewer keys than places, nobody contends
            contended = scores - found.scores[:, topk, None] <= SCORE_GAP
        carried[:, -1] += (weights * contended).sum(axis=1)
        return carried.astype(np.float32)


def _is_clear(values: Float32Array, doubt: Float32Array) -> bool:
    """Whether no tie can change which pixels of one upsampled map, flattened, are read, nor their values."""
    best = np.argpartition(values, -TOP)[-TOP:]
    lowest = values[best].min()
    others = values + doubt
    others[best] = -np.inf
    return bool(lowest - others.max() > LABEL_GAP * lowest and not doubt[best].any())
