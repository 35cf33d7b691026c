"""Numeric arrays of MATLAB 5 files (.mat, before v7.3), so that JHMDB needs no SciPy.

Format: "MAT-File Format", MathWorks; a header of 128 bytes, then tagged elements, each maybe zlib-compressed.
Only real numeric matrices are returned; cells, structs, text and sparse matrices are skipped.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# Storage types (miINT8 ..): an array may be stored narrower than its class.
_STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# Array classes (mxDOUBLE_CLASS ..).
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_COMPLEX = 0x0800


def read_mat(path: Path) -> dict[str, NDArray[Any]]:
    """Real numeric matrices of a .mat file by name.  Raises InputError if it is missing, damaged or v7.3."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check --root against the layout in the docs.") from None
    if data[:8] == b"\x89HDF\r\n\x1a\n" or data[:10] == b"MATLAB 7.3":
        raise InputError(f"{path} is a MATLAB 7.3 file: save it again with -v7.")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise InputError(f"{path} is no MATLAB 5 file: get it again from its source.")
    try:
        return dict(_matrices(data[_HEADER:], order))
    except (struct.error, zlib.error, ValueError, KeyError) as error:
        raise InputError(f"{path} is a damaged MATLAB file ({error}): get it again from its source.") from error


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, content) of the tagged elements in `data`."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:  # small element: size and type share the first word, content is in the second
            kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            after = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(data):
            raise ValueError("it ends early")
        yield kind, data[start : start + size]
        at = after


def _matrices(data: bytes, order: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for kind, content in _elements(data, order):
        if kind == _COMPRESSED:
            yield from _matrices(zlib.decompress(content), order)
        elif kind == _MATRIX:
            matrix = _matrix(content, order)
            if matrix is not None:
                yield matrix


def _matrix(content: bytes, order: str) -> tuple[str, NDArray[Any]] | None:
    parts = list(_elements(content, order))
    (flags,) = struct.unpack_from(order + "I", parts[0][1]) if parts else (0,)
    if flags & 0xFF not in _CLASSES or flags & _COMPLEX:
        return None
    shape = np.frombuffer(parts[1][1], order + "i4")
    kind, stored = parts[3]
    values = np.frombuffer(stored, order + _STORAGE[kind])
    if len(values) != math.prod(shape.tolist()):
        raise ValueError("a matrix does not fit its size")
    return parts[2][1].decode("ascii"), values.astype(_CLASSES[flags & 0xFF]).reshape(shape, order="F")
