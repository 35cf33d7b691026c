"""Points through a whole video: one pass forwards, on demand a second one back.  Masks: `masks.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import SourceFault
from fgvc_deploy.overlap import encoded, finish
from fgvc_deploy.pipeline.passes import Frame, OnFrame, note_missing
from fgvc_deploy.queries import check_times, query_frames
from fgvc_deploy.spool import FrameSpool
from fgvc_deploy.trackers.points import PointStep, PointTracker


class PointFrame(NamedTuple):
    """One frame and all N queries on it, in the order given: NaN, False and 0 where a query has no track yet."""

    frame_index: int
    frame: Frame
    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]

    def without_frame(self) -> PointFrame:
        """The same without its pixels, for results that wait while the video goes on."""
        return self._replace(frame=np.zeros((0, 0, 3), np.uint8))


def point_frames(
    frames: Iterable[Frame],
    tracker: PointTracker,
    queries_tyx: NDArray[np.float32],
    *,
    bidirectional: bool = False,
    on_frame: OnFrame | None = None,
) -> Iterator[PointFrame]:
    """Track queries [N, 3] through all frames; yields them in order, with the frame they lie on.

    A query that starts after the last frame raises InputError at the end.  A SourceFault of `frames` passes through
    after the last good frame.  With `bidirectional` nothing is yielded before both passes are done; the frames wait
    in a temporary file, the results (N * T * 13 bytes) in memory.  `on_frame` is called after every step of a pass.
    """
    check_times(queries_tyx, None)
    starts = query_frames(queries_tyx, tracker.compat)
    xy = np.ascontiguousarray(queries_tyx[:, 2:0:-1])
    count = 0
    run = _both_ways if bidirectional else _forward
    for result in run(frames, tracker, xy, starts, on_frame):
        count += 1
        yield result
    check_times(queries_tyx, count)


def _forward(
    frames: Iterable[Frame],
    tracker: PointTracker,
    xy: NDArray[np.float32],
    starts: NDArray[np.int64],
    on_frame: OnFrame | None,
) -> Iterator[PointFrame]:
    """Results of every frame; those before the first query are not encoded, since no query is matched to them."""
    source = iter(frames)
    first = int(starts.min(initial=np.iinfo(np.int64).max))
    query_of_id = np.zeros(0, np.int64)
    for index, frame in enumerate(itertools.islice(source, first)):
        yield _no_track(index, frame, len(xy))
        if on_frame:
            on_frame()
    with closing(encoded(source, tracker)) as items:
        for index, item in enumerate(items, first):
            due = np.flatnonzero(starts == index)
            if len(due):
                tracker.add_points(xy[due])
                query_of_id = np.concatenate([query_of_id, due])
            result = _no_track(index, item.frame, len(xy))
            _fill(result, finish(item, tracker), query_of_id)
            yield result
            if on_frame:
                on_frame()


def _both_ways(
    frames: Iterable[Frame],
    tracker: PointTracker,
    xy: NDArray[np.float32],
    starts: NDArray[np.int64],
    on_frame: OnFrame | None,
) -> Iterator[PointFrame]:
    """Results of both passes.  A fault ends the first pass, an interrupt both: what there is comes first, then it.

    An interrupt carries a note (PEP 678) on what the way back did not reach.
    """
    stopped: SourceFault | KeyboardInterrupt | None = None
    results: list[PointFrame] = []
    with FrameSpool() as spool:
        try:
            forward = _forward(spool.record(frames), tracker, xy, starts, on_frame)
            results.extend(result.without_frame() for result in forward)
        except (SourceFault, KeyboardInterrupt) as error:
            stopped = error
        if not isinstance(stopped, KeyboardInterrupt):
            try:
                _fill_backwards(results, spool, tracker.renewed(), xy, starts, on_frame)
            except KeyboardInterrupt as error:
                stopped = error
        else:
            stopped.add_note("the way back was not begun, so nothing is known before a point's query frame")
        # An interrupted pass may have recorded one frame that it did not finish.
        for result, frame in zip(results, spool.forward(), strict=False):
            yield result._replace(frame=frame)
    if stopped:
        raise stopped


def _fill_backwards(
    results: list[PointFrame],
    spool: FrameSpool,
    tracker: PointTracker,
    xy: NDArray[np.float32],
    starts: NDArray[np.int64],
    on_frame: OnFrame | None,
) -> None:
    """Track from the latest query frame back to the first, filling in what lies before each query.

    An interrupt is noted on the way with the frames that were not reached.
    """
    started = np.flatnonzero(starts < len(results))
    if not len(started):
        return
    newest = int(starts[started].max())
    missing = newest
    try:
        for result in _forward(spool.backward(newest), tracker, xy[started], newest - starts[started], on_frame):
            missing = newest - result.frame_index
            _fill_before_query(results[missing], result, started, starts)
    except KeyboardInterrupt as error:
        note_missing(error, missing, "where points of later query frames have no positions")
        raise


def _fill_before_query(
    into: PointFrame, backward: PointFrame, started: NDArray[np.int64], starts: NDArray[np.int64]
) -> None:
    earlier = starts[started] > into.frame_index
    rows = started[earlier]
    into.xy[rows] = backward.xy[earlier]
    into.visible[rows] = backward.visible[earlier]
    into.confidence[rows] = backward.confidence[earlier]


def _no_track(frame_index: int, frame: Frame, count: int) -> PointFrame:
    return PointFrame(
        frame_index,
        frame,
        np.full((count, 2), np.nan, np.float32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.float32),
    )


def _fill(result: PointFrame, step: PointStep, query_of_id: NDArray[np.int64]) -> None:
    rows = query_of_id[step.ids]
    result.xy[rows] = step.xy
    result.visible[rows] = step.visible
    result.confidence[rows] = step.confidence
