"""A mask through a whole video: first back from its frame when asked to, then forwards.  Points: `points.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.overlap import encoded, finish
from fgvc_deploy.pipeline.passes import Frame, OnFrame, note_missing
from fgvc_deploy.spool import FrameSpool
from fgvc_deploy.trackers.masks import MaskTracker


class MaskFrame(NamedTuple):
    """One frame and its object ids, uint8 [H, W]."""

    frame_index: int
    frame: Frame
    mask: NDArray[np.uint8]


def mask_frames(
    frames: Iterable[Frame],
    tracker: MaskTracker,
    *,
    query_frame: int = 0,
    bidirectional: bool = False,
    on_frame: OnFrame | None = None,
) -> Iterator[MaskFrame]:
    """Carry the tracker's first mask, which lies on frame `query_frame`, through all frames; yields them in order.

    Frames before it get an empty mask or, with `bidirectional`, the mask followed backwards: then frames and masks up
    to there wait in temporary files, and an interrupt on the way back yields them before it is raised, with a note
    (PEP 678) that names the frames it left empty.  Raises InputError when the source ends before `query_frame`.
    """
    source = iter(frames)
    with FrameSpool() as spool:
        for index, frame in enumerate(spool.record(source) if bidirectional else source):
            if index == query_frame:
                break
            if not bidirectional:
                yield MaskFrame(index, frame, np.zeros(frame.shape[:2], np.uint8))
        else:
            raise InputError(f"the mask lies on frame {query_frame}, but the source ends before it.")
        if bidirectional:
            yield from _masks_before(spool, tracker.renewed(), on_frame)
    with closing(encoded(itertools.chain([frame], source), tracker)) as items:
        for index, item in enumerate(items, query_frame):
            yield MaskFrame(index, item.frame, finish(item, tracker))
            if on_frame:
                on_frame()


def _masks_before(spool: FrameSpool, tracker: MaskTracker, on_frame: OnFrame | None) -> Iterator[MaskFrame]:
    """Masks of all spooled frames but the last, which is the one the mask was drawn on; in order of time.

    An interrupt ends the pass: frames it did not reach get an empty mask, the last one is yielded too, for no pass
    forwards will, and then the interrupt is raised with a note that names the empty ones.
    """
    stopped: KeyboardInterrupt | None = None
    with FrameSpool() as masks:
        try:
            with closing(encoded(spool.backward(), tracker)) as items:
                for _ in masks.record(finish(item, tracker) for item in items):
                    if on_frame:
                        on_frame()
        except KeyboardInterrupt as error:
            stopped = error
        missing = len(spool) - len(masks)
        if stopped:
            note_missing(stopped, missing, "where masks are empty")
        found = masks.backward()
        for index, frame in enumerate(itertools.islice(spool.forward(), len(spool) - (stopped is None))):
            yield MaskFrame(index, frame, np.zeros(frame.shape[:2], np.uint8) if index < missing else next(found))
    if stopped:
        raise stopped
