"""The fine stage in a tracker: what it improves, and everything it must leave as it was."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.fine.picture import PicturedFeatures
from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.settings import PropagationSettings
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointStep, PointTracker

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
XY = np.array([[30, 24], [41.5, 40], [36.25, 30.75], [50, 28], [27.4, 37.1]], np.float32)
MOTION_XY = np.array([2.0, 1.0])
SHOWN = 8
"""Frames of the moving clip in which every patch of `XY` is whole."""


def steps(engine: Engine, clip: Clip, **options: Any) -> list[PointStep]:
    tracker = PointTracker(engine, **options)
    tracker.add_points(XY)
    return [tracker.step(frame) for frame in clip]


def errors(found: list[PointStep]) -> NDArray[np.float64]:
    """Distances [T, P] from the truth of `moving_clip`."""
    distances: NDArray[np.float64] = np.array(
        [np.linalg.norm(step.xy - XY - MOTION_XY * t, axis=1) for t, step in enumerate(found)]
    )
    return distances


def assert_same(found: list[PointStep], expected: list[PointStep]) -> None:
    for a, b in zip(found, expected, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("stride", [1, 2])
def test_places_become_exact(stride: int, quick_engine: EngineFactory, moving_clip: Clip) -> None:
    coarse = steps(quick_engine(stride), moving_clip[:SHOWN])
    fine = steps(quick_engine(stride, fine="patch"), moving_clip[:SHOWN])
    assert errors(coarse)[1:].max() > 0.3 * stride
    assert errors(fine).max() < 0.05
    assert all(step.refined.all() for step in fine[1:])
    assert not fine[0].refined.any()


def test_off_is_what_there_was(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """Bit for bit, and bundles that know nothing of the setting have it off."""
    assert PropagationSettings().fine == "off"
    expected = steps(quick_engine(), moving_clip)
    assert_same(steps(quick_engine(fine="off"), moving_clip), expected)
    assert not any(step.refined.any() for step in expected)


def test_reference_mode_and_keypoints_are_never_refined(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    for options in ({"compat": "reference"}, {"kind": "keypoint"}):
        found = steps(quick_engine(fine="patch"), moving_clip, **options)
        assert_same(found, steps(quick_engine(), moving_clip, **options))


def test_confidence_and_visibility_are_untouched(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    visibility = {"bias": 0.0, "peak": 1.0, "similarity": 2.0, "log_mass": 0.5}
    found = steps(quick_engine(fine="patch", visibility=visibility), moving_clip)
    expected = steps(quick_engine(visibility=visibility), moving_clip)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.confidence, other.confidence)
        np.testing.assert_array_equal(one.visible, other.visible)


def test_masks_are_untouched(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    mask = np.zeros((64, 80), np.uint8)
    mask[20:40, 20:50] = 1
    masks = [MaskTracker(quick_engine(fine=fine), mask) for fine in ("patch", "off")]
    for frame in moving_clip[:3]:
        found, expected = (tracker.step(frame) for tracker in masks)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_reading_ahead_gives_the_same_bits(
    bidirectional: bool, quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    engine = quick_engine(fine="patch")
    queries = np.array([[0, 20, 30], [3, 40, 41.5], [3, 33, 22]], np.float32)
    turns = [
        np.stack([r.xy for r in point_frames(moving_clip, PointTracker(e), queries, bidirectional=bidirectional)])
        for e in (engine, dataclasses.replace(engine, overlap=True))
    ]
    np.testing.assert_array_equal(turns[0], turns[1])


def test_frames_larger_than_the_network_size(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """Features are those of the tracker without the stage, which resizes inside the preprocessor."""
    large = np.repeat(np.repeat(moving_clip[:SHOWN], 2, axis=1), 2, axis=2)
    fine, coarse = (PointTracker(quick_engine(fine=fine), size=(64, 80)) for fine in ("patch", "off"))
    for tracker in (fine, coarse):
        tracker.open(large[0])
    np.testing.assert_array_equal(fine.encode(large[0]).unit, coarse.encode(large[0]).unit)
    tracker = PointTracker(quick_engine(fine="patch"), size=(64, 80))
    tracker.add_points(2 * XY + 0.5)
    for t, frame in enumerate(large):
        error = np.linalg.norm((tracker.step(frame).xy - 0.5) / 2 - XY - MOTION_XY * t, axis=1)
        assert error.max() < 0.05


def test_points_come_and_go(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """Groups of several frames, points on the newest frame, and removal, each against a tracker of its own."""
    tracker = PointTracker(quick_engine(fine="patch"))
    first = tracker.add_points(XY[:3])
    tracker.step(moving_clip[0])
    second = tracker.add_points(XY[3:], frame="last")
    tracker.step(moving_clip[1])
    tracker.remove_points([first[1]])
    third = tracker.add_points(XY[:1])
    found = [tracker.step(frame) for frame in moving_clip[2:SHOWN]][-1]
    assert found.ids.tolist() == [first[0], first[2], *second, *third]
    assert found.refined.all()
    moved = (SHOWN - 1) * MOTION_XY
    expected = np.concatenate([XY[[0, 2, 3, 4]] + moved, XY[:1] + moved - 2 * MOTION_XY])
    assert np.linalg.norm(found.xy - expected, axis=1).max() < 0.05


def test_a_covered_point_is_the_labels_own_answer(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    clip = moving_clip[:SHOWN].copy()
    clip[4:] = 255 - np.random.default_rng(0).integers(0, 256, clip[4:].shape, np.uint8)
    found, expected = steps(quick_engine(fine="patch"), clip), steps(quick_engine(), clip)
    for t in (4, 5, 6, 7):
        assert not found[t].refined.any()
        there = expected[t].confidence > 0
        np.testing.assert_array_equal(found[t].xy[there], expected[t].xy[there])


def test_features_made_elsewhere_have_no_picture(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """They are tracked without it; the stage takes up again with the next frame that has one."""
    tracker = PointTracker(quick_engine(fine="patch"))
    tracker.add_points(XY)
    tracker.step(moving_clip[0])
    pictured = tracker.encode(moving_clip[1])
    assert isinstance(pictured, PicturedFeatures)
    assert not tracker.step_features(pictured.features).refined.any()
    assert tracker.step(moving_clip[2]).refined.all()
    late = PointTracker(quick_engine(fine="patch"))
    late.add_points(XY)
    late.open(moving_clip[0])
    late.step_features(pictured.features)
    assert not late.step(moving_clip[1]).refined.any()


def test_pictures_live_for_one_frame(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine(fine="patch"))
    tracker.add_points(XY)
    tracker.open(moving_clip[0])
    features = tracker.encode(moving_clip[0])
    assert isinstance(features, PicturedFeatures)
    picture = weakref.ref(features.picture.full)
    tracker.step_features(features)
    del features
    assert picture() is not None
    tracker.step(moving_clip[1])
    assert picture() is None


def test_a_vanished_label_leaves_its_point_where_it_was(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine(fine="patch"))
    tracker.add_points(XY)
    for frame in moving_clip[:2]:
        tracker.step(frame)
    group = tracker._groups[0]
    assert group.fine is not None
    group.confidence = np.array([0, 1, 1, 0, 1], np.float32)
    before = group.fine.xy.copy()
    tracker._fine.follow([group], tracker.timer)
    np.testing.assert_array_equal(group.fine.refined, group.confidence > 0)
    np.testing.assert_array_equal(group.fine.xy[[0, 3]], before[[0, 3]])


def test_its_time_is_a_stage_of_its_own(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine(fine="patch"))
    tracker.add_points(XY)
    for frame in moving_clip[:3]:
        tracker.step(frame)
    stages = tracker.timer.summary()
    assert stages["picture"].count == stages["fine"].count == 3
    plain = PointTracker(quick_engine())
    plain.step(moving_clip[0])
    assert not {"picture", "fine"} & set(plain.timer.summary())
