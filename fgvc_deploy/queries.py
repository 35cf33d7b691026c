"""Query points as arrays: what a caller may pass, where points may lie, and when each starts.

Reading them from files lives in `fgvc_deploy.results.queries`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.settings import Compat


def check_queries(queries_tyx: ArrayLike) -> NDArray[np.float32]:
    """Queries as float32 [N, 3], each (frame, y, x) in source pixels; InputError names the first bad row."""
    queries = _as_float32(queries_tyx, "queries_tyx must be numbers in an array [N, 3] of (frame, y, x)")
    if queries.ndim != 2 or queries.shape[1] != 3:
        raise InputError(f"queries_tyx must be an array [N, 3] of (frame, y, x), not of shape {queries.shape}.")
    if not len(queries):
        raise InputError("there are no query points: give at least one row (frame, y, x).")
    bad = np.flatnonzero(~np.isfinite(queries).all(axis=1))
    if len(bad):
        raise InputError(f"query {bad[0]} is not a number: {queries[bad[0]].tolist()}; give frame, y and x.")
    return queries


def _as_float32(values: ArrayLike, rule: str) -> NDArray[np.float32]:
    """A copy as float32; what is too large becomes infinite and is refused with the other infinities."""
    try:
        with np.errstate(over="ignore"):
            return np.array(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{rule}: {error}.") from error


def query_frames(queries_tyx: NDArray[np.float32], compat: Compat) -> NDArray[np.int64]:
    """Frame number each query starts on, int64 [N].

    A fractional time starts on the nearest frame (halves go up).  The reference crashes on one (goldens item 19), so
    `compat="reference"` refuses it.
    """
    times = queries_tyx[:, 0].astype(np.float64)
    # A time past every possible frame must stay one: casting it would wrap round.
    frames: NDArray[np.int64] = np.floor(times + 0.5).clip(-(2.0**62), 2.0**62).astype(np.int64)
    if compat == "reference" and (frames != times).any():
        row = int(np.flatnonzero(frames != times)[0])
        raise InputError(f"query {row} starts at t={times[row]:g}: the reference needs whole frame numbers.")
    return frames


def check_points(xy: ArrayLike) -> NDArray[np.float32]:
    """Points as float32 [P, 2], each (x, y); InputError names the first that is not a number."""
    points = _as_float32(xy, "points must be numbers in an array [P, 2] of (x, y)")
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise InputError(
            f"points must be an array [P, 2] of (x, y) with at least one row, not of shape {points.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise InputError(
            f"point {bad[0]} is not a number: {points[bad[0]].tolist()}; remove it or give its position."
        )
    return points


def check_in_frame(xy: NDArray[np.float32], hw: tuple[int, int], name: str = "points") -> None:
    """Raise InputError for the first of [P, 2] points outside a frame of (height, width).

    Pixels reach half a pixel around their centres, so -0.5 and W - 0.5 are still inside.
    """
    for axis, side in (("x", hw[1]), ("y", hw[0])):
        values = xy[:, "xy".index(axis)]
        outside = np.flatnonzero(~((values >= -0.5) & (values <= side - 0.5)))
        if len(outside):
            row = outside[0]
            raise InputError(
                f"{name}: point {row} (counted from 0) has {axis} = {values[row]:g}, outside the frame of "
                f"{hw[1]}x{hw[0]} pixels; {axis} goes from 0 to {side - 1}."
            )


def check_known(ids: NDArray[np.int64], known: NDArray[np.int64]) -> None:
    """Raise InputError naming the `ids` of points that are not among the `known` ones."""
    unknown = np.setdiff1d(ids, known)
    if len(unknown):
        raise InputError(f"no point has the id {', '.join(map(str, unknown))}; `tracker.ids` lists those tracked.")


def check_mask_frame(query_frame: int, frame_count: int | None) -> None:
    """Raise InputError when a mask is said to lie on a frame that does not exist; `frame_count` None: unknown."""
    if query_frame < 0 or (frame_count is not None and query_frame >= frame_count):
        have = "frames count from 0" if frame_count is None else f"the video has frames 0 to {frame_count - 1}"
        raise InputError(f"the mask is said to lie on frame {query_frame}; {have}.")


def check_times(queries_tyx: NDArray[np.float32], frame_count: int | None, name: str = "queries") -> None:
    """Raise InputError for the first query [N, 3] on a frame that does not exist.

    `frame_count` None: only negative times can be refused; call again when the number of frames is known.  A
    fractional time must lie between the first and the last frame.
    """
    times = queries_tyx[:, 0]
    last = np.inf if frame_count is None else frame_count - 1
    bad = np.flatnonzero(~((times >= 0) & (times <= last)))
    if len(bad):
        have = "frames count from 0" if frame_count is None else f"the video has frames 0 to {frame_count - 1}"
        raise InputError(f"{name}: point {bad[0]} (counted from 0) has t = {times[bad[0]]:g}; {have}.")
