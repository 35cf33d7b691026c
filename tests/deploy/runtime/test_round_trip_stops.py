"""Runs with a way home that end early: an interrupt in either pass, a source that breaks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fgvc_deploy.errors import SourceFault
from fgvc_deploy.model import _as_tracks
from fgvc_deploy.pipeline import PointFrame, point_frames
from interrupts import interrupt_at
from round_trips import QUERIES_TYX, SEEN, Clip, EngineFactory, gaps, tracker


@pytest.mark.parametrize("stop_after", [5, 12 + 4])
def test_an_interrupt_keeps_the_tracks(stop_after: int, quick_engine: EngineFactory, moving_clip: Clip) -> None:
    stop = interrupt_at(stop_after)
    queries = np.array([[0, 20, 30], [10, 20, 30]], np.float32)
    results: list[PointFrame] = []
    with pytest.raises(KeyboardInterrupt) as stopped:
        results.extend(point_frames(moving_clip, tracker(quick_engine), queries, round_trip=True, on_frame=stop))
    assert [r.frame_index for r in results] == list(range(min(stop_after, 12)))
    assert "not every point was followed back" in " ".join(stopped.value.__notes__)
    assert all(np.isfinite(r.xy[0]).all() for r in results)
    if stop_after > 12:
        found = gaps(results)
        assert np.isnan(found[0, :8]).all()
        assert np.isfinite(found[0, 8:]).all()
        assert np.isfinite(found[1, 10:]).all()
        # The second point was followed back, the first kept the confidence of the way there.
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


@pytest.mark.parametrize("stop_after", [12 + 2, 12 + 6, 12 + 6 + 12, 12 + 6 + 12 + 4])
def test_an_interrupt_in_either_direction_keeps_what_is_known(
    stop_after: int, quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    """Forwards 12 frames, backwards 6, home 12 (queries on frames 0 and 5), home from the start 6."""
    stop = interrupt_at(stop_after)
    queries = np.array([[0, 20, 30], [5, 30, 40]], np.float32)
    results: list[PointFrame] = []
    with pytest.raises(KeyboardInterrupt) as stopped:
        results.extend(
            point_frames(
                moving_clip, tracker(quick_engine), queries, round_trip=True, bidirectional=True, on_frame=stop
            )
        )
    assert len(results) == 12
    assert "not every point was followed back" in " ".join(stopped.value.__notes__)
    found = gaps(results)
    reached_backwards = stop_after > 12 + 5
    assert np.isfinite(results[0].xy[1]).all() == reached_backwards
    assert np.isfinite(found[0]).all() == (stop_after >= 12 + 6 + 12)
    # In the last pass, which goes up from frame 0, the second point has come as far as frame 3.
    assert np.isfinite(found[1, :4]).all() == (stop_after == 12 + 6 + 12 + 4)


def test_nothing_tracked_is_an_empty_gap() -> None:
    gap = _as_tracks([], np.zeros((2, 3), np.float32), True).gap
    assert gap is not None
    assert gap.shape == (2, 0)
    assert _as_tracks([], np.zeros((2, 3), np.float32), False).gap is None
