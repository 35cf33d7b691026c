"""Joining the matches of single key frames into the matches of a list of frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fgvc_deploy.errors import InputError
from fgvc_deploy.propagation.base import Matches
from fgvc_deploy.propagation.topk import topk_rows

CHUNK = 2048


def merge_matches(lists: Sequence[Matches], hw: int, topk: int) -> Matches:
    """Joint top-k from one list per key frame, `lists[i]` becoming slot i; `hw` is H*W.

    Each list holds the matches to one key frame (positions < H*W, k or more entries unless it has fewer keys); the
    merge then equals `match` on all the frames.  Raises InputError for lists of another size.
    """
    if not lists:
        raise InputError("no matches to merge: give one list for each key frame")
    for matches in lists:
        if len(matches.scores) != hw or matches.positions.max(initial=0) >= hw:
            raise InputError(f"matches to merge must each be of one key frame of {hw} pixels")
    scores = np.empty((hw, topk), dtype=np.float32)
    positions = np.empty((hw, topk), dtype=np.int32)
    for start in range(0, hw, CHUNK):
        part = slice(start, start + CHUNK)
        joined = np.concatenate([matches.scores[part] for matches in lists], axis=1)
        slots = [matches.positions[part] + np.int32(slot * hw) for slot, matches in enumerate(lists)]
        scores[part], positions[part] = topk_rows(joined, np.concatenate(slots, axis=1), topk)
    return Matches(scores, positions)
