"""Encoding one frame ahead: a thread computes the next frame's features while the caller propagates this one's.

Results are the same bit for bit, because each frame goes through the same calls in the same order.  What is done with
the frames is the business of `pipeline`; a stream can be read the same way:

    for item in encoded(frames, tracker, ahead=True):
        result = finish(item, tracker)

Reading ahead needs the next frame before this one's result is out, so it suits sources that have it waiting.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.stages import StageTimer

Frame = NDArray[np.uint8]
Result_co = TypeVar("Result_co", covariant=True)


class Tracker(Protocol[Result_co]):
    """What point and mask trackers have in common: a step in two halves, of which the first may run ahead."""

    timer: StageTimer
    overlap: bool

    def open(self, frame: Frame) -> None:
        """Check a frame."""
        ...

    def encode(self, frame: Frame) -> FeatureMap:
        """Features of a frame; may run in another thread than `step_features`."""
        ...

    def step_features(self, features: FeatureMap) -> Result_co:
        """The rest of the step."""
        ...


class Encoded(NamedTuple):
    """A frame that was opened and encoded, and the clock (perf_counter_ns) when it was handed to the tracker."""

    frame: Frame
    features: FeatureMap
    began: int


class _Job(NamedTuple):
    frame: Frame
    features: Future[FeatureMap]
    began: int


def finish(item: Encoded, tracker: Tracker[Result_co]) -> Result_co:
    """Step the tracker; counts the time since the frame was handed over as the stage `frame`."""
    result = tracker.step_features(item.features)
    tracker.timer.add("frame", (time.perf_counter_ns() - item.began) / 1e6)
    return result


def encoded(frames: Iterable[Frame], tracker: Tracker[object], *, ahead: bool | None = None) -> Generator[Encoded]:
    """Open and encode every frame; with `ahead`, one frame ahead of the caller in a thread of its own.

    None leaves it to `tracker.overlap`.  `frames` are read in the calling thread.  An error of a frame, be it in
    reading, opening or encoding, is raised once the frames before it have been yielded.  Closing the iterator waits
    for the frame in hand.
    """
    return _ahead(frames, tracker) if (tracker.overlap if ahead is None else ahead) else _in_turn(frames, tracker)


def _in_turn(frames: Iterable[Frame], tracker: Tracker[object]) -> Generator[Encoded]:
    for frame in frames:
        began = time.perf_counter_ns()
        tracker.open(frame)
        yield Encoded(frame, tracker.encode(frame), began)


def _ahead(frames: Iterable[Frame], tracker: Tracker[object]) -> Generator[Encoded]:
    source = iter(frames)
    failure: Exception | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="fgvc-encode") as pool:
        job = _submit(source, tracker, pool)
        while job is not None:
            item = Encoded(job.frame, job.features.result(), job.began)
            try:
                job = _submit(source, tracker, pool)
            except Exception as error:
                # The frame in hand is good and comes first.
                failure, job = error, None
            yield item
        if failure is not None:
            raise failure


def _submit(source: Iterator[Frame], tracker: Tracker[object], pool: ThreadPoolExecutor) -> _Job | None:
    frame = next(source, None)
    if frame is None:
        return None
    began = time.perf_counter_ns()
    tracker.open(frame)
    return _Job(frame, pool.submit(tracker.encode, frame), began)
