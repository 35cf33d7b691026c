"""Points through a whole video: one pass forwards; on demand one back to the start, and one home for each of them.

A single pass is in `point_pass.py`, the way home in `round_trip.py`.  Masks: `masks.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.pipeline.passes import Frame, OnFrame, note_missing
from fgvc_deploy.pipeline.point_pass import PointFrame, one_pass
from fgvc_deploy.pipeline.round_trip import follow_home
from fgvc_deploy.queries import check_times, query_frames
from fgvc_deploy.spool import FrameSpool
from fgvc_deploy.trackers.points import PointTracker

__all__ = ["PointFrame", "point_frames", "point_steps"]


def point_frames(
    frames: Iterable[Frame],
    tracker: PointTracker,
    queries_tyx: NDArray[np.float32],
    *,
    bidirectional: bool = False,
    round_trip: bool = False,
    on_frame: OnFrame | None = None,
) -> Iterator[PointFrame]:
    """Track queries [N, 3] through all frames; yields them in order, with the frame they lie on.

    With `bidirectional` the frames before a query are tracked too; with `round_trip` every pass is followed by one on
    which its points go home.  With either nothing is yielded before all passes are done; the frames wait in a
    temporary file, the results in memory: N * T * 13 bytes, with `round_trip` 29, with both 58.  `on_frame` is called
    after every step of a pass (`point_steps`).

    Raises InputError for `round_trip` with a tracker in reference mode, and at the end for a query that starts after
    the last frame.  A SourceFault of `frames` passes through after the last good frame.
    """
    if round_trip and tracker.compat == "reference":
        raise InputError("a round trip is none of the reference's: leave it out, or compat='reference'.")
    check_times(queries_tyx, None)
    starts = query_frames(queries_tyx, tracker.compat)
    xy = np.ascontiguousarray(queries_tyx[:, 2:0:-1])
    count = 0
    if bidirectional or round_trip:
        passes = _Passes(tracker, xy, starts, on_frame, round_trip=round_trip)
        results = passes.run(frames, bidirectional=bidirectional)
    else:
        results = one_pass(frames, tracker, xy, starts, on_frame)
    for result in results:
        count += 1
        yield result
    check_times(queries_tyx, count)


def point_steps(frames: int, starts: NDArray[np.int64], *, bidirectional: bool, round_trip: bool) -> int:
    """How often `on_frame` is called for a source of `frames` frames and queries on frames `starts` [N].

    At most so often with `round_trip`: where no point was seen after its query there is no way home.
    """
    forwards, backwards = frames, int(starts.max()) + 1 if bidirectional else 0
    home = frames - int(starts.min()) + backwards if round_trip else 0
    return forwards + backwards + home


class _Passes:
    """Several passes over one video.  A fault of the source ends the first pass, an interrupt all of them.

    What there is then comes first, the error after it; an interrupt carries a note (PEP 678) on what is missing.
    """

    def __init__(
        self,
        tracker: PointTracker,
        xy: NDArray[np.float32],
        starts: NDArray[np.int64],
        on_frame: OnFrame | None,
        *,
        round_trip: bool,
    ) -> None:
        self._tracker, self._xy, self._starts, self._on_frame = tracker, xy, starts, on_frame
        self._round_trip = round_trip
        self._results: list[PointFrame] = []

    def run(self, frames: Iterable[Frame], *, bidirectional: bool) -> Iterator[PointFrame]:
        """Make the passes, then yield every frame."""
        stopped: SourceFault | KeyboardInterrupt | None = None
        with FrameSpool() as spool:
            try:
                self._forwards(spool.record(frames))
            except SourceFault as fault:
                stopped = fault
            except KeyboardInterrupt as interrupt:
                stopped = interrupt
                if bidirectional:
                    interrupt.add_note("the way back was not begun, so nothing is known before a point's query frame")
            if self._results and not isinstance(stopped, KeyboardInterrupt):
                try:
                    self._other_passes(spool, bidirectional)
                except KeyboardInterrupt as interrupt:
                    stopped = interrupt
            # An interrupted pass may have recorded one frame that it did not finish.
            for result, frame in zip(self._results, spool.forward(), strict=False):
                gap = np.full(len(self._xy), np.nan, np.float32) if self._round_trip else None
                yield result._replace(frame=frame, gap=gap if result.gap is None else result.gap)
        if self._round_trip and isinstance(stopped, KeyboardInterrupt):
            stopped.add_note("not every point was followed back to its query: what is missing of `gap` is NaN")
        if stopped:
            raise stopped

    def _forwards(self, frames: Iterable[Frame]) -> None:
        made = one_pass(frames, self._tracker, self._xy, self._starts, self._on_frame, with_evidence=self._round_trip)
        self._results.extend(result.without_frame() for result in made)

    def _other_passes(self, spool: FrameSpool, bidirectional: bool) -> None:
        """Positions first, so that an interrupt costs as few of them as can be; then the ways home."""
        started = np.flatnonzero(self._starts < len(self._results))
        if not len(started):
            return
        backwards = self._backwards(spool, started) if bidirectional else []
        if not self._round_trip:
            return
        newest = len(self._results) - 1
        home = spool.backward(newest, int(self._starts.min()))
        follow_home(self._results, home, self._tracker, self._starts, self._on_frame)
        if backwards:
            self._backwards_home(backwards, spool, started)

    def _backwards_home(self, backwards: list[PointFrame], spool: FrameSpool, started: NDArray[np.int64]) -> None:
        # In the order of that pass its first frame is the latest query's.
        starts = len(backwards) - 1 - self._starts[started]
        try:
            follow_home(backwards, spool.forward(newest=len(backwards) - 1), self._tracker, starts, self._on_frame)
        finally:
            for t, result in enumerate(reversed(backwards)):
                self._fill_before_query(t, result, started)

    def _backwards(self, spool: FrameSpool, started: NDArray[np.int64]) -> list[PointFrame]:
        """Track from the latest query frame back to the first, filling in what lies before each query.

        Returns the pass where it is needed again, for its way home.  An interrupt is noted with the frames that were
        not reached.
        """
        newest = int(self._starts[started].max())
        missing = newest + 1
        made: list[PointFrame] = []
        tracker, starts = self._tracker.renewed(), newest - self._starts[started]
        passed = one_pass(
            spool.backward(newest), tracker, self._xy[started], starts, self._on_frame, with_evidence=self._round_trip
        )
        try:
            for result in passed:
                missing = newest - result.frame_index
                self._fill_before_query(missing, result, started)
                if self._round_trip:
                    made.append(result.without_frame())
        except KeyboardInterrupt as error:
            note_missing(error, missing, "where points of later query frames have no positions")
            raise
        return made

    def _fill_before_query(self, t: int, backward: PointFrame, started: NDArray[np.int64]) -> None:
        into = self._results[t]
        earlier = self._starts[started] > t
        rows = started[earlier]
        into.xy[rows] = backward.xy[earlier]
        into.visible[rows] = backward.visible[earlier]
        into.confidence[rows] = backward.confidence[earlier]
        if into.gap is not None and backward.gap is not None:
            # On its query frame a point may have come back from one side only.
            known = earlier | ((self._starts[started] == t) & np.isnan(into.gap[started]))
            into.gap[started[known]] = backward.gap[known]
