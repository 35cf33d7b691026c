"""The parity gate: an exported encoder beside the PyTorch encoder it was made from, on features, and how it tracks.

Tracks are judged in `track_parity.py`; how much they may differ is `budgets.py`; the frames are `clip.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fgvc_deploy.bundle.manifest import ParityFigure
from fgvc_deploy.encoders.base import EncoderBackend, Float32Array, channels_last
from fgvc_deploy.engine import Engine
from fgvc_deploy.preprocess.preprocess import Preprocessor
from fgvc_deploy.preprocess.size import parse_size, resolve_size
from fgvc_deploy.propagation.base import PropagationBackend
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_deploy.trackers.points import PointStep, PointTracker
from fgvc_export.budgets import judge
from fgvc_export.clip import Clip

# The smallest, odd and even sides, wide and high, and the size of the published evaluations.
SIZES = ((32, 32), (33, 47), (75, 101), (130, 97), (256, 256))
GRID = 8


class Setup(NamedTuple):
    """What a tracker needs beside the encoder."""

    encoder: EncoderSettings
    preprocess: PreprocessSettings
    propagation: PropagationSettings
    default_size: str


class TorchEncoder:
    """A PyTorch encoder as a backend."""

    name = "torch"

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    @torch.inference_mode()
    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        return channels_last(self._module(torch.from_numpy(x)).numpy())


def feature_figures(
    ours: EncoderBackend, reference: EncoderBackend, setup: Setup, clip: Clip, precision: str
) -> list[ParityFigure]:
    """Worst cosine and worst value of the features over `SIZES`, on frames of the clip resized to each."""
    preprocessor = Preprocessor(setup.preprocess)
    cosine, error = [], []
    for index, size in enumerate(SIZES):
        x = preprocessor(clip.frames[index % len(clip.frames)], size)
        theirs = reference.encode(x).astype(np.float64)
        mine = ours.encode(x).astype(np.float64)
        cosine.append(worst_cosine(mine, theirs))
        error.append(float(np.abs(mine - theirs).max() / np.abs(theirs).max()))
    detail = f"{clip.name} at {', '.join(f'{width}x{height}' for height, width in SIZES)}"
    # Builtin min and max drop a NaN that is not first; NumPy's keep it, and a NaN never passes.
    return [
        judge("feature_cosine_min", precision, float(np.min(cosine)), detail),
        judge("feature_error_max", precision, float(np.max(error)), detail),
    ]


def worst_cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Smallest cosine between the vectors [h, w, C] of a pixel; 1 where both are zero, 0 where only one is."""
    dot = (a * b).sum(axis=2)
    lengths = np.linalg.norm(a, axis=2) * np.linalg.norm(b, axis=2)
    both_zero = ~a.any(axis=2) & ~b.any(axis=2)
    cosine = np.where(both_zero, 1.0, np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths != 0))
    return float(cosine.min())


class RoundingNoise:
    """A backend whose features are off by about one rounding each: how far tracks are determined by them at all."""

    name = "rounding noise"
    # Relative, per value; fp32 encoders of one network differ by 6e-7 to 6e-6 per pixel.
    SIZE = 3e-6

    def __init__(self, encoder: EncoderBackend, seed: int = 0) -> None:
        self._encoder = encoder
        self._rng = np.random.default_rng(seed)

    def encode(self, x: Float32Array) -> Float32Array:
        """See `EncoderBackend.encode`."""
        features = self._encoder.encode(x)
        return (features * (1 + self.SIZE * self._rng.uniform(-1, 1, features.shape))).astype(np.float32)


def track_points(
    encoder: EncoderBackend, setup: Setup, clip: Clip, xy: Float32Array, matcher: PropagationBackend | None = None
) -> Float32Array:
    """Tracks float32 [T, P, 2] of points that lie on the first frame; by default with the plain NumPy propagation."""
    return np.stack([step.xy for step in track_steps(encoder, setup, clip, xy, matcher)])


def track_steps(
    encoder: EncoderBackend, setup: Setup, clip: Clip, xy: Float32Array, matcher: PropagationBackend | None = None
) -> list[PointStep]:
    """As `track_points`, with all that the tracker says of each frame."""
    engine = Engine(
        setup.encoder, setup.preprocess, setup.propagation, setup.default_size, encoder, matcher or TiledBackend()
    )
    tracker = PointTracker(engine, size=clip.size)
    tracker.add_points(xy)
    return [tracker.step(frame) for frame in clip.frames]


def network_frames(clip: Clip, setup: Setup) -> list[Float32Array]:
    """Every other frame of the clip as the encoder sees it when it tracks there, float32 [1, 3, H, W]."""
    wanted = parse_size(clip.size, parse_size(setup.default_size))
    preprocessor = Preprocessor(setup.preprocess)
    return [preprocessor(frame, resolve_size(wanted, frame.shape[:2])) for frame in clip.frames[::2]]


def grid_points(height: int, width: int) -> Float32Array:
    """Centres of an 8x8 grid of cells, float32 [64, 2] (x, y)."""
    y, x = (((np.arange(GRID) + 0.5) * side / GRID - 0.5) for side in (height, width))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
