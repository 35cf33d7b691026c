"""Top-k from loose candidates: order, thresholds, settling part-way, and the packed sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvc_deploy.propagation import topk as topk_module
from fgvc_deploy.propagation.topk import RunningTopK, order_by_query, topk_rows

STABLE = settings(derandomize=True, deadline=None, max_examples=50, database=None)
SCORES = np.array([-np.inf, -1.0, -0.5, -1e-30, -0.0, 0.0, 1e-30, 0.25, 0.5, 1.0], np.float32)


@STABLE
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, len(SCORES) - 1)), min_size=1, max_size=60))
def test_the_packed_sort_orders_like_a_plain_one(entries: list[tuple[int, int]]) -> None:
    queries = np.array([query for query, _ in entries], np.intp)
    scores = SCORES[[index for _, index in entries]]
    order = order_by_query(queries, scores)
    assert sorted(order.tolist()) == list(range(len(entries)))
    expected = np.lexsort((-scores, queries))
    np.testing.assert_array_equal(queries[order], queries[expected])
    np.testing.assert_array_equal(scores[order], scores[expected])


def test_numbers_too_large_to_pack_are_sorted_too() -> None:
    queries = np.array([2**40, 3, 2**40, 3], np.intp)
    scores = np.array([0.1, 0.2, 0.3, -0.4], np.float32)
    assert order_by_query(queries, scores).tolist() == [1, 3, 2, 0]


@STABLE
@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 200), st.integers(0, 10**6))
def test_it_keeps_the_best_of_a_stream(rows: int, topk: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = rng.integers(0, rows, count)
    scores = rng.integers(-9, 9, count).astype(np.float32) / np.float32(8)
    positions = np.arange(1, count + 1, dtype=np.int32)
    running = RunningTopK(rows, topk)
    for part in np.array_split(np.arange(count), 4):
        # A candidate at or below the threshold may be left out: that is what the threshold is for.
        useful = part[scores[part] > running.threshold[queries[part]]]
        running.add(queries[useful], scores[useful], positions[useful])
        running.settle()
    found, where = running.result()
    for row in range(rows):
        expected = np.sort(scores[queries == row])[::-1][:topk]
        np.testing.assert_array_equal(found[row, : len(expected)], expected)
        assert np.isneginf(found[row, len(expected) :]).all()
        assert (where[row, len(expected) :] == 0).all()
        named = where[row, : len(expected)] - 1
        assert len(set(named.tolist())) == len(expected)
        np.testing.assert_array_equal(scores[named], expected)
        assert (queries[named] == row).all()


def test_it_settles_by_itself_when_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topk_module, "PENDING_LIMIT", 100)
    running = RunningTopK(1, 3)
    scores = np.random.default_rng(0).random(120, dtype=np.float32)
    running.add(np.zeros(120, np.intp), scores, np.arange(120, dtype=np.int32))
    assert running.threshold[0] == np.sort(scores)[-3]
    np.testing.assert_array_equal(running.result()[0][0], np.sort(scores)[:-4:-1])


def test_full_rows() -> None:
    scores = np.array([[0.1, 0.9, -np.inf, 0.5], [-np.inf, -np.inf, 0.2, -np.inf]], np.float32)
    positions = np.array([[3, 1, 4, 2], [7, 8, 9, 6]], np.int32)
    best, where = topk_rows(scores, positions, 3)
    np.testing.assert_array_equal(best, np.array([[0.9, 0.5, 0.1], [0.2, -np.inf, -np.inf]], np.float32))
    assert where.tolist() == [[1, 2, 3], [9, 0, 0]]
    wider, there = topk_rows(scores, positions, 6)
    assert np.isneginf(wider[:, 4:]).all()
    assert there[0].tolist() == [1, 2, 3, 0, 0, 0]
    assert wider.dtype == np.float32
    assert there.dtype == np.int32
