"""The whole step on an emulated GPU against the CPU run time: memory, groups, labels, read-out.

The emulated kernels follow the kernels' contract in NumPy and run only when somebody waits, so these tests are about
orchestration: which frames, which places, which launches, in which order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import BackendError
from fgvc_deploy.gpu.engine import GpuEngine
from fgvc_deploy.pipeline import mask_frames, point_frames
from fgvc_deploy.settings import VisibilitySettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker
from gpu_emulator import EmulatedDriver

from .conftest import Engines

Clip = NDArray[np.uint8]
# Two points that start together, two groups that start later, one on the last frame.
QUERIES_TYX = np.array([[0, 12, 20], [3, 20, 31.5], [0, 22, 14], [4, 9, 12], [19, 20, 30]], np.float32)
VISIBILITY = VisibilitySettings(bias=-6.0, peak=3.0, similarity=4.0, log_mass=2.0)
# The same arithmetic in another order of summation; the read-out's lattice of 0.2 px would show a wrong match.
SAME_PX = 2e-3


def tracks(clip: Clip, engine: Engine, queries: NDArray[np.float32], **options: Any) -> NDArray[np.float32]:
    tracker = PointTracker(engine, **options)
    return np.stack([r.xy for r in point_frames(clip, tracker, queries)], axis=1)


@pytest.mark.parametrize(
    ("count", "compat", "overlap"),
    [(1, "corrected", False), (5, "corrected", True), (5, "reference", False), (1, "reference", True)],
)
def test_points_as_on_the_cpu(engines: Engines, clip: Clip, count: int, compat: str, overlap: bool) -> None:
    cpu, gpu = engines()
    cpu.overlap = gpu.overlap = overlap
    found, expected = (tracks(clip, engine, QUERIES_TYX[:count], compat=compat) for engine in (gpu, cpu))
    np.testing.assert_allclose(found, expected, atol=SAME_PX)
    assert gpu.session.steps.replayed >= (7 if count == 1 else 2)


@pytest.mark.parametrize("visibility", [None, VISIBILITY])
def test_confidence_as_on_the_cpu(engines: Engines, clip: Clip, visibility: VisibilitySettings | None) -> None:
    cpu, gpu = engines(visibility=visibility)
    results = [list(point_frames(clip[:8], PointTracker(e), QUERIES_TYX[:2])) for e in (gpu, cpu)]
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
        np.testing.assert_array_equal(found.visible, expected.visible)


def test_the_fine_stage_runs_behind_it(engines: Engines, clip: Clip) -> None:
    """It aligns patches of the picture on the host, from where the labels say that points are."""
    cpu, gpu = engines(fine="patch", visibility=VISIBILITY)
    results = [list(point_frames(clip[:8], PointTracker(e), QUERIES_TYX[:4])) for e in (gpu, cpu)]
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.xy, expected.xy, atol=SAME_PX)
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    rough, _ = engines(visibility=VISIBILITY)
    without = tracks(clip[:8], rough, QUERIES_TYX[:4])
    assert np.nanmax(np.abs(np.stack([r.xy for r in results[1]], axis=1) - without)) > 0.01


@pytest.mark.parametrize("window", ["circle", "square"])
@pytest.mark.parametrize("settings", [{"radius": 3.5, "topk": 4, "memory": 2}, {"radius": 60.0, "topk": 16}])
def test_other_settings(engines: Engines, clip: Clip, window: str, settings: dict[str, Any]) -> None:
    cpu, gpu = engines(window=window, **settings)
    found, expected = (tracks(clip[:7], engine, QUERIES_TYX[:3]) for engine in (gpu, cpu))
    np.testing.assert_allclose(found, expected, atol=SAME_PX)


def test_half_precision_features_move_points_little(engines: Engines, clip: Clip) -> None:
    """fp16 rounds features to 11 bits; on this clip, whose matches are clear, the read-out's lattice is the limit."""
    cpu, gpu = engines(feature="fp16")
    found, expected = (tracks(clip[:12], engine, QUERIES_TYX[:4]) for engine in (gpu, cpu))
    assert np.nanmax(np.abs(found - expected)) < 0.25


