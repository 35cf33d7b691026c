"""On a real GPU: `make test-gpu`.  Skipped without one.

The bundle is FGVC_GPU_BUNDLE, a folder with kernels for this chip, or the shipped one with kernels compiled here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, open_bundle, write_bundle
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu import probe
from fgvc_deploy.gpu.chips import chip_of
from fgvc_deploy.gpu.create import create_engine
from fgvc_deploy.gpu.cuda_driver import open_driver
from fgvc_deploy.gpu.encoders.base import HostEncoder
from fgvc_deploy.gpu.engine import GpuEngine
from fgvc_deploy.gpu.kernels_used import TrackingKernels
from fgvc_deploy.gpu.names import ENCODERS
from fgvc_deploy.gpu.session import GpuSession
from fgvc_deploy.model import DEFAULT_BUNDLE, Model
from fgvc_deploy.pipeline import mask_frames, point_frames
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    try:
        chip = chip_of(probe.device().compute_capability)
    except BackendError as error:
        if os.environ.get("FGVC_REQUIRE_GPU") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    given = os.environ.get("FGVC_GPU_BUNDLE")
    return open_bundle(given) if given else _compiled(chip, tmp_path_factory.mktemp("gpu") / "bundle")


def _compiled(chip: str, folder: Path) -> Bundle:
    pytest.importorskip("triton")
    from fgvc_kernels.aot.build import KernelBuild, compile_kernel
    from fgvc_kernels.aot.chips import CHIPS
    from fgvc_kernels.aot.metadata import describe
    from fgvc_kernels.triton.table import Build, variants

    shipped = open_bundle(DEFAULT_BUNDLE)
    manifest, settings = shipped.manifest, shipped.manifest.propagation
    payloads = [
        Payload(a.kind, a.target, a.path, shipped.read(a), a.precision)
        for a in manifest.artefacts
        if a.kind != "document"
    ]
    build = Build(
        channels=manifest.encoder.channels,
        stride=manifest.encoder.stride,
        topk=settings.topk,
        temperature=settings.temperature,
        window=settings.window,
    )
    for variant in variants(build):
        made = compile_kernel(KernelBuild.of(variant), CHIPS[chip])
        path = f"kernels/{chip}/{variant.name}"
        payloads.append(Payload("kernel", f"cubin:{chip}", f"{path}.cubin", made.cubin, "fp16"))
        payloads.append(Payload("document", f"cubin:{chip}", f"{path}.json", describe(made).to_json()))
    draft = BundleDraft(
        manifest.encoder, manifest.preprocess, settings, manifest.default_size, manifest.provenance, tuple(payloads)
    )
    return write_bundle(draft, folder)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[GpuEngine]:
    made = create_engine(bundle, bundle.manifest.propagation, encoder="onnxruntime")
    yield made
    made.session.close()


@pytest.fixture(scope="module")
def moving() -> NDArray[np.uint8]:
    """uint8 [24, 192, 256, 3]: smooth noise that moves 3 pixels right and 1 down every frame."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(192 + 30, 256 + 80, 3))
    for axis in (0, 1):
        for _ in range(3):
            noise = (np.roll(noise, 1, axis) + noise + np.roll(noise, -1, axis)) / 3
    noise = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    return np.stack([noise[24 - t : 216 - t, 72 - 3 * t : 328 - 3 * t] for t in range(24)])


QUERIES_TYX = np.array([[0, 60.3, 90.6], [0, 120.4, 150.2], [3, 80.7, 60.3], [9, 100.2, 200.4]], np.float32)


