"""Query points as arrays: what a caller may pass, and when each point starts.

Reading them from files lives in `fgvc_deploy.results.queries`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import Compat


def check_queries(queries_tyx: ArrayLike) -> NDArray[np.float32]:
    """Queries as float32 [N, 3], each (frame, y, x) in source pixels; InputError names the first bad row."""
    try:
        queries = np.array(queries_tyx, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"queries_tyx must be numbers in an array [N, 3] of (frame, y, x): {error}.") from error
    if queries.ndim != 2 or queries.shape[1] != 3:
        raise InputError(f"queries_tyx must be an array [N, 3] of (frame, y, x), not of shape {queries.shape}.")
    if not len(queries):
        raise InputError("there are no query points: give at least one row (frame, y, x).")
    bad = np.flatnonzero(~np.isfinite(queries).all(axis=1))
    if len(bad):
        raise InputError(f"query {bad[0]} is not a number: {queries[bad[0]].tolist()}; give frame, y and x.")
    return queries


def query_frames(queries_tyx: NDArray[np.float32], compat: Compat) -> NDArray[np.int64]:
    """Frame number each query starts on, int64 [N].

    A fractional time starts on the nearest frame (halves go up).  The reference crashes on one (goldens item 19), so
    `compat="reference"` refuses it.
    """
    times = queries_tyx[:, 0].astype(np.float64)
    frames: NDArray[np.int64] = np.floor(times + 0.5).astype(np.int64)
    if compat == "reference" and (frames != times).any():
        row = int(np.flatnonzero(frames != times)[0])
        raise InputError(f"query {row} starts at t={times[row]:g}: the reference needs whole frame numbers.")
    return frames
