"""Loads the shared library and mirrors its C ABI (`src/fgvc_native.h`) for ctypes; no checks of arrays here."""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path

from fgvc_kernels.native.errors import NativeUnavailableError

# build.py writes it; importing that here would make `python -m fgvc_kernels.native.build` load itself twice.
LIBRARY = Path(__file__).resolve().with_name("libfgvc_native" + (".dylib" if sys.platform == "darwin" else ".so"))
ABI_VERSION = 1
ROW_PADDING = 16
MEND = "run `python -m fgvc_kernels.native.build` (it needs a C++ compiler, for example Debian's g++)"


class HalfPointers(Structure):
    """`fgvc_half`."""

    _fields_ = [("rows", c_void_p), ("bias", c_void_p), ("error", c_void_p), ("norm", c_void_p)]


class MatchArguments(Structure):
    """`fgvc_match_args`."""

    _fields_ = [
        ("isa", c_int32),
        ("threads", c_int32),
        ("height", c_int32),
        ("width", c_int32),
        ("channels", c_int32),
        ("window", c_int32),
        ("radius", c_double),
        ("topk", c_int32),
        ("n_keys", c_int32),
        ("screened", c_int32),
        ("reserved", c_int32),
        ("query", c_void_p),
        ("keys", POINTER(c_void_p)),
        ("query_half", POINTER(HalfPointers)),
        ("key_halves", POINTER(HalfPointers)),
        ("active", c_void_p),
        ("scores", c_void_p),
        ("positions", c_void_p),
        ("stats", c_void_p),
    ]


_INT_FUNCTIONS = {
    "fgvc_abi_version": [],
    "fgvc_isa_count": [],
    "fgvc_isa_screens": [c_int32],
    "fgvc_isa_screening_pays": [c_int32],
    "fgvc_isa_default": [],
    "fgvc_padded_channels": [c_int32],
    "fgvc_normalise": [c_int32, c_int32, c_int64, c_int32, c_void_p, c_void_p],
    "fgvc_halve": [c_int32, c_int32, c_int64, c_int32, *[c_void_p] * 6],
    "fgvc_match": [POINTER(MatchArguments)],
    "fgvc_propagate": [
        *[c_int32, c_int32, c_int64, c_int32, c_int32, c_int32, c_float],
        *[c_void_p, c_void_p, POINTER(c_void_p), c_void_p],
    ],
}


def _declare(library: ctypes.CDLL) -> None:
    for name, arguments in _INT_FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, c_int32
    for name in ("fgvc_isa_name", "fgvc_isa_missing"):
        function = getattr(library, name)
        function.argtypes, function.restype = [c_int32], c_char_p


def _open(path: Path) -> ctypes.CDLL:
    if not path.is_file():
        raise NativeUnavailableError(f"The native kernels were not built into this install: {MEND}.")
    try:
        library = ctypes.CDLL(str(path))
        library.fgvc_abi_version.restype = c_int32
        version = int(library.fgvc_abi_version())
    except (OSError, AttributeError) as error:
        raise NativeUnavailableError(f"{path.name} cannot be loaded ({error}): {MEND}.") from error
    if version != ABI_VERSION:
        raise NativeUnavailableError(f"{path.name} has interface {version}, not {ABI_VERSION}: {MEND}.")
    _declare(library)
    return library


@cache
def load_library() -> ctypes.CDLL:
    """The library, opened once.  Raises NativeUnavailableError with the reason and the mend."""
    return _open(LIBRARY)
