"""Query points from files and grids.  What any query must satisfy is in `fgvc_deploy.queries`.

All positions are pixels of the source video, integer = pixel centre; times count frames from 0.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError

QueryOrder = Literal["tyx", "txy", "xyt"]
_ARRAY_NAME = "queries_tyx"


def read_queries(path: str | Path, query_order: QueryOrder | None = None) -> NDArray[np.float32]:
    """Read query points, float32 [N, 3] of (t, y, x), in the order of the file.

    `.csv`: the first line names the columns; `t`, `x` and `y` are needed, in any order and case.  Other columns are
    ignored: since all three are needed, that hides no mistake.  `.npz`: the array `queries_tyx` [N, 3], as in
    tracks.npz.  `.npy`: an array [N, 3] without names; `query_order` tells its columns (default `tyx`) and is refused
    for the other kinds.  Nothing is unpickled.

    Raises InputError naming row and column for a missing header, text, NaN, infinity, or when there are no points.
    Whether points lie in the frame and whether their frames exist is for `fgvc_deploy.queries`.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".npy", ".npz"):
        raise InputError(f"{path} is not a points file; give .csv with the header t,x,y, .npy or .npz.")
    _check_order(path, suffix, query_order)
    try:
        values, places, columns = _read_csv(path) if suffix == ".csv" else _read_array(path, query_order or "tyx")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); check the path.") from error
    if not len(values):
        raise InputError(f"{path} holds no query points; give at least one row.")
    with np.errstate(over="ignore"):
        queries = values.astype(np.float32)
    bad = np.argwhere(~np.isfinite(queries))
    if len(bad):
        row, column = bad[0]
        what = f"{path}, {places[row]}, column {columns[column]}"
        raise InputError(f"{what}: {values[row, column]} is not a position; give a number.")
    return np.ascontiguousarray(queries[:, [columns.index(column) for column in "tyx"]])


def _check_order(path: Path, suffix: str, query_order: str | None) -> None:
    if query_order is None:
        return
    if query_order not in get_args(QueryOrder):
        raise InputError(f"There is no query order {query_order!r}; choose {', '.join(get_args(QueryOrder))}.")
    if suffix != ".npy":
        raise InputError(f"{path} names its columns itself; drop --query-order, which is for .npy files.")


_Table = tuple[NDArray[np.float64], list[str], str]
"""Values [N, 3], the name of each row for messages, and the three columns as a word, for example `txy`."""


def _read_csv(path: Path) -> _Table:
    rows: list[list[float]] = []
    places: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = [cell.strip().lower() for cell in next(lines, [])]
            wanted = _find_columns(path, header)
            for cells in lines:
                if any(cell.strip() for cell in cells):
                    places.append(f"line {lines.line_num}")
                    rows.append(_numbers(path, places[-1], header, wanted, cells))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} is not a text file; give a CSV with the header t,x,y and one point a line."
        ) from error
    return np.array(rows, np.float64).reshape(-1, 3), places, "".join(wanted)


def _find_columns(path: Path, header: list[str]) -> list[str]:
    """The names t, x and y in the order in which they occur."""
    found = [name for name in header if name in ("t", "x", "y")]
    if sorted(found) != ["t", "x", "y"]:
        shown = ",".join(header)[:60]
        raise InputError(
            f"{path} has no header naming the columns t, x and y once each (line 1 is {shown!r}); add t,x,y."
        )
    return found


def _numbers(path: Path, place: str, header: list[str], wanted: list[str], cells: list[str]) -> list[float]:
    if len(cells) != len(header):
        raise InputError(
            f"{path}, {place}: {len(cells)} values under {len(header)} columns; give one value a column."
        )
    numbers = []
    for name in wanted:
        text = cells[header.index(name)].strip()
        try:
            numbers.append(float(text))
        except ValueError as error:
            raise InputError(f"{path}, {place}, column {name}: {text!r} is not a number; give a number.") from error
    return numbers


def _read_array(path: Path, order: str) -> _Table:
    try:
        # np.load leaves the file open when it turns out to be damaged.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                if _ARRAY_NAME not in loaded.files:
                    raise InputError(f"{path} has no array {_ARRAY_NAME}, only {', '.join(loaded.files)}; rename it.")
                loaded = loaded[_ARRAY_NAME]
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is not a NumPy file of plain numbers, or is damaged; save it with np.save."
        ) from error
    values: NDArray[Any] = loaded
    if values.ndim != 2 or values.shape[1] != 3:
        raise InputError(f"{path} holds an array of shape {values.shape}; query points are [N, 3].")
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path} holds {values.dtype}; query points are integers or floating-point numbers.")
    return values.astype(np.float64), [f"row {row}" for row in range(len(values))], order


def grid_queries(count: int, hw: tuple[int, int], query_frame: float = 0) -> NDArray[np.float32]:
    """Centres of count x count equal cells of a frame of (height, width), row by row: float32 [count**2, 3], tyx."""
    if count < 1:
        raise InputError(f"--grid {count} makes no points; give 1 or more.")
    y, x = (((np.arange(count) + 0.5) * side / count - 0.5) for side in hw)
    ys, xs = np.meshgrid(y, x, indexing="ij")
    return np.stack([np.full(count * count, query_frame), ys.ravel(), xs.ravel()], axis=1).astype(np.float32)
