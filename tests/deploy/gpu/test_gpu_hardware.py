"""On a real GPU: `make test-gpu`.  Skipped without one.

The bundle is FGVC_GPU_BUNDLE, a folder with kernels for this chip, or the shipped one with kernels compiled here
(tests/support/gpu_compiled.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle
from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.create import create_engine
from fgvc_deploy.gpu.device.cuda_driver import open_driver
from fgvc_deploy.gpu.encoders.base import HostEncoder
from fgvc_deploy.gpu.engine import GpuEngine
from fgvc_deploy.gpu.launches.kernels_used import TrackingKernels
from fgvc_deploy.gpu.stream.session import GpuSession
from fgvc_deploy.model import Model
from fgvc_deploy.pipeline import mask_frames, point_frames
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.settings import VisibilitySettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker

pytestmark = pytest.mark.gpu
# For bundles that were not calibrated.
VISIBILITY = VisibilitySettings(bias=-6.0, peak=3.0, similarity=4.0, log_mass=2.0)


@pytest.fixture(scope="module")
def engine(real_bundle: Bundle) -> Iterator[GpuEngine]:
    made = create_engine(real_bundle, real_bundle.manifest.propagation, encoder="onnxruntime")
    yield made
    made.session.close()


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


def test_points_follow_the_cpu(engine: GpuEngine, real_bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    """fp16 features move some points by a step of the read-out's lattice (goldens item 26), none far."""
    cpu = Model(real_bundle).engine("onnxruntime+numpy")
    found, expected = (
        np.stack([r.xy for r in point_frames(moving, PointTracker(e), QUERIES_TYX)], axis=1) for e in (engine, cpu)
    )
    distance = np.abs(found - expected)[np.isfinite(expected)]
    assert np.percentile(distance, 90) < 0.05
    assert distance.max() < 2.0


def test_confidence_follows_the_cpu(engine: GpuEngine, real_bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    """Peak, similarity and mass of the same points; fp16 moves labels a little, and with them the peak."""
    judged = real_bundle.manifest.propagation.visibility or VISIBILITY
    settings = real_bundle.manifest.propagation.model_copy(update={"visibility": judged})
    cpu = Model(real_bundle).engine("onnxruntime+numpy", settings)
    trackers = [PointTracker(e) for e in (replace(engine, propagation=settings), cpu)]
    for tracker in trackers:
        tracker.add_points(QUERIES_TYX[:2, 2:0:-1])
    for frame in moving[:12]:
        found, expected = (tracker.step(frame) for tracker in trackers)
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=0.02)
    mine, theirs = (tracker.evidence for tracker in trackers)
    assert mine is not None
    assert theirs is not None
    np.testing.assert_allclose(mine.similarity, theirs.similarity, atol=0.005)
    np.testing.assert_allclose(mine.mass, theirs.mass, rtol=0.02)


def test_coarse_to_fine_follows_the_cpu(real_bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    """Matches of host features, and tracks with one group and with several."""
    settings = real_bundle.manifest.propagation.model_copy(update={"mode": "coarse_to_fine"})
    try:
        coarse = create_engine(real_bundle, settings, encoder="onnxruntime")
    except BundleError as error:
        pytest.skip(f"kernels from before coarse-to-fine: {error}")
    cpu = Model(real_bundle).engine("onnxruntime+numpy", settings)
    rng, channels = np.random.default_rng(8), coarse.encoder_settings.channels
    base = rng.normal(size=(33, 51, channels))
    raw = [(base + 0.3 * rng.normal(size=base.shape)).astype(np.float32) for _ in range(4)]
    window = Window(settings.window, settings.radius)
    answers = []
    for matcher in (coarse.matcher, cpu.matcher):
        query, *keys = [matcher.prepare(frame) for frame in raw]
        answers.append(matcher.match(query, keys, window, settings.topk))
    # A coarse match may tip over where two cells are nearly alike, and takes 16 queries with it.
    assert np.isclose(answers[0].scores, answers[1].scores, atol=2e-3).all(axis=1).mean() > 0.97
    for count in (1, 4):
        found, expected = (
            np.stack([r.xy for r in point_frames(moving, PointTracker(e), QUERIES_TYX[:count])], axis=1)
            for e in (coarse, cpu)
        )
        distance = np.abs(found - expected)[np.isfinite(expected)]
        assert np.percentile(distance, 80) < 0.2
    coarse.session.close()


def test_masks_follow_the_cpu(engine: GpuEngine, real_bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    first = np.zeros(moving.shape[1:3], np.uint8)
    first[40:120, 60:140], first[100:160, 150:230] = 3, 7
    cpu = Model(real_bundle).engine("onnxruntime+numpy")
    found, expected = (
        np.stack([r.mask for r in mask_frames(moving[:12], MaskTracker(e, first))]) for e in (engine, cpu)
    )
    assert (found != expected).mean() < 2e-3


def test_recorded_steps_are_the_same_steps(real_bundle: Bundle, engine: GpuEngine, moving: NDArray[np.uint8]) -> None:
    clip = np.concatenate([moving, moving[::-1]])
    recorded = [r.xy for r in point_frames(clip, PointTracker(engine), QUERIES_TYX[:2])]
    assert engine.session.steps.replayed > 0
    with GpuSession(open_driver(), real_bundle, record=False) as session:
        with session.working():
            kernels = TrackingKernels.of(
                session.kernels, real_bundle.manifest.encoder, real_bundle.manifest.propagation
            )
        encoder = HostEncoder(Model(real_bundle).engine("onnxruntime+numpy").encoder)
        plain = replace(engine, session=session, kernels=kernels, device_encoder=encoder)
        found = [r.xy for r in point_frames(clip, PointTracker(plain), QUERIES_TYX[:2])]
    np.testing.assert_array_equal(np.stack(recorded), np.stack(found))


def test_sessions_come_and_go(real_bundle: Bundle, moving: NDArray[np.uint8]) -> None:
    for _ in range(5):
        engine = create_engine(real_bundle, real_bundle.manifest.propagation, encoder="onnxruntime")
        tracker = PointTracker(engine)
        tracker.add_points([[100.0, 100.0]])
        tracker.step(moving[0])
        tracker.step(moving[1])
        engine.session.close()
