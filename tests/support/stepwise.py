"""Compare label maps with stored ones one step at a time, leaving out pixels that a rounding error decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.labels.masks import harden
from fgvc_deploy.propagation.base import FeatureMap, Window
from fgvc_deploy.stages import StageTimer
from fgvc_deploy.trackers.propagator import Propagator
from fgvc_kernels.reference import memory_frames

LABEL_BUDGET = 1e-4
# Scores of unit features agree with the reference's to a few 1e-7 (fp32 features, goldens item 7, and an fp32 dot
# product).  Two keys whose scores are nearer than this may swap the tenth place; the label then differs by a weight.
TIE = 1e-6
MAX_TIED_SHARE = 0.005


class Steps(NamedTuple):
    """Largest label difference where no tie decides, and a note on how many pixels were left out."""

    error: float
    note: str


def stepwise(
    engine: Engine,
    first: NDArray[np.float32],
    clip: NDArray[np.uint8],
    stored: NDArray[np.float32],
    hard: bool = False,
) -> Steps:
    """Carry `first` [H*W, K] through the clip, replacing each frame's result by the stored one [T-1, H*W, K].

    So every step starts from the same labels, and one swapped tie cannot spread into later frames.
    """
    propagator = Propagator(engine.matcher, engine.propagation, duplicate_first=True)
    features = [engine.features(frame, frame.shape[:2], StageTimer()) for frame in clip]
    propagator.advance(features[0])
    group = propagator.start_group(first)
    worst, tied_count = 0.0, 0
    for t in range(1, len(clip)):
        tied = _tied(engine, features, {f: group.labels_of(f) for f in group.frames}, t)
        found = propagator.advance(features[t])[0]
        tied_count += int(tied.sum())
        worst = max(worst, float(np.abs(found - stored[t - 1])[~tied].max()))
        group.labels[...] = harden(stored[t - 1]) if hard else stored[t - 1]
    total = (len(clip) - 1) * len(first)
    assert tied_count <= MAX_TIED_SHARE * total, f"{tied_count} of {total} pixels are ties: too many to leave out"
    return Steps(worst, f"{tied_count} of {total} pixels left out as ties" if tied_count else "")


def _tied(
    engine: Engine, features: list[FeatureMap], labels: Mapping[int, NDArray[np.float32]], t: int
) -> NDArray[np.bool_]:
    """Pixels where keys that score like the last chosen one carry different labels.

    The duplicated first frame makes pairs of keys that always tie and never matter: their labels are the same.
    """
    settings = engine.propagation
    frames = memory_frames(t, settings.memory, duplicate_first=True)
    window = Window(settings.window, settings.radius)
    extra = settings.topk + 4
    scores, positions = engine.matcher.match(features[t], [features[f] for f in frames], window, extra)
    near = np.abs(scores - scores[:, settings.topk - 1, None]) < TIE
    found = np.concatenate([labels[f] for f in frames])[positions]
    low = np.where(near[..., None], found, np.inf).min(axis=1)
    high = np.where(near[..., None], found, -np.inf).max(axis=1)
    tied: NDArray[np.bool_] = (high - low).max(axis=1) > LABEL_BUDGET
    return tied
