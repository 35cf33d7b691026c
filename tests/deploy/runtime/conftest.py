"""Engines for runtime tests: the reference's encoder in torch with the goldens' weights, and cheap stand-ins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import channels_last
from fgvc_deploy.engine import Engine
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from fgvc_training.encoder.untrained import untrained_encoder

EngineFactory = Callable[..., Engine]


class TorchEncoder:
    """The plain PyTorch encoder as a backend: the arithmetic the goldens were made with."""

    name = "torch"

    def __init__(self) -> None:
        self.module = untrained_encoder("resnet18_d1").eval()
        # The same three clips pass through a dozen tests; their features are the slow part.
        self._seen: dict[bytes, NDArray[np.float32]] = {}

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        key = hashlib.sha256(x.tobytes()).digest()
        if key not in self._seen:
            with torch.inference_mode():
                self._seen[key] = channels_last(self.module(torch.from_numpy(x)).numpy())
        return self._seen[key].copy()


class PatchEncoder:
    """Features that need no network: for each channel, the frame shifted a little, subsampled by the stride.

    Neighbouring pixels differ and the same content gives the same feature, so matching works and is fast.
    """

    name = "patch"

    def __init__(self, stride: int = 2) -> None:
        self.stride = stride

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        shifts = [(dy, dx) for dy in (-2, -1, 0, 1, 2) for dx in (-2, -1, 0, 1, 2)]
        planes = [np.roll(x[0], shift, axis=(1, 2)) for shift in shifts]
        features = np.concatenate(planes)[:, :: self.stride, :: self.stride].transpose(1, 2, 0)
        return np.ascontiguousarray(features - features.mean(axis=2, keepdims=True))


@pytest.fixture(scope="session")
def torch_encoder() -> TorchEncoder:
    return TorchEncoder()


@pytest.fixture(scope="session")
def reference_engine(torch_encoder: TorchEncoder) -> EngineFactory:
    """`reference_engine(window="square", ...)`: the reference's geometry, with any propagation setting replaced."""

    def make(**settings: Any) -> Engine:
        return Engine(
            EncoderSettings(arch="resnet18_d1"),
            PreprocessSettings(),
            PropagationSettings(**settings),
            "native",
            torch_encoder,
            TiledBackend(),
        )

    return make


@pytest.fixture(scope="session")
def quick_engine() -> EngineFactory:
    """An engine that steps in milliseconds, for behaviour rather than numbers."""

    def make(stride: int = 2, **settings: Any) -> Engine:
        return Engine(
            EncoderSettings(arch="patch", stride=stride, channels=75),
            PreprocessSettings(),
            PropagationSettings(radius=6, **settings),
            "native",
            PatchEncoder(stride),
            TiledBackend(),
        )

    return make


@pytest.fixture(scope="session")
def moving_clip() -> NDArray[np.uint8]:
    """uint8 [12, 64, 80, 3]: smooth noise that moves 2 pixels right and 1 down every frame."""
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(64 + 40, 80 + 60, 3))
    for axis in (0, 1):
        noise = (np.roll(noise, 1, axis) + noise + np.roll(noise, -1, axis)) / 3
    noise = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    return np.stack([noise[20 - t : 84 - t, 40 - 2 * t : 120 - 2 * t] for t in range(12)])
