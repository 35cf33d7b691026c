"""One pass of a point tracker over frames in either direction.  Several passes: `points.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.overlap import encoded, finish
from fgvc_deploy.pipeline.passes import Frame, OnFrame
from fgvc_deploy.trackers.points import PointTracker
from fgvc_deploy.trackers.visibility import Evidence


class PointFrame(NamedTuple):
    """One frame and all N queries on it, in the order given: NaN, False and 0 where a query has no track yet.

    `evidence` and `gap` are there while points are followed back too (`round_trip.py`): what confidence is made of,
    and how many source pixels apart the two ways are, NaN where a point was not followed back.
    """

    frame_index: int
    frame: Frame
    xy: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    evidence: Evidence | None = None
    gap: NDArray[np.float32] | None = None

    def without_frame(self) -> PointFrame:
        """The same without its pixels, for results that wait while the video goes on."""
        return self._replace(frame=np.zeros((0, 0, 3), np.uint8))


def one_pass(
    frames: Iterable[Frame],
    tracker: PointTracker,
    xy: NDArray[np.float32],
    starts: NDArray[np.int64],
    on_frame: OnFrame | None,
    *,
    with_evidence: bool = False,
) -> Iterator[PointFrame]:
    """Track points [N, 2] from frames `starts` [N] on; yields every frame, then calls `on_frame`.

    Frames before the first query are not encoded, since no query is matched to them.
    """
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
            step = finish(item, tracker)
            rows = query_of_id[step.ids]
            result.xy[rows], result.visible[rows], result.confidence[rows] = step.xy, step.visible, step.confidence
            evidence = _spread(tracker.evidence, rows, len(xy)) if with_evidence else None
            yield result._replace(evidence=evidence)
            if on_frame:
                on_frame()


def _no_track(frame_index: int, frame: Frame, count: int) -> PointFrame:
    return PointFrame(
        frame_index,
        frame,
        np.full((count, 2), np.nan, np.float32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.float32),
    )


def _spread(evidence: Evidence | None, rows: NDArray[np.int64], count: int) -> Evidence | None:
    """Evidence of all `count` queries from that of the tracked ones, `rows`; NaN for the others."""
    if evidence is None:
        return None
    spread = Evidence(*(np.full(count, np.nan, np.float32) for _ in evidence))
    for into, part in zip(spread, evidence, strict=True):
        into[rows] = part
    return spread
