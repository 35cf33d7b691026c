"""Top-k recall: how many of the keys that the reference's features choose are chosen with the exported ones too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.bundle.manifest import ParityFigure
from fgvc_deploy.encoders.base import EncoderBackend, Float32Array
from fgvc_deploy.propagation.base import Matches, Window
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import PropagationSettings
from fgvc_export.budgets import judge
from fgvc_export.clip import Clip
from fgvc_export.parity import RoundingNoise, Setup, network_frames


def recall_figure(
    ours: EncoderBackend, reference: EncoderBackend, setup: Setup, clip: Clip, precision: str
) -> ParityFigure:
    """Recall over two steps of the clip, each matched to the first frame and the one before; noise as for tracks."""
    frames = network_frames(clip, setup)
    triples = [(frames[0], frames[i - 1], frames[i]) for i in sorted({1, len(frames) - 1}) if i < len(frames)]
    theirs = [best_keys(reference, triple, setup.propagation) for triple in triples]
    mine = [best_keys(ours, triple, setup.propagation) for triple in triples]
    value = _mean_recall(mine, theirs)
    detail = f"{clip.describe()}, top {setup.propagation.topk} of the first frame and the one before"
    figure = judge("match_recall", precision, value, detail)
    if figure.passed:
        return figure
    noisy = [best_keys(RoundingNoise(reference), triple, setup.propagation) for triple in triples]
    return judge("match_recall", precision, value, detail, 1 - _mean_recall(noisy, theirs))


def best_keys(encoder: EncoderBackend, frames: tuple[Float32Array, ...], settings: PropagationSettings) -> Matches:
    """Matches of the last of `frames` [1, 3, H, W] to those before it."""
    backend = TiledBackend()
    *keys, query = (backend.prepare(encoder.encode(frame)) for frame in frames)
    return backend.match(query, keys, Window(settings.window, settings.radius), settings.topk)


def recall(mine: Matches, theirs: Matches) -> float:
    """Share of the reference's keys that are among ours; 0 when ours are NaN."""
    valid = np.isfinite(theirs.scores)
    return float((_found(mine, theirs) & valid).sum() / valid.sum())


def _found(mine: Matches, theirs: Matches) -> NDArray[np.bool_]:
    """For each of the reference's keys [P, k] whether it is one of ours."""
    ours = np.where(np.isfinite(mine.scores), mine.positions, -1)
    same = theirs.positions[:, :, None] == ours[:, None, :]
    found: NDArray[np.bool_] = same.any(axis=2)
    return found


def _mean_recall(mine: list[Matches], theirs: list[Matches]) -> float:
    return float(np.mean([recall(a, b) for a, b in zip(mine, theirs, strict=True)]))
