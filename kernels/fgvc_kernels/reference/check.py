"""Is a set of matches right?  Tie-aware checks that any propagation backend is put through.

They compare values, never indices: equal scores come in no particular order.  Everything is recomputed in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .affinity import FloatArray
from .windows import BoolArray, WindowShape, window_rows

Positions = NDArray[np.int32]
Float32Array = NDArray[np.float32]
CHUNK = 512


class MatchError(AssertionError):
    """Matches are not what the reference allows; the text names the first query pixel that is wrong."""


def check_matches(
    scores: Float32Array,
    positions: Positions,
    query: FloatArray,
    keys: Sequence[FloatArray],
    hw: tuple[int, int],
    shape: WindowShape,
    radius: float,
    topk: int,
    *,
    tolerance: float = 1e-6,
    rows: Sequence[int] | None = None,
) -> float:
    """Check `scores` and `positions` [H*W, k] against unit features: query [H*W, C], one [H*W, C] per key slot.

    `rows` limits the check to some query pixels (all by default; memory stays bounded).  Returns the largest score
    difference; raises MatchError.
    """
    size = hw[0] * hw[1]
    _require(scores.shape == positions.shape == (size, topk), f"shapes {scores.shape}, {positions.shape}")
    _require(scores.dtype == np.float32, f"scores are {scores.dtype}, not float32")
    _require(positions.dtype == np.int32, f"positions are {positions.dtype}, not int32")
    chosen = np.arange(size) if rows is None else np.asarray(rows)
    key_rows = np.concatenate(keys).astype(np.float64)
    worst = 0.0
    for start in range(0, len(chosen), CHUNK):
        part = chosen[start : start + CHUNK]
        affinity = query[part].astype(np.float64) @ key_rows.T
        allowed = np.tile(window_rows(hw, shape, radius, part), (1, len(keys)))
        worst = max(worst, check_scores(scores[part], positions[part], affinity, allowed, tolerance=tolerance))
    return worst


def check_scores(
    scores: Float32Array,
    positions: Positions,
    affinity: FloatArray,
    allowed: BoolArray,
    *,
    tolerance: float = 1e-6,
) -> float:
    """Check top-k lists [Q, k] against a full affinity matrix [Q, K] and its allowed keys bool [Q, K].

    Right means: best first, no NaN, distinct allowed keys, each with its own affinity, the k best values of the row,
    and -inf with position 0 exactly where the row has fewer than k allowed keys.  Returns the largest difference.
    """
    topk = scores.shape[1]
    expected = expected_scores(affinity, allowed, topk)
    valid = np.isfinite(expected)
    _rows_ok(np.where(valid, np.isfinite(scores), np.isneginf(scores)), "a score is missing, surplus or NaN")
    _rows_ok(valid | (positions == 0), "an empty entry has a position other than 0")
    _rows_ok((positions >= 0) & (positions < affinity.shape[1]), "a position is outside the key list")
    _rows_ok(scores[:, 1:] <= scores[:, :-1], "scores are not best first")
    _rows_ok(np.take_along_axis(allowed, positions, axis=1) | ~valid, "a key is outside the window")
    _rows_ok(_distinct(positions, valid), "a key is listed twice")
    given = np.where(valid, scores, 0.0)
    own = np.where(valid, np.take_along_axis(affinity, positions, axis=1), 0.0)
    own_error = np.abs(given - own)
    _rows_ok(own_error <= tolerance, f"a score is not its key's affinity (max {own_error.max(initial=0):.3g})")
    error = np.abs(given - np.where(valid, expected, 0.0))
    _rows_ok(error <= tolerance, f"scores are not the best ones (max {error.max(initial=0):.3g})")
    return float(error.max(initial=0.0))


def expected_scores(affinity: FloatArray, allowed: BoolArray, topk: int) -> FloatArray:
    """The k largest allowed affinities of every row, best first, -inf where there are fewer: [Q, k]."""
    ordered = np.sort(np.where(allowed, affinity, -np.inf), axis=1)[:, ::-1][:, :topk]
    missing = topk - ordered.shape[1]
    return np.pad(ordered, ((0, 0), (0, missing)), constant_values=-np.inf)


def _distinct(positions: Positions, valid: BoolArray) -> BoolArray:
    # Empty entries get distinct negative numbers, so that only real repetitions are found.
    numbered = np.where(valid, positions, -1 - np.arange(positions.shape[1]))
    ordered = np.sort(numbered, axis=1)
    return np.asarray(ordered[:, 1:] != ordered[:, :-1])


def _rows_ok(good: BoolArray, message: str) -> None:
    bad = np.flatnonzero(~good.all(axis=1))
    _require(bad.size == 0, f"{message}: {bad.size} of {len(good)} rows, first at row {bad[:1]}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise MatchError(message)
