"""What `active_set.py` tracks with: remembered matches, the reference's encoder, seeded points.  No measuring."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import channels_last
from fgvc_deploy.engine import Engine
from fgvc_deploy.propagation.base import BoolArray, FeatureMap, Float32Array, Matches, PropagationBackend, Window
from fgvc_deploy.propagation.select import create_propagation
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.video.source import open_source


class Clip(NamedTuple):
    """Frames of one clip, uint8 [H, W, 3], and their features."""

    frames: list[NDArray[np.uint8]]
    features: list[FeatureMap]

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.frames[0].shape[0], self.frames[0].shape[1]


class Track(NamedTuple):
    """Points of one run: xy [T, P, 2] in source pixels, confidence [T, P], mean share of pixels matched."""

    xy: Float32Array
    confidence: Float32Array
    matched: float


class RememberedMatches:
    """A backend that finds all matches of a frame once, then leaves out those that are not active."""

    name = "remembered"

    def __init__(self, backend: PropagationBackend) -> None:
        self._backend = backend
        self._found: dict[tuple[int, ...], Matches] = {}
        self.shares: list[float] = []

    def prepare(self, features: Float32Array) -> FeatureMap:
        """See `PropagationBackend.prepare`."""
        return self._backend.prepare(features)

    def match(
        self,
        query: FeatureMap,
        keys: Sequence[FeatureMap],
        window: Window,
        topk: int,
        active: BoolArray | None = None,
    ) -> Matches:
        """See `PropagationBackend.match`; the feature maps must stay alive."""
        name = (id(query), *map(id, keys))
        if name not in self._found:
            self._found[name] = self._backend.match(query, keys, window, topk)
        found = self._found[name]
        self.shares.append(1.0 if active is None else float(active.mean()))
        if active is None:
            return found
        here = active[:, None]
        return Matches(
            np.where(here, found.scores, np.float32(-np.inf)), np.where(here, found.positions, np.int32(0))
        )


class TorchEncoder:
    """The reference's encoder with the goldens' random weights."""

    name = "torch"

    def __init__(self) -> None:
        from fgvc_training.encoder.untrained import untrained_encoder

        self._module = untrained_encoder("resnet18_d1").eval()

    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        import torch

        with torch.inference_mode():
            return channels_last(self._module(torch.from_numpy(x)).numpy())


def reference_engine() -> Engine:
    """The reference's encoder, untrained, and geometry, at 128x128."""
    settings, encoder = PropagationSettings(), EncoderSettings(arch="resnet18_d1")
    matcher = create_propagation("auto", settings)
    return Engine(encoder, PreprocessSettings(), settings, "128x128", TorchEncoder(), matcher)


def read_clip(engine: Engine, path: Path, count: int) -> Clip:
    """The first frames of a clip, encoded."""
    with open_source(path) as video:
        frames = list(itertools.islice(video, count))
    tracker = PointTracker(engine)
    tracker.open(frames[0])
    return Clip(frames, [tracker.encode(frame) for frame in frames])


def follow(engine: Engine, matches: RememberedMatches, clip: Clip, xy: Float32Array, tau: float) -> Track:
    """Track points through a clip with this active_tau."""
    settings = engine.propagation.model_copy(update={"active_tau": tau})
    tracker = PointTracker(dataclasses.replace(engine, propagation=settings, matcher=matches))
    tracker.add_points(xy)
    tracker.open(clip.frames[0])
    matches.shares.clear()
    steps = [tracker.step_features(features) for features in clip.features]
    xys, confidence = np.stack([s.xy for s in steps]), np.stack([s.confidence for s in steps])
    return Track(xys, confidence, float(np.mean(matches.shares)))


def random_points(hw: tuple[int, int], count: int, seed: int) -> Float32Array:
    """Seeded points (x, y) [P, 2], a sixteenth of the frame away from its borders."""
    share = 1 / 16 + 7 / 8 * np.random.default_rng(seed).random((count, 2))
    return np.asarray(share * (hw[1] - 1, hw[0] - 1), dtype=np.float32)
