"""How a checkpoint is judged while it trains: masks carried through held-out videos, and exact matches in new scenes.

A plain propagation in torch (circle of keys, memory first + last frames, top-k), because this package imports no
runtime.  The figures that are published come from fgvc_benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fgvc_training.correlation import local_correlation, window_inside, window_offsets
from fgvc_training.data.videos import FrameVideo
from fgvc_training.edge.batch import PairTensors
from fgvc_training.edge.prepare import STRIDE, normalise

RADIUS, MEMORY, TOPK, TEMPERATURE = 7.5, 5, 10, 0.07


class MaskMemory:
    """First and last frames' features [1, C, h, w] and labels [1, 1, h, w]."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self._first = (features, labels)
        self._recent: list[tuple[Tensor, Tensor]] = []

    def carry(self, features: Tensor) -> Tensor:
        """Labels [1, 1, h, w] of a new frame, which then joins the memory."""
        radius = int(RADIUS)
        height, width = features.shape[2:]
        allowed = window_inside(height, width, radius) & (window_offsets(radius).float().norm(dim=-1) < RADIUS)
        scores, values = [], []
        for keys, labels in (self._first, *self._recent):
            scores.append(local_correlation(features, keys, radius).masked_fill(~allowed, -torch.inf))
            values.append(F.unfold(labels, 2 * radius + 1, padding=radius).transpose(1, 2).reshape(scores[-1].shape))
        best, at = torch.cat(scores, dim=-1).topk(TOPK, dim=-1)
        weights = (best / TEMPERATURE).softmax(-1)
        carried = (weights * torch.cat(values, dim=-1).gather(-1, at)).sum(-1)[:, None]
        self._recent = [*self._recent, (features, carried)][-MEMORY:]
        return carried


@torch.inference_mode()
def carried_mask_overlap(encoder: nn.Module, video: FrameVideo, frames: int, step: int = 2) -> float:
    """Mean intersection over union of the first frame's mask carried through `frames` frames, at frame size.

    Every `step`-th frame of the video is taken: harder than all of them, and it reaches further.
    """
    times = range(0, min(frames * step, len(video)), step)
    images = normalise(torch.from_numpy(video.read(times)).permute(0, 3, 1, 2).float() / 255)
    truth = torch.from_numpy(np.stack([video.mask(time) > 127 for time in times]))
    memory: MaskMemory | None = None
    overlaps = []
    for image, mask in zip(images, truth, strict=True):
        features = F.normalize(encoder(image[None].contiguous(memory_format=torch.channels_last)).float(), dim=1)
        if memory is None:
            memory = MaskMemory(features, mask[None, None, ::STRIDE, ::STRIDE].float())
            continue
        overlaps.append(_overlap(enlarged(memory.carry(features), mask.shape) >= 0.5, mask))
    return float(np.mean(overlaps))


def enlarged(labels: Tensor, hw: Sequence[int]) -> Tensor:
    """Labels [1, 1, h, w] on the feature grid -> [H, W], feature i on pixel STRIDE * i."""
    height, width = labels.shape[2:]
    padded = F.pad(labels, (0, 1, 0, 1), mode="replicate")
    big = F.interpolate(padded, (STRIDE * height + 1, STRIDE * width + 1), mode="bilinear", align_corners=True)
    return big[0, 0, : hw[0], : hw[1]]


def _overlap(ours: Tensor, truth: Tensor) -> float:
    union = (ours | truth).sum()
    return float((ours & truth).sum() / union) if union else 1.0


@torch.inference_mode()
def match_error(encoder: nn.Module, samples: Sequence[PairTensors], *, radius: float = 24.0) -> tuple[float, float]:
    """Share of valid pixels whose best match in a circle is within 0.75 feature pixels of the truth, and within 2.

    `samples` are single pairs, not batches.
    """
    hits = np.zeros(2)
    count = 0
    for sample in samples:
        features = F.normalize(encoder(sample.frames.contiguous(memory_format=torch.channels_last)).float(), dim=1)
        reach = int(radius)
        scores = local_correlation(features[1:], features[:1], reach)
        offsets = window_offsets(reach).float()
        allowed = window_inside(features.shape[2], features.shape[3], reach) & (offsets.norm(dim=-1) < radius)
        found = offsets[scores.masked_fill(~allowed, -torch.inf).argmax(-1)[0]]
        error = (found.permute(2, 0, 1) - sample.flow).norm(dim=0)[sample.valid]
        hits += [float((error < limit).sum()) for limit in (0.75, 2.0)]
        count += int(sample.valid.sum())
    return float(hits[0] / max(count, 1)), float(hits[1] / max(count, 1))
