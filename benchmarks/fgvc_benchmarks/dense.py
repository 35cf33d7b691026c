"""The official propagation algorithm, written anew from the facts in the goldens: the yardstick of every speed-up.

Dense affinity of all keys with a chunk of queries, a dense window mask, a joint top-k over all key frames, softmax,
gather (goldens items 8-12).  It is as slow as the algorithm is; nothing here may be optimised beyond what the
official code does.  Faster ways to the same answer live in `fgvc_deploy.propagation`.  Needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import Window

Float32Array = NDArray[np.float32]
STEP = 512
"""Queries per chunk, as in the official configuration."""


class DenseResult(NamedTuple):
    """Label maps float32 [H*W, P] and the joint top-k behind them: scores (cosines) and positions, both [H*W, k]."""

    labels: Float32Array
    scores: Float32Array
    positions: NDArray[np.int32]


def dense_mask(hw: tuple[int, int], window: Window) -> torch.Tensor:
    """Allowed keys of every query on one key frame: bool [H*W, H*W], [key, query] (goldens items 8 and 9).

    Takes (H*W)^2 bytes: 268 MB for features of 128x128.
    """
    dy = torch.arange(hw[0])[:, None] - torch.arange(hw[0])
    dx = torch.arange(hw[1])[:, None] - torch.arange(hw[1])
    mask = torch.empty(hw[0], hw[1], hw[0], hw[1], dtype=torch.bool)
    for row in range(hw[0]):
        if window.shape == "circle":
            mask[row] = dy[row][:, None] ** 2 + dx[:, None, :] ** 2 < window.radius**2
        else:
            mask[row] = (dy[row].abs()[:, None] <= window.radius) & (dx.abs()[:, None, :] <= window.radius)
    return mask.view(hw[0] * hw[1], -1)


@dataclass(frozen=True)
class DenseAttention:
    """Label propagation with a mask made once per clip; the arrays are those of `fgvc_deploy.propagation`.

    `mask` is bool [H*W, H*W], or None to attend to every key.  `step` queries are matched at a time.
    """

    mask: torch.Tensor | None
    topk: int
    temperature: float
    step: int = STEP

    def __call__(self, query: Float32Array, keys: Float32Array, labels: Float32Array) -> DenseResult:
        """Features [H, W, C] of a frame and [T, H, W, C] of its keys, labels [T, H*W, P], none of them normalised."""
        query_cn = _unit_columns(query)
        keys_cn = _unit_columns(keys)
        labels_pn = torch.from_numpy(np.ascontiguousarray(labels.reshape(-1, labels.shape[-1]).T))
        maps = torch.zeros(len(labels_pn), query_cn.shape[1])
        best = torch.zeros(self.topk, query_cn.shape[1])
        index = torch.zeros(self.topk, query_cn.shape[1], dtype=torch.int64)
        for start in range(0, query_cn.shape[1], self.step):
            chunk = slice(start, start + self.step)
            best[:, chunk], index[:, chunk] = self._select(keys_cn, query_cn[:, chunk], len(keys), chunk)
            gathered = labels_pn.index_select(1, index[:, chunk].reshape(-1)).reshape(len(labels_pn), self.topk, -1)
            maps[:, chunk] = torch.einsum("pkq,kq->pq", gathered, best[:, chunk].softmax(dim=0))
        return self._result(maps, best, index)

    def _select(
        self, keys_cn: torch.Tensor, query_cn: torch.Tensor, frames: int, chunk: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Best scaled affinities and key positions of a chunk of queries, [k, chunk]; -inf outside the window."""
        affinity = torch.einsum("ci,cj->ij", keys_cn, query_cn) / self.temperature
        if self.mask is not None:
            by_frame = affinity.view(frames, -1, affinity.shape[1])
            by_frame.masked_fill_(~self.mask[:, chunk], float("-inf"))
        return affinity.topk(self.topk, dim=0)

    def _result(self, maps: torch.Tensor, best: torch.Tensor, index: torch.Tensor) -> DenseResult:
        scores = np.ascontiguousarray((best * self.temperature).T.numpy())
        positions = np.ascontiguousarray(index.T.numpy()).astype(np.int32)
        # The contract of `Matches`: an empty entry points nowhere.
        positions[np.isneginf(scores)] = 0
        return DenseResult(np.ascontiguousarray(maps.T.numpy()), scores, positions)


def _unit_columns(features: Float32Array) -> torch.Tensor:
    """Features [..., C] as L2-normalised columns [C, N]: the channels-first layout of the official code."""
    columns = torch.from_numpy(np.ascontiguousarray(features.reshape(-1, features.shape[-1]).T))
    return torch.nn.functional.normalize(columns, dim=0, eps=1e-12)


def use_threads(threads: int) -> None:
    """Hold torch to this many threads in this process."""
    torch.set_num_threads(threads)
