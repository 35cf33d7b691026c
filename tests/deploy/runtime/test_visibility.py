"""Visibility of tracked points: what the evidence says, how it becomes confidence, and what it must not touch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.pipeline import point_frames
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.settings import PropagationSettings, VisibilitySettings
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.trackers.propagator import Propagator
from fgvc_deploy.trackers.visibility import Appearance, Evidence, confidence, sample_features

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
WEIGHTS = VisibilitySettings(bias=-4.0, peak=3.0, similarity=4.0, log_mass=1.0)
POINTS = np.array([[30, 20], [41.5, 40]], np.float32)


def judged(engine: Engine) -> Engine:
    engine.propagation = engine.propagation.model_copy(update={"visibility": WEIGHTS})
    return engine


def test_confidence_is_the_logistic_of_the_evidence() -> None:
    evidence = Evidence(*(np.array(part, np.float32) for part in ([1, 0], [1, 0], [1, 0])))
    sure = confidence(evidence, WEIGHTS)
    assert sure[0] == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert sure[1] == pytest.approx(1 / (1 + np.exp(4.0 - np.log(1e-3))), rel=1e-4)
    extreme = VisibilitySettings(bias=1e6, peak=0, similarity=0, log_mass=0)
    assert confidence(evidence, extreme).tolist() == [1, 1]


def test_features_are_sampled_bilinearly_and_clamped() -> None:
    unit = np.eye(4, dtype=np.float32)  # a 2 x 2 map, each pixel a direction of its own
    sampled = sample_features(FeatureMap((2, 2), unit), np.array([[0, 0], [1, 1], [0.5, 0], [-3, 9]]))
    np.testing.assert_allclose(sampled[:2], unit[[0, 3]])
    np.testing.assert_allclose(sampled[2], np.array([1, 1, 0, 0]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(sampled[3], unit[2])


def test_mass_is_relative_to_the_query_frame() -> None:
    features = np.eye(2, 3, dtype=np.float32)
    before = Appearance(features, np.array([4.0, 0.0], np.float32))
    evidence = before.compare(np.ones(2, np.float32), Appearance(features[::-1], np.array([1.0, 0.0], np.float32)))
    assert evidence.mass.tolist() == [0.25, 0]
    assert evidence.similarity.tolist() == [0, 0]


def test_a_covered_point_loses_confidence_and_regains_it(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    covered = moving_clip.copy()
    rng = np.random.default_rng(5)
    covered[5:8, 15:45, 25:65] = rng.integers(0, 256, (30, 40, 3), np.uint8)
    tracker = PointTracker(judged(quick_engine()))
    tracker.add_points(POINTS[:1])
    steps = [tracker.step(frame) for frame in covered]
    sure = np.array([step.confidence[0] for step in steps])
    assert sure[0] == 1
    assert sure[1:5].min() > 0.9
    assert sure[5:8].max() < sure[1:5].min() - 0.1
    assert steps[2].visible[0]


def test_tracks_do_not_depend_on_visibility(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    plain, weighed = PointTracker(quick_engine()), PointTracker(judged(quick_engine()))
    for tracker in (plain, weighed):
        tracker.add_points(POINTS)
    for frame in moving_clip:
        np.testing.assert_array_equal(plain.step(frame).xy, weighed.step(frame).xy)
    assert plain.evidence is None


def test_reference_mode_is_untouched(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    plain = PointTracker(quick_engine(), compat="reference")
    weighed = PointTracker(judged(quick_engine()), compat="reference")
    for tracker in (plain, weighed):
        tracker.add_points(POINTS)
    for frame in moving_clip:
        ours, theirs = plain.step(frame), weighed.step(frame)
        np.testing.assert_array_equal(ours.confidence, theirs.confidence)
        np.testing.assert_array_equal(ours.xy, theirs.xy)
    assert weighed.evidence is None


def test_late_and_removed_points_keep_their_own_evidence(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """A point's evidence is the same alone, and among points that come later and go earlier."""
    alone, among = PointTracker(judged(quick_engine())), PointTracker(judged(quick_engine()))
    alone.add_points(POINTS[1:])
    among.add_points(POINTS)
    for t, frame in enumerate(moving_clip[:8]):
        if t == 3:
            late = among.add_points(POINTS[:1])
        if t == 5:
            among.remove_points([0])
        only, step = alone.step(frame), among.step(frame)
        row = step.ids.tolist().index(1)
        # Groups merge their matches, so the label sums may round differently.
        np.testing.assert_allclose(step.confidence[row], only.confidence[0], atol=1e-5)
    assert among.evidence is not None
    assert among.ids.tolist() == [1, *late]
    assert all(len(part) == 2 for part in among.evidence)
    assert alone.evidence is not None
    np.testing.assert_allclose(among.evidence.mass[0], alone.evidence.mass[0], rtol=1e-4)


def test_points_are_certain_on_their_query_frame(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(judged(quick_engine()))
    assert tracker.evidence is None
    tracker.add_points(POINTS)
    tracker.step(moving_clip[0])
    assert tracker.evidence is not None
    assert [part.tolist() for part in tracker.evidence] == [[1, 1]] * 3
    tracker.add_points(POINTS[:1])
    tracker.step(moving_clip[1])
    followed, late = tracker.evidence.peak[:2], [float(part[2]) for part in tracker.evidence]
    assert followed.max() < 1
    assert late == [1, 1, 1]


def test_bidirectional_passes_are_judged_too(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    queries = np.array([[6, 40, 41.5]], np.float32)
    results = list(point_frames(moving_clip, PointTracker(judged(quick_engine())), queries, bidirectional=True))
    sure = np.array([result.confidence[0] for result in results])
    assert sure[6] == 1
    assert 0.5 < sure[5] < 1
    assert 0.5 < sure[7] < 1


def test_a_backend_out_of_reach_falls_back_on_the_labels_height(
    quick_engine: EngineFactory, moving_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = PointTracker(quick_engine())
    monkeypatch.setattr(Propagator, "appearance", lambda self, xy: None)
    weighed = PointTracker(judged(quick_engine()))
    for tracker in (plain, weighed):
        tracker.add_points(POINTS)
    for frame in moving_clip[:4]:
        np.testing.assert_array_equal(plain.step(frame).confidence, weighed.step(frame).confidence)


def test_settings_of_older_bundles_have_no_visibility() -> None:
    assert PropagationSettings.model_validate({"radius": 4.0}).visibility is None
    with pytest.raises(ValueError, match="finite"):
        VisibilitySettings(bias=float("nan"), peak=0, similarity=0, log_mass=0)
