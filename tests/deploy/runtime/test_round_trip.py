"""Points followed back home: what the gap says, how it moves confidence, and what it must not touch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.pipeline import PointFrame, point_frames, point_steps, round_trip
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.trackers.visibility import Evidence, round_trip_confidence
from round_trips import HOME, QUERIES_TYX, SEEN, STARTS, Clip, EngineFactory, gaps, run, tracker

NO_FRAME, NO_XY = np.zeros((0, 0, 3), np.uint8), np.zeros((2, 2), np.float32)


@pytest.fixture
def spliced(moving_clip: Clip) -> Clip:
    """From frame 5 on its left half is another scene: what was followed there cannot be followed home."""
    rng = np.random.default_rng(3)
    other = np.repeat(np.repeat(rng.integers(0, 256, (8, 5, 3), np.uint8), 8, axis=0), 8, axis=1)
    clip = moving_clip.copy()
    clip[5:, :, :40] = other
    return clip


def test_a_true_track_comes_home_and_a_lost_one_does_not(quick_engine: EngineFactory, spliced: Clip) -> None:
    queries = np.array([[0, 30, 15], [0, 30, 54]], np.float32)
    found = gaps(run(spliced[:7], tracker(quick_engine), queries))
    assert found[0, 0] > 8, "lost in the new scene"
    assert found[1, 0] < 2, "features are 2 pixels apart"
    assert found[1].max() < 3


def test_gaps_reach_from_the_query_to_the_last_visible_frame(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    engine_tracker = tracker(quick_engine)
    found = gaps(run(moving_clip, engine_tracker, QUERIES_TYX))
    assert found.shape == (3, 12)
    for row, start in enumerate(STARTS):
        assert np.isnan(found[row, :start]).all()
        assert np.isfinite(found[row, start:]).all()
    # The way back begins where the way there ended, up to where its own label is read.
    assert found[:, -1].max() < 0.1


def test_the_way_back_ends_where_a_point_was_last_seen(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    hidden = tracker(quick_engine)
    # Peaks fall from 1; on the query frame alone everything is visible.
    hidden._engine.propagation = hidden.settings.model_copy(update={"visible_threshold": 0.99999})
    results = run(moving_clip, hidden, QUERIES_TYX)
    assert np.isnan(gaps(results)).all()
    plain = list(point_frames(moving_clip, hidden.renewed(), QUERIES_TYX))
    for result, other in zip(results, plain, strict=True):
        np.testing.assert_array_equal(result.confidence, other.confidence)


def test_confidence_is_made_of_evidence_and_gaps(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    results = run(moving_clip, tracker(quick_engine), QUERIES_TYX)
    found = gaps(results)
    home = found[np.arange(3), STARTS]
    for t in (4, 11):
        assert results[t].evidence is not None
        expected = round_trip_confidence(results[t].evidence, found[:, t], home, HOME)  # type: ignore[arg-type]
        np.testing.assert_allclose(results[t].confidence, expected, rtol=1e-5)
        np.testing.assert_array_equal(results[t].visible, expected >= HOME.threshold)
    assert results[3].confidence[1] == 1, "the query frame is certain"


def test_gaps_count_in_network_pixels(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    """The same clip, twice as large and seen at its old size: gaps double, confidence stays."""
    large = np.repeat(np.repeat(moving_clip, 2, axis=1), 2, axis=2)
    small_results = run(moving_clip, tracker(quick_engine), QUERIES_TYX)
    engine = quick_engine()
    engine.propagation = engine.propagation.model_copy(update={"visibility": SEEN, "round_trip": HOME})
    queries = QUERIES_TYX * np.array([1, 2, 2], np.float32) + np.array([0, 0.5, 0.5], np.float32)
    large_results = run(large, PointTracker(engine, size=moving_clip.shape[1:3]), queries)
    np.testing.assert_allclose(gaps(large_results), 2 * gaps(small_results), atol=0.02)
    sure = [np.stack([r.confidence for r in results]) for results in (small_results, large_results)]
    np.testing.assert_allclose(sure[1], sure[0], atol=0.02)


def test_positions_are_those_without_it(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    for both in (False, True):
        plain = list(point_frames(moving_clip, tracker(quick_engine), QUERIES_TYX, bidirectional=both))
        for result, other in zip(
            run(moving_clip, tracker(quick_engine), QUERIES_TYX, bidirectional=both), plain, strict=True
        ):
            np.testing.assert_array_equal(result.xy, other.xy)
            np.testing.assert_array_equal(result.frame, moving_clip[result.frame_index])
            assert other.gap is None


def test_a_bundle_without_weights_gets_gaps_only(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    results = run(moving_clip, tracker(quick_engine, None), QUERIES_TYX)
    plain = list(point_frames(moving_clip, tracker(quick_engine, None), QUERIES_TYX))
    assert np.isfinite(gaps(results)[0]).all()
    for result, other in zip(results, plain, strict=True):
        np.testing.assert_array_equal(result.confidence, other.confidence)


def test_both_directions_come_home(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    queries = np.array([[6, 30, 40], [8, 36, 48]], np.float32)
    results = run(moving_clip, tracker(quick_engine), queries, bidirectional=True)
    assert np.isfinite(gaps(results)).all()
    one_way = run(moving_clip, tracker(quick_engine), queries)
    np.testing.assert_array_equal(gaps(results)[:, 8:], gaps(one_way)[:, 8:])
    backwards = run(
        moving_clip[::-1], tracker(quick_engine), queries + np.array([[-1, 0, 0], [-5, 0, 0]], np.float32)
    )
    assert gaps(backwards)[0, 5] < 3
    before, mirrored_sure = ([r.confidence[0] for r in part] for part in (results[:6], backwards[:5:-1]))
    np.testing.assert_allclose(before, mirrored_sure, atol=1e-4)
    np.testing.assert_allclose(gaps(results)[0, :6], gaps(backwards)[0, :5:-1], atol=1e-4)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("queries", [QUERIES_TYX, QUERIES_TYX[1:2]])
def test_every_step_is_counted(
    queries: NDArray[np.float32], bidirectional: bool, quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    calls: list[None] = []
    frames = point_frames(
        moving_clip,
        tracker(quick_engine),
        queries,
        bidirectional=bidirectional,
        round_trip=True,
        on_frame=lambda: calls.append(None),
    )
    assert len(list(frames)) == 12
    starts = queries[:, 0].astype(np.int64)
    assert len(calls) == point_steps(12, starts, bidirectional=bidirectional, round_trip=True)


def test_the_weights_do_what_they_say() -> None:
    evidence = Evidence.certain(3)
    gap, home = np.array([0.0, 1.0, 1.0], np.float32), np.array([0.0, 1.0, np.e], np.float32)
    score = np.log((sure := round_trip_confidence(evidence, gap, home, HOME).astype(np.float64)) / (1 - sure))
    base = HOME.bias + HOME.peak + HOME.similarity
    np.testing.assert_allclose(score[1:], [base, base + HOME.log_home], rtol=1e-4)
    assert score[0] == pytest.approx(base + (HOME.log_gap + HOME.log_home) * np.log(0.1), rel=1e-3)


def test_a_point_leaves_on_the_frame_it_was_given(
    quick_engine: EngineFactory, moving_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trip, "departures", lambda visible, starts: np.array([7, 11, -1]))
    found = gaps(run(moving_clip, tracker(quick_engine), QUERIES_TYX))
    known = [np.flatnonzero(np.isfinite(row)).tolist() for row in found]
    assert known == [list(range(8)), list(range(3, 12)), []]


def test_a_query_on_the_last_frame_has_its_gap_from_the_other_side(
    quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    queries = np.array([[11, 40, 50]], np.float32)
    found = gaps(run(moving_clip, tracker(quick_engine), queries, bidirectional=True))
    assert np.isfinite(found).all()


def test_queries_past_the_end_disturb_nobody(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    queries = np.concatenate([QUERIES_TYX, [[50, 20, 20]]]).astype(np.float32)
    results: list[PointFrame] = []
    with pytest.raises(InputError, match="t = 50"):
        results.extend(point_frames(moving_clip, tracker(quick_engine), queries, round_trip=True, bidirectional=True))
    found = gaps(results)
    assert np.isfinite(found[:3]).all()
    assert np.isnan(found[3]).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_video_of_one_frame(bidirectional: bool, quick_engine: EngineFactory, moving_clip: Clip) -> None:
    (result,) = run(moving_clip[:1], tracker(quick_engine), QUERIES_TYX[:1], bidirectional)
    assert result.gap is not None
    assert np.isnan(result.gap).all()
    assert result.confidence == 1


def test_the_reference_has_no_way_home(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    with pytest.raises(InputError, match="none of the reference's"):
        run(moving_clip, PointTracker(quick_engine(), compat="reference"), QUERIES_TYX)


def test_a_vanished_label_stays_at_zero() -> None:
    evidence = Evidence.certain(2)
    judged = [PointFrame(t, NO_FRAME, NO_XY, np.ones(2, bool), np.ones(2, np.float32), evidence) for t in range(3)]
    judged[1].confidence[0] = 0
    judged = [frame._replace(gap=np.zeros(2, np.float32)) for frame in judged]
    round_trip._judge(judged, np.zeros(2, np.int64), HOME, np.float32(1))
    assert judged[1].confidence[0] == 0
    assert not judged[1].visible[0]
    assert judged[1].confidence[1] == judged[2].confidence[0] > HOME.threshold


def test_points_beyond_the_frame_set_out_from_its_border() -> None:
    xy = np.array([[-0.4, 3], [79.3, 900], [5.5, 6.5]], np.float32)
    assert round_trip._inside(xy, (64, 80)).tolist() == [[0, 3], [79, 63], [5.5, 6.5]]
