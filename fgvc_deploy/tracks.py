"""`Tracks`: what point tracking returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tracks(NamedTuple):
    """Tracks of N query points over T frames, in the order the queries were given.

    `tracks` float32 [N, T, 2]: (x, y) in source pixels, integer = pixel centre; NaN before a point's query frame
    unless tracking was bidirectional.  `visible` bool [N, T].  `confidence` float32 [N, T] in 0..1.
    `queries_tyx` float32 [N, 3]: the queries as given, (frame, y, x).
    `gap` float32 [N, T], None without `round_trip`: how many source pixels the way back passes from the way there.
    It is NaN where a point was not followed back: beyond its query, and after the frame on which it set out for home,
    which is at or before the last one it was seen on while streaming.
    """

    tracks: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    queries_tyx: NDArray[np.float32]
    gap: NDArray[np.float32] | None = None
