"""Tracks to disk while they are made: `tracks.csv` line by line, `tracks.npz` assembled at the end.

Frames arrive one after the other, `tracks.npz` is ordered point by point: rows wait in a spool file in between.
Reading queries: `queries.py`.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fgvc_deploy.results.disk import disk_errors

_BLOCK_BYTES = 8 << 20


class _Field(NamedTuple):
    """One array of tracks.npz, [N, T] or [N, T, width], and where a point's value starts in a spooled frame."""

    name: str
    dtype: DTypeLike
    width: int
    offset: int

    @property
    def size(self) -> int:
        """Bytes per point and frame."""
        return np.dtype(self.dtype).itemsize * self.width


_FIELDS = (
    _Field("tracks", np.float32, 2, 0),
    _Field("confidence", np.float32, 1, 8),
    _Field("visible", np.bool_, 1, 12),
)
_POINT_BYTES = 13


class TracksWriter:
    """Writes `tracks.npz` and `tracks.csv` of N points, frame by frame, in constant memory.

    Every frame takes 13 N bytes in a spool file until `close`, which turns it round in blocks of 8 MB (or of one
    point, if its whole track is larger) and deletes it: memory does not depend on the number of frames, disk use
    peaks at twice the size of `tracks.npz`.

    `tracks.npz`: tracks float32 [N, T, 2] (x, y), visible bool [N, T], confidence float32 [N, T], queries_tyx float32
    [N, 3], and the string array `names` [N] when names are given; uncompressed, readable without pickle.
    `tracks.csv`: columns point, t, x, y, visible (0 or 1), confidence; frame by frame; no line where a point has no
    position.
    """

    def __init__(
        self, folder: Path, queries_tyx: NDArray[np.float32], *, csv: bool = True, names: list[str] | None = None
    ) -> None:
        self._folder = folder
        self._queries = queries_tyx
        self._names = names
        self._frames = 0
        self._open = contextlib.ExitStack()
        with disk_errors(folder):
            self._spool_path = folder / ".tracks.spool"
            self._spool = self._open.enter_context(self._spool_path.open("w+b"))
            self._csv = self._open.enter_context((folder / "tracks.csv").open("w", encoding="ascii")) if csv else None
            if self._csv:
                self._csv.write("point,t,x,y,visible,confidence\n")

    def write(self, xy: NDArray[np.float32], visible: NDArray[np.bool_], confidence: NDArray[np.float32]) -> None:
        """Add the next frame: xy [N, 2] in source pixels (NaN = no position), visible [N], confidence [N]."""
        count = len(self._queries)
        if xy.shape != (count, 2) or visible.shape != (count,) or confidence.shape != (count,):
            raise ValueError(f"expected {count} points, got {xy.shape}, {visible.shape} and {confidence.shape}")
        values = {"tracks": xy, "confidence": confidence, "visible": visible}
        with disk_errors(self._folder):
            for field in _FIELDS:
                self._spool.write(np.ascontiguousarray(values[field.name], dtype=field.dtype).data)
            if self._csv:
                self._csv.writelines(_csv_lines(self._frames, xy, visible, confidence))
        self._frames += 1

    def close(self) -> None:
        """Assemble `tracks.npz`, delete the spool, close the files."""
        with disk_errors(self._folder):
            self._spool.flush()
            with zipfile.ZipFile(self._folder / "tracks.npz", "w", zipfile.ZIP_STORED) as archive:
                for field in _FIELDS:
                    shape = (len(self._queries), self._frames, field.width)[: 3 if field.width > 1 else 2]
                    _write_array(archive, field.name, field.dtype, shape, self._blocks(field))
                _write_array(archive, "queries_tyx", np.float32, self._queries.shape, [self._queries])
                if self._names is not None:
                    names = np.array(self._names)
                    _write_array(archive, "names", names.dtype, names.shape, [names])
            self._open.close()
            self._spool_path.unlink()

    def abort(self) -> None:
        """Close the files as they are."""
        # A full disk makes flushing fail once more; the files are about to be deleted.
        with contextlib.suppress(OSError):
            self._open.close()

    def _blocks(self, field: _Field) -> Iterator[NDArray[Any]]:
        """Consecutive points of one field, all their frames: [points, T, width]."""
        count = len(self._queries)
        step = max(1, _BLOCK_BYTES // max(1, self._frames * field.size))
        for first in range(0, count, step):
            points = min(step, count - first)
            block = np.empty((points, self._frames, field.width), field.dtype)
            for t in range(self._frames):
                place = t * count * _POINT_BYTES + count * field.offset + first * field.size
                row = os.pread(self._spool.fileno(), points * field.size, place)
                block[:, t] = np.frombuffer(row, field.dtype).reshape(points, field.width)
            yield block


def _csv_lines(
    t: int, xy: NDArray[np.float32], visible: NDArray[np.bool_], confidence: NDArray[np.float32]
) -> Iterator[str]:
    rows = zip(xy.tolist(), visible.tolist(), confidence.tolist(), strict=True)
    for point, ((x, y), seen, sure) in enumerate(rows):
        # NaN is the only number that differs from itself.
        if x == x and y == y:
            yield f"{point},{t},{x:.3f},{y:.3f},{seen:d},{sure:.4f}\n"


def _write_array(archive: zipfile.ZipFile, name: str, dtype: DTypeLike, shape: tuple[int, ...], blocks: Any) -> None:
    """Write one .npy member from consecutive C-ordered pieces."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    # A fixed date makes equal results equal files.
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    with archive.open(info, "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for block in blocks:
            member.write(np.ascontiguousarray(block).data)