@pytest.mark.parametrize("hw", [(16, 16), (33, 51), (60, 107)])
@pytest.mark.parametrize("frames", [1, 6])
def test_matches_are_those_of_the_same_rounded_features(engine: GpuEngine, hw: tuple[int, int], frames: int) -> None:
    """fp16 features, fp32 sums.

    The features pass the normalising kernel once more, which may tip an element over to its other fp16 neighbour, by
    2^-11 of itself; sums in another order and the list's grid of 2^-21 are far below that.
    """
    settings, channels = engine.propagation, engine.encoder_settings.channels
    rng = np.random.default_rng(hw[0])
    raw = rng.normal(size=(frames + 1, *hw, channels)).astype(np.float32)
    plain = TiledBackend()
    maps = [engine.matcher.prepare(r) for r in raw]
    rounded = [replace(m, unit=m.unit.astype(np.float16).astype(np.float32)) for m in maps]
    window = Window(settings.window, settings.radius)
    found = engine.matcher.match(maps[0], maps[1:], window, settings.topk)
    expected = plain.match(rounded[0], rounded[1:], window, settings.topk)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    same = [len(np.intersect1d(a, b)) for a, b in zip(found.positions, expected.positions, strict=True)]
    # Scores closer than that may change places at the end of the list.
    assert np.mean(same) > settings.topk - 0.05


def test_points_follow_the_cpu(engine: GpuEngine, bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    """fp16 features move some points by a step of the read-out's lattice (goldens item 26), none far."""
    cpu = Model(bundle).engine("onnxruntime+numpy")
    found, expected = (
        np.stack([r.xy for r in point_frames(moving, PointTracker(e), QUERIES_TYX)], axis=1) for e in (engine, cpu)
    )
    distance = np.abs(found - expected)[np.isfinite(expected)]
    assert np.percentile(distance, 90) < 0.05
    assert distance.max() < 2.0


def test_masks_follow_the_cpu(engine: GpuEngine, bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    first = np.zeros(moving.shape[1:3], np.uint8)
    first[40:120, 60:140], first[100:160, 150:230] = 3, 7
    cpu = Model(bundle).engine("onnxruntime+numpy")
    found, expected = (
        np.stack([r.mask for r in mask_frames(moving[:12], MaskTracker(e, first))]) for e in (engine, cpu)
    )
    assert (found != expected).mean() < 2e-3


def test_recorded_steps_are_the_same_steps(bundle: Bundle, engine: GpuEngine, moving: NDArray[np.uint8]) -> None:
    clip = np.concatenate([moving, moving[::-1]])
    recorded = [r.xy for r in point_frames(clip, PointTracker(engine), QUERIES_TYX[:2])]
    assert engine.session.steps.replayed > 0
    with GpuSession(open_driver(), bundle, record=False) as session:
        with session.working():
            kernels = TrackingKernels.of(session.kernels, bundle.manifest.encoder, bundle.manifest.propagation)
        encoder = HostEncoder(Model(bundle).engine("onnxruntime+numpy").encoder)
        plain = replace(engine, session=session, kernels=kernels, device_encoder=encoder)
        found = [r.xy for r in point_frames(clip, PointTracker(plain), QUERIES_TYX[:2])]
    np.testing.assert_array_equal(np.stack(recorded), np.stack(found))


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_on_the_gpu(bundle: Bundle, moving: NDArray[np.uint8], name: str) -> None:
    """Cosine of features with those of the CPU; fp16 engines round to 11 bits, TF32 convolutions likewise."""
    try:
        engine = create_engine(bundle, bundle.manifest.propagation, encoder=name)
    except (BackendError, BundleError) as error:
        pytest.skip(f"{name}: {error}")
    image = Model(bundle).engine("onnxruntime+numpy")
    x = image._preprocessor(moving[0], (192, 256))
    found, expected = engine.encoder.encode(x), image.encoder.encode(x)
    cosine = (found * expected).sum(2) / np.linalg.norm(found, axis=2) / np.linalg.norm(expected, axis=2)
    engine.session.close()
    assert cosine.min() > 0.999


def test_sessions_come_and_go(bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    for _ in range(5):
        engine = create_engine(bundle, bundle.manifest.propagation, encoder="onnxruntime")
        tracker = PointTracker(engine)
        tracker.add_points([[100.0, 100.0]])
        tracker.step(moving[0])
        tracker.step(moving[1])
        engine.session.close()
