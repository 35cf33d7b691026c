"""The streaming point tracker: what users rely on beyond equality with the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import InputError
from fgvc_deploy.trackers.points import PointTracker
from offline import offline

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
QUERIES_TYX = np.array([[0, 20, 30], [3, 40, 41.5], [0, 33, 22], [11, 30, 50]], np.float32)
MOTION_XY = np.array([2.0, 1.0])


def test_points_follow_the_motion(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracks = offline(moving_clip, quick_engine(), QUERIES_TYX[:1])
    expected = QUERIES_TYX[0, :0:-1] + MOTION_XY * np.arange(12)[:, None]
    # The last frames bring the point near the border, where windows are cut.
    assert np.abs(tracks[0] - expected)[:10].max() < 1.0


def test_streaming_equals_the_offline_call(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    whole = offline(moving_clip, quick_engine(), QUERIES_TYX)
    tracker = PointTracker(quick_engine())
    order: list[int] = []
    for t, frame in enumerate(moving_clip):
        due = np.flatnonzero(QUERIES_TYX[:, 0] == t)
        if len(due):
            tracker.add_points(QUERIES_TYX[due, :0:-1])
            order += due.tolist()
        step = tracker.step(frame)
        assert step.frame_index == t
        np.testing.assert_array_equal(step.xy, whole[order, t])


def test_a_point_does_not_depend_on_the_others(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """One group is matched jointly, several by merging per-frame lists: the answer must be the same."""
    together = offline(moving_clip, quick_engine(), QUERIES_TYX)
    for row in range(len(QUERIES_TYX)):
        alone = offline(moving_clip, quick_engine(), QUERIES_TYX[row : row + 1])
        # Summation order in the weighted label sum may differ with the number of channels.
        np.testing.assert_allclose(alone[0], together[row], atol=1e-4)


def test_permuting_queries_permutes_tracks(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    order = [2, 0, 3, 1]
    tracks = offline(moving_clip, quick_engine(), QUERIES_TYX)
    permuted = offline(moving_clip, quick_engine(), QUERIES_TYX[order])
    np.testing.assert_allclose(permuted, tracks[order], atol=1e-4)


@pytest.mark.parametrize("hw", [(63, 80), (64, 79), (45, 51)], ids=str)
def test_odd_sizes(hw: tuple[int, int], quick_engine: EngineFactory, moving_clip: Clip) -> None:
    clip = np.ascontiguousarray(moving_clip[:6, : hw[0], : hw[1]])
    tracks = offline(clip, quick_engine(), np.array([[0, 20, 25]], np.float32))
    expected = np.array([25, 20]) + MOTION_XY * np.arange(6)[:, None]
    assert np.abs(tracks[0] - expected).max() < 1.0


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_any_stride_reads_back_without_bias(stride: int, quick_engine: EngineFactory) -> None:
    """A still clip: points must stay where they are, whatever the stride (goldens item 24 is the half-pixel bias)."""
    rng = np.random.default_rng(3)
    clip = np.repeat(rng.integers(0, 255, (1, 64, 64, 3), np.uint8), 6, axis=0)
    xy = rng.uniform(16, 48, (200, 2)).astype(np.float32)
    queries = np.concatenate([np.zeros((200, 1), np.float32), xy[:, ::-1]], axis=1)
    error = offline(clip, quick_engine(stride), queries)[:, -1] - xy
    assert np.abs(error.mean(axis=0)).max() < 0.12
    assert np.abs(error).max() < 0.75 * max(stride, 1)


def test_a_vanished_label_keeps_its_place_and_says_so(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """The reference answers (-1, -1) for an all-zero map (goldens item 23)."""
    tracker = PointTracker(quick_engine())
    tracker.add_points([[30, 20]])
    for frame in moving_clip[:3]:
        last = tracker.step(frame)
    group = tracker._propagator.groups[0]
    for t in range(3):
        group.labels_of(t)[...] = 0
    step = tracker.step(moving_clip[3])
    np.testing.assert_array_equal(step.xy, last.xy)
    assert step.confidence[0] == 0
    assert not step.visible[0]


def test_points_can_be_added_and_removed_while_running(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine())
    first = tracker.add_points([[30, 20], [22, 33]])
    tracker.step(moving_clip[0])
    tracker.step(moving_clip[1])
    late = tracker.add_points([[41, 40]])
    assert tracker.ids.tolist() == [0, 1, 2]
    step = tracker.step(moving_clip[2])
    assert step.ids.tolist() == [0, 1, 2]
    np.testing.assert_allclose(step.xy[2], [41, 40], atol=1e-4)
    tracker.remove_points(first[:1])
    step = tracker.step(moving_clip[3])
    assert step.ids.tolist() == [1, 2]
    tracker.remove_points([1, 2])
    step = tracker.step(moving_clip[4])
    assert step.xy.shape == (0, 2)
    assert not tracker._propagator.groups
    assert late.tolist() == [2]


def test_removing_a_point_leaves_the_others_alone(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    kept, both = PointTracker(quick_engine()), PointTracker(quick_engine())
    kept.add_points([[30, 20]])
    both.add_points([[22, 33], [30, 20]])
    for t, frame in enumerate(moving_clip):
        if t == 4:
            both.remove_points([0])
        a, b = kept.step(frame), both.step(frame)
        np.testing.assert_allclose(a.xy[-1], b.xy[-1], atol=1e-4)


def test_points_on_the_frame_just_seen(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """A person clicks on a frame that the tracker has already taken."""
    ahead, behind = PointTracker(quick_engine()), PointTracker(quick_engine())
    ahead.step(moving_clip[0])
    ahead.add_points([[30, 20]])
    ahead.step(moving_clip[1])
    behind.step(moving_clip[0])
    behind.step(moving_clip[1])
    behind.add_points([[30, 20]], frame="last")
    np.testing.assert_array_equal(ahead.step(moving_clip[2]).xy, behind.step(moving_clip[2]).xy)


def test_the_first_frame_is_remembered(quick_engine: EngineFactory) -> None:
    """After the ring has turned over, a point that was hidden is found again through the first frame."""
    rng = np.random.default_rng(1)
    scene = rng.integers(0, 255, (48, 48, 3), np.uint8)
    other = rng.integers(0, 255, (48, 48, 3), np.uint8)
    clip = np.stack([scene, *[other] * 8, scene])
    tracks = offline(clip, quick_engine(), np.array([[0, 24, 24]], np.float32))
    np.testing.assert_allclose(tracks[0, -1], [24, 24], atol=0.6)


def test_labels_and_features_do_not_grow(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine())
    tracker.add_points([[30, 20]])
    for t in range(40):
        tracker.step(moving_clip[t % 12])
    assert len(tracker._propagator._recent) == 5
    assert tracker._propagator.groups[0].frames == [0, 35, 36, 37, 38, 39]
    assert len(tracker._propagator.groups[0]._ring) == 6


def test_bad_points_are_named(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine())
    with pytest.raises(InputError, match="no last frame"):
        tracker.add_points([[1, 1]], frame="last")
    with pytest.raises(InputError, match="at least one row"):
        tracker.add_points(np.zeros((0, 2)))
    with pytest.raises(InputError, match="point 1 is not a number"):
        tracker.add_points(np.array([[1, 1], [np.nan, 2]]))
    tracker.step(moving_clip[0])
    with pytest.raises(InputError, match=r"point 0 .* has x = 80, outside the frame of 80x64"):
        tracker.add_points([[80, 3]])
    with pytest.raises(InputError, match="no point has the id 7"):
        tracker.remove_points([7])
    with pytest.raises(InputError, match=r"79x64.*80x64"):
        tracker.step(moving_clip[0, :, :79])