@pytest.mark.parametrize("compat", ["corrected", "reference"])
def test_masks_as_on_the_cpu(engines: Engines, clip: Clip, compat: str) -> None:
    cpu, gpu = engines()
    first = np.zeros(clip.shape[1:3], np.uint8)
    first[8:20, 10:25], first[15:30, 28:40] = 3, 7
    masks = []
    for engine in (gpu, cpu):
        tracker = MaskTracker(engine, first, compat=compat)  # type: ignore[arg-type]
        masks.append(np.stack([r.mask for r in mask_frames(clip[:12], tracker)]))
    assert set(np.unique(masks[0])) == {0, 3, 7}
    # A pixel on the border of two objects may go to either when sums round differently.
    assert (masks[0] != masks[1]).mean() < 1e-4


def test_points_come_and_go(engines: Engines, clip: Clip) -> None:
    """Points added one by one make the arena of features grow; points removed take channels away."""
    answers = []
    for engine in engines():
        tracker = PointTracker(engine)
        seen = []
        for t, frame in enumerate(clip[:14]):
            if t < 9:
                # Off the pixel grid: at whole pixels the fifth best pixel of the read-out is a tie (goldens item 25).
                tracker.add_points([[12.3 + t, 10.6 + t], [20.4, 15.3]])
            if t == 10:
                tracker.remove_points(tracker.ids[1:12:2])
            seen.append(tracker.step(frame))
        answers.append(seen)
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_allclose(found.xy, expected.xy, atol=SAME_PX)


def test_replayed_steps_are_the_same_steps(engines: Engines, clip: Clip) -> None:
    long_clip = np.concatenate([clip, clip[::-1]])
    _, gpu = engines()
    recorded = tracks(long_clip, gpu, QUERIES_TYX[:2])
    # The first time round nothing can be replayed: points, memory and ring have to settle.
    assert gpu.session.steps.replayed > len(long_clip) // 2
    _, plain = engines(record=False)
    np.testing.assert_array_equal(recorded, tracks(long_clip, plain, QUERIES_TYX[:2]))
    assert plain.session.steps.replayed == 0


def test_memory_does_not_grow_with_time(engines: Engines, clip: Clip, driver: EmulatedDriver) -> None:
    _, gpu = engines()
    tracker = PointTracker(gpu)
    tracker.add_points([[20.0, 12.0], [10.0, 20.0]])
    sizes = []
    for frame in [*clip, *clip[::-1]]:
        tracker.step(frame)
        sizes.append((gpu.session.pool.bytes, driver.alive()["memory"], driver.alive()["pinned"]))
    assert len(set(sizes[8:])) == 1
    uploads, downloads = driver.calls["upload"], driver.calls["download"]
    tracker.step(clip[0])
    assert driver.calls["upload"] - uploads == 1, "a frame goes up"
    assert driver.calls["download"] - downloads == 0, "and coordinates come down, within the replayed step"


def test_two_sessions_and_two_trackers(engines: Engines, clip: Clip) -> None:
    """Steps of several trackers interleave on one session; another session of the process does not notice."""
    cpu, gpu = engines()
    _, other = engines()
    expected = [tracks(clip[:8], cpu, QUERIES_TYX[i : i + 1]) for i in (0, 2)]
    trackers = [PointTracker(engine) for engine in (gpu, gpu, other)]
    for tracker, query in zip(trackers, QUERIES_TYX[[0, 2, 0]], strict=True):
        tracker.add_points(query[None, :0:-1])
    for t, frame in enumerate(clip[:8]):
        steps = [tracker.step(frame).xy[0] for tracker in trackers]
        if t == 3:
            other.session.close()
            trackers.pop()
        np.testing.assert_allclose(steps[0], expected[0][0, t], atol=SAME_PX)
        np.testing.assert_allclose(steps[1], expected[1][0, t], atol=SAME_PX)


def test_a_closed_session_says_so(engines: Engines, clip: Clip, driver: EmulatedDriver) -> None:
    gpu: GpuEngine
    _, gpu = engines()
    tracker = PointTracker(gpu)
    tracker.add_points([[20.0, 12.0]])
    tracker.step(clip[0])
    gpu.session.close()
    gpu.session.close()
    assert driver.alive() == {}
    assert driver.released
    with pytest.raises(BackendError, match="load the model again"):
        tracker.step(clip[1])
