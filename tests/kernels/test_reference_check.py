"""The match checker accepts right matches and names each kind of wrong one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_kernels.reference import MatchError, check_matches, unit_rows, window_mask
from fgvc_kernels.reference.check import check_scores

HW, TOPK, RADIUS = (5, 6), 8, 1.5


def features() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    return [unit_rows(rng.standard_normal((30, 4)).astype(np.float32)) for _ in range(3)]


def right_matches() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    query, *keys = features()
    affinity = np.where(np.tile(window_mask(HW, "circle", RADIUS), (1, 2)), query @ np.concatenate(keys).T, -np.inf)
    positions = np.argsort(-affinity, axis=1, kind="stable")[:, :TOPK]
    scores = np.take_along_axis(affinity, positions, axis=1).astype(np.float32)
    return scores, np.where(np.isfinite(scores), positions, 0).astype(np.int32)


def check(scores: NDArray[Any], positions: NDArray[Any], rows: list[int] | None = None) -> float:
    query, *keys = features()
    return check_matches(scores, positions, query, keys, HW, "circle", RADIUS, TOPK, rows=rows)


def test_right_matches_pass() -> None:
    assert check(*right_matches()) < 2e-7


def test_order_of_equal_scores_is_free() -> None:
    affinity = np.ones((1, 5))
    allowed = np.ones((1, 5), dtype=bool)
    for positions in ([[0, 1, 2]], [[4, 2, 3]]):
        assert check_scores(np.ones((1, 3), np.float32), np.array(positions, np.int32), affinity, allowed) == 0


@pytest.mark.parametrize(
    ("row", "column", "score", "position", "message"),
    [
        (7, 0, np.nan, None, "missing, surplus or NaN"),
        (7, 7, -np.inf, None, "missing, surplus or NaN"),
        (7, 0, 0.0, None, "not best first"),
        (7, 7, -1.0, None, "not its key's affinity"),
        (7, 7, None, 29, "outside the window"),
        (7, 7, None, 60, "outside the key list"),
        (7, 7, None, -1, "outside the key list"),
    ],
)
def test_a_wrong_entry_is_found(
    row: int, column: int, score: float | None, position: int | None, message: str
) -> None:
    scores, positions = right_matches()
    if score is not None:
        scores[row, column] = score
    if position is not None:
        positions[row, column] = position
    with pytest.raises(MatchError, match=message):
        check(scores, positions)
    check(scores, positions, rows=[0, 1, 20])


def test_a_repeated_key_is_found() -> None:
    scores, positions = right_matches()
    scores[:, 1], positions[:, 1] = scores[:, 0], positions[:, 0]
    with pytest.raises(MatchError, match="listed twice"):
        check(scores, positions)


def test_a_missed_best_key_is_found() -> None:
    query, *keys = features()
    affinity = query[:1].astype(np.float64) @ keys[0].T
    order = np.argsort(-affinity[0])[1:4].astype(np.int32)
    scores = affinity[:, order].astype(np.float32)
    with pytest.raises(MatchError, match="not the best ones"):
        check_scores(scores, order[None], affinity, np.ones_like(affinity, dtype=bool))


def test_an_empty_entry_points_nowhere() -> None:
    allowed = np.array([[True, False]])
    scores = np.array([[0.5, -np.inf]], np.float32)
    assert check_scores(scores, np.array([[0, 0]], np.int32), np.array([[0.5, 0.7]]), allowed) == 0
    with pytest.raises(MatchError, match="position other than 0"):
        check_scores(scores, np.array([[0, 1]], np.int32), np.array([[0.5, 0.7]]), allowed)


def test_wrong_types_are_found() -> None:
    scores, positions = right_matches()
    with pytest.raises(MatchError, match="float64"):
        check(scores.astype(np.float64), positions)
    with pytest.raises(MatchError, match="int64"):
        check(scores, positions.astype(np.int64))
    with pytest.raises(MatchError, match="shapes"):
        check(scores[:, :3], positions[:, :3])
