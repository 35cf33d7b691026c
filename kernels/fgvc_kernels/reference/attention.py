"""Local-window attention: affinity, mask, top-k, weights, weighted sum of labels, all as dense matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .affinity import FloatArray, cosine_affinity, l2_affinity, unit_rows
from .windows import BoolArray


@dataclass(frozen=True)
class AttentionOptions:
    """How affinities become weights (goldens items 10, 11 and 14).

    `topk=None` spreads the softmax over all allowed keys.  `weighting="cosine"` uses max(affinity, 0)^2, not
    normalised, in place of the softmax.  `similarity="l2"` ignores the temperature.  The first `non_mask_len` key
    frames are attended to globally.
    """

    topk: int | None = 10
    temperature: float = 0.07
    normalize: bool = True
    similarity: Literal["dot", "l2"] = "dot"
    weighting: Literal["softmax", "cosine"] = "softmax"
    non_mask_len: int = 0


def attend(
    query: FloatArray, keys: FloatArray, labels: FloatArray, mask: BoolArray | None, options: AttentionOptions
) -> FloatArray:
    """Label maps [H, W, P] of a query frame [H, W, C] from T key frames [T, H, W, C] with labels [T, H, W, P].

    `mask` is bool [H*W, H*W] ([query, key], see `windows.window_mask`); None attends to every key.
    """
    affinity = masked_affinity(query, keys, mask, options)
    weights = selection_weights(affinity, options.topk, options.weighting)
    maps = weights @ labels.reshape(-1, labels.shape[-1])
    return np.asarray(maps.reshape(*query.shape[:2], -1))


def attend_batch(
    query: FloatArray, keys: FloatArray, labels: FloatArray, mask: BoolArray | None, options: AttentionOptions
) -> FloatArray:
    """`attend` for each element of a leading batch axis, each with its own labels.

    The reference reads every element's labels from element 0 (goldens item 13); here that defect is corrected.
    """
    return np.stack([attend(*element, mask, options) for element in zip(query, keys, labels, strict=True)])


def masked_affinity(
    query: FloatArray, keys: FloatArray, mask: BoolArray | None, options: AttentionOptions
) -> FloatArray:
    """Affinities [H*W, T*H*W], divided by the temperature; keys outside the window are -inf."""
    rows = query.reshape(-1, query.shape[-1])
    key_rows = keys.reshape(-1, keys.shape[-1])
    if options.normalize:
        rows, key_rows = unit_rows(rows), unit_rows(key_rows)
    if options.similarity == "l2":
        affinity = l2_affinity(rows, key_rows)
    else:
        affinity = cosine_affinity(rows, key_rows) / options.temperature
    if mask is None:
        return np.asarray(affinity)
    frames = len(keys)
    allowed = np.tile(mask, (1, frames))
    allowed[:, : options.non_mask_len * mask.shape[1]] = True
    return np.where(allowed, affinity, -np.inf)


def keep_topk(affinity: FloatArray, topk: int | None) -> FloatArray:
    """The affinity matrix with everything but each row's `topk` largest set to -inf; the first key wins a tie."""
    if topk is None or topk >= affinity.shape[1]:
        return affinity
    best = np.argsort(-affinity, axis=1, kind="stable")[:, :topk]
    kept = np.full_like(affinity, -np.inf)
    np.put_along_axis(kept, best, np.take_along_axis(affinity, best, axis=1), axis=1)
    return kept


def softmax_rows(affinity: FloatArray) -> FloatArray:
    """Softmax over the last axis; -inf weighs exactly 0.  Every row needs one finite entry."""
    shifted = np.exp(affinity - affinity.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def selection_weights(
    affinity: FloatArray, topk: int | None, weighting: Literal["softmax", "cosine"] = "softmax"
) -> FloatArray:
    """Weights [Q, K] of every key: zero outside the top-k, else softmax or max(affinity, 0)^2 (goldens item 14)."""
    kept = keep_topk(affinity, topk)
    if weighting == "cosine":
        return np.asarray(np.maximum(kept, 0) ** 2)
    return softmax_rows(kept)
