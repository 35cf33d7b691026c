"""Which frames a frame is matched to."""

from __future__ import annotations


def memory_frames(t: int, memory: int, duplicate_first: bool) -> list[int]:
    """Key frames of frame `t` >= 1, counted from the first frame of its query group: first frame + last `memory`.

    The reference lists frame 0 twice while it is also among the last `memory` frames, that is while t <= memory
    (`duplicate_first=True`); without the duplicate the frames are distinct.  Source: goldens items 12 and 20.
    """
    if t < 1 or memory < 1:
        raise ValueError(f"frame {t} with a memory of {memory} has no key frames: both must be at least 1")
    recent = list(range(max(0, t - memory), t))
    if recent[0] == 0 and not duplicate_first:
        return recent
    return [0, *recent]
