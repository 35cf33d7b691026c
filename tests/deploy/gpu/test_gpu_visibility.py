"""The evidence of visibility on an emulated GPU against the CPU's: similarity, mass, and the confidence they make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import BundleError
from fgvc_deploy.gpu.engine import GpuEngine
from fgvc_deploy.settings import VisibilitySettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.trackers.visibility import Evidence
from gpu_emulator import EmulatedDriver

from .conftest import Engines

Clip = NDArray[np.uint8]
VISIBILITY = VisibilitySettings(bias=-6.0, peak=3.0, similarity=4.0, log_mass=2.0)
# fp32 sums in another order; weights are their exponential over 0.07, and labels go round for up to 13 frames.  fp16
# rounds features to 11 bits.
CLOSE = {"fp32": 1e-4, "fp16": 4e-3}


def follow(engine: Engine, clip: Clip) -> tuple[list[Evidence], list[NDArray[np.float32]]]:
    """Two groups that start apart, a third on the same frame as the second's; one point removed, others covered."""
    tracker = PointTracker(engine)
    evidence, confidence = [], []
    for t, frame in enumerate(clip):
        if t == 0:
            tracker.add_points([[20.3, 12.4], [10.6, 20.2], [30.7, 8.3]])
        if t == 2:
            tracker.add_points([[14.2, 22.3]])
        if t == 7:
            tracker.remove_points([1])
        step = tracker.step(frame)
        if t == 2:
            tracker.add_points([[40.4, 25.7]], frame="last")
        confidence.append(step.confidence)
        if tracker.evidence is not None:
            evidence.append(tracker.evidence)
    return evidence, confidence


@pytest.fixture
def covered(clip: Clip) -> Clip:
    """From frame 5 on, something that stands still covers a part that some points go through."""
    frames = clip[:14].copy()
    frames[5:, :, 22:34] = clip[0, ::-1, 30:42]
    return frames


@pytest.mark.parametrize("feature", ["fp32", "fp16"])
def test_evidence_and_confidence_are_the_cpus(engines: Engines, covered: Clip, feature: str) -> None:
    cpu, gpu = engines(feature, visibility=VISIBILITY)
    (found, sure), (expected, expected_sure) = (follow(engine, covered) for engine in (gpu, cpu))
    assert len(found) == len(expected) > 10
    for mine, theirs in zip(found, expected, strict=True):
        for part in Evidence._fields:
            np.testing.assert_allclose(getattr(mine, part), getattr(theirs, part), atol=CLOSE[feature], err_msg=part)
    for confident, wanted in zip(sure, expected_sure, strict=True):
        np.testing.assert_allclose(confident, wanted, atol=10 * CLOSE[feature])
    similarity = np.concatenate([e.similarity for e in expected])
    mass = np.concatenate([e.mass for e in expected])
    assert similarity.min() < 0.7 < 0.9 < similarity.max(), "the clip shows both"
    assert mass.min() < 0.5


def test_a_vanished_label_is_looked_at_where_it_was(engines: Engines, clip: Clip) -> None:
    """A group whose labels are set to zero: no coordinate, confidence 0, similarity of its last place."""
    evidence = []
    for engine in engines(visibility=VISIBILITY):
        tracker = PointTracker(engine)
        tracker.add_points([[20.3, 12.4]])
        for frame in clip[:3]:
            tracker.step(frame)
        wipe(engine, tracker)
        steps = [tracker.step(frame) for frame in clip[3:6]]
        assert [float(step.confidence[0]) for step in steps] == [0, 0, 0]
        assert len({tuple(step.xy[0].tolist()) for step in steps}) == 1
        assert tracker.evidence is not None
        evidence.append(tracker.evidence)
    np.testing.assert_allclose(evidence[1].similarity, evidence[0].similarity, atol=CLOSE["fp32"])
    assert evidence[1].mass == evidence[0].mass == 0


def wipe(engine: Engine, tracker: PointTracker) -> None:
    (group,) = tracker._propagator.groups
    if isinstance(engine, GpuEngine):
        labels: Any = group
        for frame in labels.frames:
            labels._write(labels.place_of(frame), np.zeros((labels.pixels, labels.count), np.float32))
        return
    for frame in group.frames:
        group.labels_of(frame)[...] = 0


def test_steps_are_still_replayed_and_memory_stays(engines: Engines, clip: Clip, driver: EmulatedDriver) -> None:
    _, gpu = engines(visibility=VISIBILITY)
    tracker = PointTracker(gpu)
    tracker.add_points([[20.0, 12.0], [10.0, 20.0]])
    sizes = []
    for frame in [*clip, *clip[::-1]]:
        tracker.step(frame)
        sizes.append((gpu.session.pool.bytes, driver.alive()["memory"], driver.alive()["pinned"]))
    assert len(set(sizes[8:])) == 1
    assert gpu.session.steps.replayed > 20
    downloads = driver.calls["download"]
    tracker.step(clip[0])
    assert driver.calls["download"] == downloads, "evidence comes down with the coordinates"


def test_kernels_are_asked_for_only_where_visibility_is_judged(
    engines: Engines, clip: Clip, driver: EmulatedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launched() -> set[str]:
        return {kernel for kernel, _, _ in driver.launches}

    _, gpu = engines(visibility=VISIBILITY)
    masks = MaskTracker(gpu, np.ones(clip.shape[1:3], np.uint8))
    reference = PointTracker(gpu, compat="reference")
    reference.add_points([[20.0, 12.0]])
    for frame in clip[:3]:
        masks.step(frame)
        reference.step(frame)
    assert "propagate" in launched()
    assert not launched() & {"appearance", "label_mass"}
    # A bundle from before these kernels.
    images = [image for image in gpu.session.kernels._images if image.metadata.kernel != "appearance"]
    monkeypatch.setattr(gpu.session.kernels, "_images", images)
    old = PointTracker(gpu)
    old.add_points([[20.0, 12.0]])
    with pytest.raises(BundleError, match=r"no kernel appearance for C=80 .*export the checkpoint again"):
        old.step(clip[0])
