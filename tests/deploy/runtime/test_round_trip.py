"""Points followed back home: what the gap says, how it moves confidence, and what it must not touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import SourceFault
from fgvc_deploy.pipeline import PointFrame, point_frames, point_steps
from fgvc_deploy.settings import RoundTripSettings, VisibilitySettings
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.trackers.visibility import Evidence, round_trip_confidence

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
SEEN = VisibilitySettings(bias=3.0, peak=1.0, similarity=0.0, log_mass=0.0)
HOME = RoundTripSettings(bias=1.0, peak=1.0, similarity=0.5, log_mass=0.5, log_gap=-0.5, log_home=-1.0, threshold=0.4)
QUERIES_TYX = np.array([[0, 20, 22], [3, 40, 41.5], [0, 33, 30]], np.float32)
STARTS = np.array([0, 3, 0])


def tracker(make: EngineFactory, home: RoundTripSettings | None = HOME) -> PointTracker:
    engine = make()
    engine.propagation = engine.propagation.model_copy(update={"visibility": SEEN, "round_trip": home})
    return PointTracker(engine)


def run(
    clip: Clip, tracker: PointTracker, queries: NDArray[np.float32], bidirectional: bool = False
) -> list[PointFrame]:
    return list(point_frames(clip, tracker, queries, round_trip=True, bidirectional=bidirectional))


def gaps(results: list[PointFrame]) -> NDArray[np.float32]:
    """[N, T]"""
    return np.stack([result.gap for result in results if result.gap is not None], axis=1)


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


@pytest.mark.parametrize(("stop_after", "told"), [(5, "not begun"), (12 + 4, "some points were not followed back")])
def test_an_interrupt_keeps_the_tracks(
    stop_after: int, told: str, quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == stop_after:
            raise KeyboardInterrupt

    queries = np.array([[0, 20, 30], [10, 20, 30]], np.float32)
    results: list[PointFrame] = []
    with pytest.raises(KeyboardInterrupt) as stopped:
        results.extend(point_frames(moving_clip, tracker(quick_engine), queries, round_trip=True, on_frame=stop))
    assert [r.frame_index for r in results] == list(range(min(stop_after, 12)))
    assert told in " ".join(stopped.value.__notes__)
    assert all(np.isfinite(r.xy[0]).all() for r in results)
    if stop_after > 12:
        found = gaps(results)
        assert np.isnan(found[0, :8]).all()
        assert np.isfinite(found[0, 8:]).all()
        assert np.isfinite(found[1, 10:]).all()
        # The second point came home, the first kept the confidence of the way there.
        assert results[11].evidence is not None
        way_there = 1 / (1 + np.exp(-(SEEN.bias + results[11].evidence.peak[0])))
        assert results[11].confidence[0] == pytest.approx(way_there, rel=1e-5)
        assert results[11].confidence[1] != pytest.approx(
            1 / (1 + np.exp(-(SEEN.bias + results[11].evidence.peak[1]))), rel=1e-3
        )


def test_a_broken_source_still_sends_points_home(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    def broken() -> Iterator[Clip]:
        yield from moving_clip[:6]
        raise SourceFault("frame 6 is broken", 6)

    results: list[PointFrame] = []
    with pytest.raises(SourceFault):
        results.extend(point_frames(broken(), tracker(quick_engine), QUERIES_TYX, round_trip=True))
    assert len(results) == 6
    assert np.isfinite(gaps(results)[0]).all()


def test_the_weights_do_what_they_say() -> None:
    evidence = Evidence.certain(3)
    gap, home = np.array([0.0, 1.0, 1.0], np.float32), np.array([0.0, 1.0, np.e], np.float32)
    score = np.log((sure := round_trip_confidence(evidence, gap, home, HOME).astype(np.float64)) / (1 - sure))
    base = HOME.bias + HOME.peak + HOME.similarity
    np.testing.assert_allclose(score[1:], [base, base + HOME.log_home], rtol=1e-4)
    assert score[0] == pytest.approx(base + (HOME.log_gap + HOME.log_home) * np.log(0.1), rel=1e-3)
