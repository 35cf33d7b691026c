"""Keeping the k best keys of each query, from loose candidates or from full rows.  No features, no geometry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import Float32Array, Int32Array

# Candidates wait until there are this many, then one sort serves all queries; the scratch stays below 20 MB.
PENDING_LIMIT = 1 << 18
SIGN = np.uint32(1 << 31)


class RunningTopK:
    """The k best of a stream of (query, score, position) candidates, for queries 0..rows-1.

    `threshold` [rows] is a lower bound of each query's final k-th best score.  Only candidates strictly above it need
    be added: k keys at or above the bound have been added already, and equal scores come in no particular order.
    Set to infinity, it keeps a query empty.
    """

    def __init__(self, rows: int, topk: int) -> None:
        self.threshold = np.full(rows, -np.inf, dtype=np.float32)
        self._scores = np.full((rows, topk), -np.inf, dtype=np.float32)
        self._positions = np.zeros((rows, topk), dtype=np.int32)
        self._pending: list[tuple[NDArray[np.intp], Float32Array, Int32Array]] = []
        self._waiting = 0

    def candidates(
        self, products: Float32Array, allowed: NDArray[np.bool_], queries: slice = slice(None)
    ) -> NDArray[np.intp]:
        """Flat indices of the products that may belong to the top-k: they still have to be added.

        `products` and `allowed` are [n, keys, m], for n groups of m queries that are the n * m rows `queries`.
        """
        threshold = self.threshold[queries].reshape(len(products), 1, -1)
        if not np.isneginf(threshold).any():
            # Few pass, so the window is looked up for those alone.
            passed = np.flatnonzero(products > threshold)
            return passed[allowed.ravel()[passed]]
        topk = self._scores.shape[1]
        if topk >= products.shape[1]:
            return np.flatnonzero(allowed & (threshold < np.inf))
        inside = np.ascontiguousarray(np.where(allowed, products, -np.inf).swapaxes(1, 2))
        kth = np.partition(inside, -topk, axis=2)[:, None, :, -topk]
        chosen = np.flatnonzero((products >= np.maximum(kth, threshold)) & allowed)
        self.threshold[queries] = np.maximum(kth, threshold).ravel()
        return chosen

    def add(self, queries: NDArray[np.intp], scores: Float32Array, positions: Int32Array) -> None:
        """Take candidates, in any order."""
        self._pending.append((queries, scores, positions))
        self._waiting += len(scores)
        if self._waiting > PENDING_LIMIT:
            self.settle()

    def settle(self) -> None:
        """Merge the waiting candidates and raise the thresholds."""
        if not self._pending:
            return
        rows, topk = self._scores.shape
        own = np.repeat(np.arange(rows), topk)
        queries = np.concatenate([own, *(part[0] for part in self._pending)])
        scores = np.concatenate([self._scores.ravel(), *(part[1] for part in self._pending)])
        positions = np.concatenate([self._positions.ravel(), *(part[2] for part in self._pending)])
        order = order_by_query(queries, scores)
        count = np.bincount(queries, minlength=rows)
        first = np.cumsum(count) - count
        best = order[first[:, None] + np.arange(topk)]
        self._scores, self._positions = scores[best], positions[best]
        np.maximum(self.threshold, self._scores[:, -1], out=self.threshold)
        self._pending, self._waiting = [], 0

    def result(self) -> tuple[Float32Array, Int32Array]:
        """Scores and positions [rows, k], best first; -inf and 0 where a query had fewer than k candidates."""
        self.settle()
        return self._scores, self._positions


def order_by_query(queries: NDArray[np.intp], scores: Float32Array) -> NDArray[np.intp]:
    """Indices that sort by query, then by falling score, then by index.

    Query, score and index are packed into one uint64 where they fit, because NumPy sorts plain integers several times
    faster than it arg-sorts.
    """
    if int(queries.max(initial=0)).bit_length() + 32 + len(scores).bit_length() > 64:
        return np.lexsort((-scores, queries))
    index_bits = np.uint64(len(scores).bit_length())
    bits = np.ascontiguousarray(scores).view(np.uint32)
    # Flip so that unsigned order is falling score: all bits of positive floats but the sign, nothing of negatives.
    falling = np.where(bits & SIGN, bits, ~(bits | SIGN)).astype(np.uint64)
    packed = queries.astype(np.uint64) << (np.uint64(32) + index_bits)
    packed |= falling << index_bits
    packed |= np.arange(len(scores), dtype=np.uint64)
    packed.sort()
    return (packed & ((np.uint64(1) << index_bits) - np.uint64(1))).astype(np.intp)


def topk_rows(scores: Float32Array, positions: Int32Array, topk: int) -> tuple[Float32Array, Int32Array]:
    """The k best of full rows [Q, K], best first, filled up with -inf and 0 when K < k."""
    if scores.shape[1] > topk:
        kept = np.argpartition(scores, scores.shape[1] - topk, axis=1)[:, -topk:]
        scores, positions = np.take_along_axis(scores, kept, axis=1), np.take_along_axis(positions, kept, axis=1)
    order = np.argsort(-scores, axis=1)
    scores, positions = np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)
    missing = ((0, 0), (0, topk - scores.shape[1]))
    scores = np.pad(scores, missing, constant_values=-np.inf)
    return scores, np.where(np.isneginf(scores), np.int32(0), np.pad(positions, missing))
