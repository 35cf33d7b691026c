"""Engines on an emulated GPU beside the same engines on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import write_bundle
from fgvc_deploy.engine import Engine
from fgvc_deploy.gpu.encoders.base import HostEncoder
from fgvc_deploy.gpu.engine import GpuEngine
from fgvc_deploy.gpu.kernels_used import TrackingKernels
from fgvc_deploy.gpu.matcher import GpuMatcher
from fgvc_deploy.gpu.session import GpuSession
from fgvc_deploy.propagation.select import create_propagation
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from gpu_bundles import gpu_draft
from gpu_emulator import EmulatedDriver

Engines = Callable[..., tuple[Engine, GpuEngine]]
STRIDE, CHANNELS = 2, 80


class ShiftEncoder:
    """Features that need no network: the frame shifted a little for each channel, subsampled by the stride."""

    name = "shift"

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        shifts = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]
        planes = np.concatenate([np.roll(x[0], shift, axis=(1, 2)) for shift in shifts])[:, ::STRIDE, ::STRIDE]
        planes = np.pad(planes, ((0, CHANNELS - len(planes)), (0, 0), (0, 0)))
        return np.ascontiguousarray((planes - planes.mean(axis=0)).transpose(1, 2, 0))


@pytest.fixture
def driver() -> EmulatedDriver:
    return EmulatedDriver()


@pytest.fixture
def engines(driver: EmulatedDriver, tmp_path: Path) -> Engines:
    """`engines(feature="fp32", record=True, radius=6, ...)`: the CPU's engine and the GPU's, otherwise equal."""

    def make(feature: str = "fp32", record: bool = True, **settings: Any) -> tuple[Engine, GpuEngine]:
        encoder = EncoderSettings(arch="shift", stride=STRIDE, channels=CHANNELS)
        # Without the active set: the GPU does not skip pixels, the CPU would (docs/active-set.md).
        propagation = PropagationSettings(**{"radius": 6.0, "active_tau": 0.0} | settings)
        bundle = write_bundle(gpu_draft(encoder, propagation, feature=feature), tmp_path / "bundle", overwrite=True)
        session = GpuSession(driver, bundle, record=record)
        with session.working():
            kernels = TrackingKernels.of(session.kernels, encoder, propagation)
        shared = (encoder, PreprocessSettings(), propagation, "native", ShiftEncoder())
        device_encoder, matcher = HostEncoder(ShiftEncoder()), GpuMatcher(session, kernels)
        gpu = GpuEngine(*shared, matcher, session=session, kernels=kernels, device_encoder=device_encoder)
        return Engine(*shared, create_propagation("numpy", propagation)), gpu

    return make


@pytest.fixture(scope="session")
def clip() -> NDArray[np.uint8]:
    """uint8 [20, 33, 46, 3]: smooth noise that moves 1 pixel right and half a pixel down every frame; odd sizes."""
    rng = np.random.default_rng(11)
    noise = rng.normal(size=(33 + 24, 46 + 30, 3))
    for axis in (0, 1):
        noise = (np.roll(noise, 1, axis) + noise + np.roll(noise, -1, axis)) / 3
    noise = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    return np.stack([noise[12 - t // 2 : 45 - t // 2, 25 - t : 71 - t] for t in range(20)])
