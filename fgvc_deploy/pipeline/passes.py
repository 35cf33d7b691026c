"""What points and masks share in passing over a video, forwards and back; the passes are theirs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
OnFrame = Callable[[], None]


def note_missing(error: KeyboardInterrupt, frames: int, consequence: str) -> None:
    """Say on the interrupt that the first `frames` frames were not reached, so that nobody takes them for results."""
    if frames:
        which = "frame 0" if frames == 1 else f"frames 0 to {frames - 1}"
        error.add_note(f"the way back did not reach {which}, {consequence}")
