"""Engines on an emulated GPU beside the same engines on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle, write_bundle
from fgvc_deploy.engine import Engine
from fgvc_deploy.gpu.encoders.base import HostEncoder
from fgvc_deploy.gpu.engine import GpuEngine
from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.match.matcher import GpuMatcher
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.propagation.select import create_propagation
from fgvc_deploy.settings import EncoderSettings, PreprocessSettings, PropagationSettings
from gpu_bundles import gpu_draft
from gpu_compiled import bundle_for_the_gpu_here
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


@pytest.fixture(scope="session")
def real_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """For tests marked `gpu`; skips without one."""
    return bundle_for_the_gpu_here(tmp_path_factory.mktemp("gpu") / "bundle")


@pytest.fixture(scope="session")
def moving() -> NDArray[np.uint8]:
    """uint8 [24, 192, 256, 3]: smooth noise that moves 3 pixels right and 1 down every frame."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(192 + 30, 256 + 80, 3))
    for axis in (0, 1):
        for _ in range(3):
            noise = (np.roll(noise, 1, axis) + noise + np.roll(noise, -1, axis)) / 3
    noise = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    return np.stack([noise[24 - t : 216 - t, 72 - 3 * t : 328 - 3 * t] for t in range(24)])
