"""Encoding a frame ahead: the same numbers, errors in their order, and no thread left behind."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fgvc_deploy
from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.overlap import encoded, finish
from fgvc_deploy.pipeline import mask_frames, point_frames
from fgvc_deploy.propagation.base import FeatureMap, Matches
from fgvc_deploy.trackers.masks import MaskTracker
from fgvc_deploy.trackers.points import PointTracker

EngineFactory = Callable[..., Engine]
Clip = NDArray[np.uint8]
QUERIES_TYX = np.array([[0, 20, 30], [3, 40, 41.5], [7, 33, 22]], np.float32)
WAIT = 20.0


def overlapping(engine: Engine) -> Engine:
    return dataclasses.replace(engine, overlap=True)


def encoders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fgvc-encode")]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert encoders() == []


def points_of(clip: Any, engine: Engine, **options: Any) -> list[Any]:
    return list(point_frames(clip, PointTracker(engine), QUERIES_TYX, **options))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_points_are_the_same_bit_for_bit(bidirectional: bool, quick_engine: EngineFactory, moving_clip: Clip) -> None:
    engine = quick_engine()
    expected = points_of(moving_clip, engine, bidirectional=bidirectional)
    found = points_of(moving_clip, overlapping(engine), bidirectional=bidirectional)
    assert len(found) == len(expected) == len(moving_clip)
    for a, b in zip(found, expected, strict=True):
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_masks_are_the_same_bit_for_bit(bidirectional: bool, quick_engine: EngineFactory, moving_clip: Clip) -> None:
    mask = np.zeros((64, 80), np.uint8)
    mask[20:40, 30:60] = 5
    engine = quick_engine()
    runs = [
        list(mask_frames(moving_clip, MaskTracker(e, mask), query_frame=3, bidirectional=bidirectional))
        for e in (engine, overlapping(engine))
    ]
    for a, b in zip(*runs, strict=True):
        assert a.frame_index == b.frame_index
        np.testing.assert_array_equal(a.mask, b.mask)
        np.testing.assert_array_equal(a.frame, b.frame)


class Meeting:
    """An encoder and a matcher that wait for each other: `encode` of frame t + 1 for `match` of frame t."""

    name = "meeting"

    def __init__(self, engine: Engine, frames: int) -> None:
        self._encoder, self._matcher = engine.encoder, engine.matcher
        self._meet = threading.Barrier(2)
        self._frames, self._encoded, self._matched = frames, 0, 0
        self.encode_threads: set[str] = set()

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.encode_threads.add(threading.current_thread().name)
        self._encoded += 1
        # Nothing is matched on frame 0, so frame 1 has nobody to meet; the last frame's match has nobody either.
        if self._encoded > 2:
            self._meet.wait(WAIT)
        return self._encoder.encode(x)

    def prepare(self, features: NDArray[np.float32]) -> FeatureMap:
        return self._matcher.prepare(features)

    def match(self, query: FeatureMap, keys: Sequence[FeatureMap], *rest: Any) -> Matches:
        self._matched += 1
        if self._matched < self._frames - 1:
            self._meet.wait(WAIT)
        return self._matcher.match(query, keys, *rest)


def test_the_next_frame_is_encoded_while_this_one_is_matched(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    engine = quick_engine()
    both = Meeting(engine, len(moving_clip))
    meeting = dataclasses.replace(overlapping(engine), encoder=both, matcher=both)
    queries = QUERIES_TYX[:1]
    found = list(point_frames(moving_clip, PointTracker(meeting), queries))
    assert len(found) == len(moving_clip)
    assert both.encode_threads == {"fgvc-encode_0"}


def good_then(clip: Clip, count: int, end: Callable[[], Any]) -> Iterator[NDArray[np.uint8]]:
    yield from clip[:count]
    end()


def raises(error: BaseException) -> Callable[[], Any]:
    def end() -> None:
        raise error

    return end


def test_a_broken_source_is_reported_after_the_good_frames(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    frames = good_then(moving_clip, 5, raises(SourceFault("frame 5 is broken", 5)))
    results: list[int] = []
    with pytest.raises(SourceFault, match="frame 5 is broken"):
        results.extend(
            result.frame_index
            for result in point_frames(frames, PointTracker(overlapping(quick_engine())), QUERIES_TYX[:2])
        )
    assert results == [0, 1, 2, 3, 4]


def test_a_frame_of_another_size_is_reported_in_its_turn(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    frames = [*moving_clip[:3], moving_clip[3, :, :79], *moving_clip[4:]]
    seen: list[int] = []
    with pytest.raises(InputError, match="79x64"):
        seen.extend(
            result.frame_index
            for result in point_frames(frames, PointTracker(overlapping(quick_engine())), QUERIES_TYX[:1])
        )
    assert seen == [0, 1, 2]


class BrokenEncoder:
    """Fails on one frame."""

    name = "broken"

    def __init__(self, engine: Engine, frame: int) -> None:
        self._encoder, self._left = engine.encoder, frame

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._left == 0:
            raise InputError("features of a frame are not finite")
        self._left -= 1
        return self._encoder.encode(x)


@pytest.mark.parametrize("frame", [0, 1, 6])
def test_an_error_of_the_encoder_comes_in_its_turn(
    frame: int, quick_engine: EngineFactory, moving_clip: Clip
) -> None:
    engine = overlapping(quick_engine())
    engine = dataclasses.replace(engine, encoder=BrokenEncoder(engine, frame))
    # The source breaks right after: the encoder's error is the earlier one.
    frames = good_then(moving_clip, frame + 1, raises(SourceFault("later", frame + 1)))
    seen: list[int] = []
    with pytest.raises(InputError, match="not finite"):
        seen.extend(result.frame_index for result in point_frames(frames, PointTracker(engine), QUERIES_TYX[:1]))
    assert seen == list(range(frame))


def test_an_interruption_passes_at_once(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    frames = good_then(moving_clip, 2, raises(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        points_of(frames, overlapping(quick_engine()))


def test_an_error_of_the_caller_leaves_no_thread(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    with pytest.raises(ZeroDivisionError):
        points_of(moving_clip, overlapping(quick_engine()), on_frame=lambda: 1 / 0)


def test_leaving_early_leaves_no_thread(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    results = point_frames(moving_clip, PointTracker(overlapping(quick_engine())), QUERIES_TYX)
    next(results)
    assert encoders() == ["fgvc-encode_0"]
    results.close()  # type: ignore[attr-defined]


def test_frames_are_read_in_the_calling_thread_one_ahead(quick_engine: EngineFactory, moving_clip: Clip) -> None:
    readers: set[int] = set()
    read = 0

    def source() -> Iterator[NDArray[np.uint8]]:
        nonlocal read
        for frame in moving_clip:
            readers.add(threading.get_ident())
            read += 1
            yield frame

    for result in point_frames(source(), PointTracker(overlapping(quick_engine())), QUERIES_TYX):
        assert read == min(result.frame_index + 2, len(moving_clip))
    assert readers == {threading.get_ident()}


@pytest.mark.parametrize("ahead", [False, True])
def test_a_stream_can_be_read_the_same_way(ahead: bool, quick_engine: EngineFactory, moving_clip: Clip) -> None:
    engine = quick_engine()
    tracker, plain = PointTracker(engine), PointTracker(engine)
    for t in (tracker, plain):
        t.add_points([[30, 20]])
    for item in encoded(iter(moving_clip), tracker, ahead=ahead):
        np.testing.assert_array_equal(finish(item, tracker).xy, plain.step(item.frame).xy)
    stages = tracker.timer.summary()
    assert set(stages) == {"preprocess", "encode", "prepare", "propagate", "readout", "frame"}
    assert stages["frame"].count == plain.timer.summary()["frame"].count == len(moving_clip)
    assert stages["frame"].min_ms >= stages["encode"].min_ms + stages["propagate"].min_ms


@pytest.mark.parametrize(("threads", "overlap"), [(1, False), (2, True)])
def test_one_thread_means_one(threads: int, overlap: bool) -> None:
    engine = fgvc_deploy.load(threads=threads).engine()
    assert engine.overlap is overlap
    assert PointTracker(engine).overlap is overlap
