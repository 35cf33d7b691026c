"""Points through whole videos: when a query starts, both directions, what an interrupt keeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import InputError
from fgvc_deploy.pipeline import PointFrame, point_frames
from fgvc_deploy.trackers.points import PointTracker
from interrupts import interrupt_at
from offline import offline

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
QUERIES_TYX = np.array([[0, 20, 30], [3, 40, 41.5], [0, 33, 22], [11, 30, 50]], np.float32)
MOTION_XY = np.array([2.0, 1.0])


def test_nothing_before_the_query_frame(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    frames = list(point_frames(moving_clip, PointTracker(quick_engine()), QUERIES_TYX))
    tracks = np.stack([f.xy for f in frames], axis=1)
    assert np.isnan(tracks[1, :3]).all()
    assert np.isfinite(tracks[1, 3:]).all()
    assert not any(f.visible[1] for f in frames[:3])
    assert all(f.confidence[1] == 0 for f in frames[:3])


def test_a_query_on_the_last_frame_is_its_own_answer(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracks = offline(moving_clip, quick_engine(), QUERIES_TYX)
    assert np.isnan(tracks[3, :11]).all()
    np.testing.assert_allclose(tracks[3, 11], [50, 30], atol=1e-4)


def test_bidirectional_fills_the_time_before(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    query = np.array([[8, 40, 50]], np.float32)
    tracks = offline(moving_clip, quick_engine(), query, bidirectional=True)
    assert np.isfinite(tracks).all()
    expected = np.array([50, 40]) + MOTION_XY * (np.arange(12) - 8)[:, None]
    # Odd displacements fall between the samples of stride 2: one feature, 2 pixels, is what these features can tell.
    assert np.abs(tracks[0] - expected)[1:10].max() < 2.0
    np.testing.assert_array_equal(tracks[:, 8:], offline(moving_clip, quick_engine(), query)[:, 8:])


def test_bidirectional_yields_every_frame_with_its_picture(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    results = point_frames(moving_clip, PointTracker(quick_engine()), QUERIES_TYX, bidirectional=True)
    for t, result in enumerate(results):
        assert result.frame_index == t
        np.testing.assert_array_equal(result.frame, moving_clip[t])


def test_fractional_query_times_start_on_the_nearest_frame(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracks = offline(moving_clip, quick_engine(), np.array([[2.4, 20, 30], [2.5, 20, 30]], np.float32))
    assert np.isfinite(tracks[0, 2]).all()
    assert np.isnan(tracks[0, 1]).all()
    assert np.isfinite(tracks[1, 3]).all()
    assert np.isnan(tracks[1, 2]).all()


def test_the_reference_refuses_fractional_query_times(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine(), compat="reference")
    with pytest.raises(InputError, match=r"t=2\.4.*whole"):
        list(point_frames(moving_clip, tracker, np.array([[2.4, 20, 30]], np.float32)))


def test_both_directions_count_in_the_timer(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    tracker = PointTracker(quick_engine())
    list(point_frames(moving_clip, tracker, QUERIES_TYX, bidirectional=True))
    assert tracker.timer.summary()["encode"].count == 2 * len(moving_clip)


class CountingEncoder:
    name = "counting"

    def __init__(self, inner: EncoderBackend) -> None:
        self.inner, self.count = inner, 0

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.count += 1
        return self.inner.encode(x)


@pytest.mark.parametrize(("bidirectional", "encoded"), [(False, 5), (True, 5 + 8)])
def test_frames_that_no_query_needs_are_not_encoded(
    bidirectional: bool, encoded: int, quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    engine = quick_engine()
    engine.encoder = counting = CountingEncoder(engine.encoder)
    query = np.array([[7, 20, 30]], np.float32)
    tracks = offline(moving_clip, engine, query, bidirectional=bidirectional)
    assert counting.count == encoded
    assert tracks.shape == (1, 12, 2)


@pytest.mark.parametrize(
    ("stop_after", "kept", "reached", "told"),
    [
        (5, 5, 4, "the way back was not begun"),
        (12 + 3, 12, 2, "the way back did not reach frames 0 to 1, where points of later"),
        (12 + 5, 12, 0, None),
    ],
)
def test_an_interrupt_keeps_what_both_passes_have_done(
    stop_after: int, kept: int, reached: int, told: str | None, quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    stop = interrupt_at(stop_after)
    query = np.array([[4, 20, 30]], np.float32)
    results: list[PointFrame] = []
    frames = point_frames(moving_clip, PointTracker(quick_engine()), query, bidirectional=True, on_frame=stop)
    with pytest.raises(KeyboardInterrupt) as stopped:
        results.extend(frames)
    assert [r.frame_index for r in results] == list(range(kept))
    assert [bool(np.isfinite(r.xy).all()) for r in results] == [t >= reached for t in range(kept)]
    notes = getattr(stopped.value, "__notes__", [])
    assert [note.startswith(told) for note in notes] == [True] if told else notes == []
