"""Tracks to disk while they are made: `tracks.csv` line by line, `tracks.npz` assembled at the end.

Frames arrive one after the other, `tracks.npz` is ordered point by point: values wait in spool files in between.
Reading queries: `queries.py`.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fgvc_deploy.results.disk import disk_errors

_BLOCK_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_ARRAYS: tuple[tuple[str, DTypeLike, int], ...] = (
    ("tracks", np.float32, 2),
    ("visible", np.bool_, 1),
    ("confidence", np.float32, 1),
)
_GAP: tuple[str, DTypeLike, int] = ("gap", np.float32, 1)


class _Spool:
    """One array of tracks.npz, turned from frame order to point order: written [T, N, width], read [N, T, width]."""

    def __init__(self, path: Path, dtype: DTypeLike, points: int, width: int) -> None:
        self.dtype, self._points, self._width = np.dtype(dtype), points, width
        self._frames = 0
        self._path = path
        self._file = path.open("w+b")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in tracks.npz: [N, T, width], or [N, T] where width is 1."""
        return (self._points, self._frames, self._width)[: 2 if self._width == 1 else 3]

    def write(self, values: NDArray[Any]) -> None:
        """Add the next frame, [N, width] or [N]."""
        self._file.write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self._frames += 1

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All frames of some points, then of the next: [points, T, width]."""
        per_point = max(1, self._frames * self._width * self.dtype.itemsize)
        per_frame = max(1, self._points * self._width * self.dtype.itemsize)
        points, frames = max(1, _BLOCK_BYTES // per_point), max(1, _CHUNK_BYTES // per_frame)
        for first in range(0, self._points, points):
            block = np.empty((min(points, self._points - first), self._frames, self._width), self.dtype)
            self._file.seek(0)
            for t in range(0, self._frames, frames):
                count = min(frames, self._frames - t)
                chunk = np.frombuffer(self._file.read(count * per_frame), self.dtype)
                rows = chunk.reshape(count, self._points, self._width)[:, first : first + points]
                block[:, t : t + count] = rows.swapaxes(0, 1)
            yield block

    def close(self) -> None:
        """Close and delete the file; may be called more than once."""
        # A full disk makes flushing fail once more; what is in the file is of no use any longer.
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


class TracksWriter:
    """Writes `tracks.npz` and `tracks.csv` of N points, frame by frame, in constant memory.

    Every frame takes 13 N bytes (17 with `gap`) in spool files until `close`, which turns them round in blocks of
    16 MB (or of one point, if its whole track is larger) and deletes them: memory does not depend on the number of
    frames, disk use peaks at twice the size of `tracks.npz`.

    `tracks.npz`: tracks float32 [N, T, 2] (x, y), visible bool [N, T], confidence float32 [N, T], queries_tyx float32
    [N, 3], the string array `names` [N] when names are given, and `gap` float32 [N, T] when points were followed back
    (`Tracks`); uncompressed, readable without pickle.
    `tracks.csv`: columns point, t, x, y, visible (0 or 1), confidence, and `gap`, empty where there is none; frame by
    frame; no line where a point has no position.
    """

    def __init__(
        self,
        folder: Path,
        queries_tyx: NDArray[np.float32],
        *,
        csv: bool = True,
        names: list[str] | None = None,
        gap: bool = False,
    ) -> None:
        self._folder = folder
        self._queries = queries_tyx
        self._names = names
        self._frames = 0
        self._open = contextlib.ExitStack()
        self._spools: dict[str, _Spool] = {}
        self._csv: TextIO | None = None
        try:
            with disk_errors(folder):
                for name, dtype, width in (*_ARRAYS, *([_GAP] if gap else [])):
                    spool = _Spool(folder / f".{name}.spool", dtype, len(queries_tyx), width)
                    self._open.callback(spool.close)
                    self._spools[name] = spool
                if csv:
                    self._csv = self._open.enter_context((folder / "tracks.csv").open("w", encoding="ascii"))
                    self._csv.write("point,t,x,y,visible,confidence" + ",gap" * gap + "\n")
        except BaseException:
            self.abort()
            raise

    def write(
        self,
        xy: NDArray[np.float32],
        visible: NDArray[np.bool_],
        confidence: NDArray[np.float32],
        gap: NDArray[np.float32] | None = None,
    ) -> None:
        """Add the next frame: xy [N, 2] in source pixels (NaN = no position); visible, confidence and `gap` [N]."""
        count = len(self._queries)
        given = {"tracks": xy, "visible": visible, "confidence": confidence} | ({} if gap is None else {"gap": gap})
        shapes = {name: values.shape for name, values in given.items()}
        if shapes != {name: (count, 2) if name == "tracks" else (count,) for name in self._spools}:
            raise ValueError(f"expected {count} points' {', '.join(self._spools)}, got {shapes}")
        with disk_errors(self._folder):
            for name, values in given.items():
                self._spools[name].write(values)
            if self._csv:
                self._csv.writelines(_csv_lines(self._frames, xy, visible, confidence, gap))
        self._frames += 1

    def close(self) -> None:
        """Assemble `tracks.npz`, delete the spools, close the files."""
        with disk_errors(self._folder):
            with zipfile.ZipFile(self._folder / "tracks.npz", "w", zipfile.ZIP_STORED) as archive:
                for name, spool in self._spools.items():
                    _write_array(archive, name, spool.dtype, spool.shape, spool.blocks())
                _write_array(archive, "queries_tyx", self._queries.dtype, self._queries.shape, [self._queries])
                if self._names is not None:
                    names = np.array(self._names)
                    _write_array(archive, "names", names.dtype, names.shape, [names])
            self._open.close()

    def abort(self) -> None:
        """Close the files as they are."""
        # A full disk makes flushing fail once more; the files are about to be deleted.
        with contextlib.suppress(OSError):
            self._open.close()


def _csv_lines(
    t: int,
    xy: NDArray[np.float32],
    visible: NDArray[np.bool_],
    confidence: NDArray[np.float32],
    gap: NDArray[np.float32] | None,
) -> Iterator[str]:
    # NaN is the only number that differs from itself.
    gaps = [""] * len(xy) if gap is None else [f",{value:.3f}" if value == value else "," for value in gap.tolist()]
    rows = zip(xy.tolist(), visible.tolist(), confidence.tolist(), gaps, strict=True)
    for point, ((x, y), seen, sure, apart) in enumerate(rows):
        if x == x and y == y:
            yield f"{point},{t},{x:.3f},{y:.3f},{seen:d},{sure:.4f}{apart}\n"


def _write_array(
    archive: zipfile.ZipFile, name: str, dtype: DTypeLike, shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]
) -> None:
    """Write one .npy member from consecutive C-ordered pieces."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    # A fixed date makes equal results equal files.
    info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
    with archive.open(info, "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for block in blocks:
            member.write(np.ascontiguousarray(block).data)
