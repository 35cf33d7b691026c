"""A pickle reader that cannot run code: dicts, lists, tuples, strings, bytes, numbers and NumPy arrays, nothing else.

An ordinary unpickler calls whatever function the file names.  Here the few names that NumPy's own pickles use lead to
small builders of this module, which check every argument and make the array from its bytes; any other is refused.
Not even NumPy's own reconstruction code sees data from the file.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError

# Booleans, integers, floats, byte and text strings of fixed width, and objects (only of strings; see _Array).
_DTYPE_CODE = re.compile(r"[biuf][1248]|f16|[SU]\d{1,6}|O8?")
_ALLOWED = "it may hold only NumPy arrays, strings and numbers"


def load_pickle(path: Path) -> Any:
    """The content of a pickle file; arrays come out read-only.

    Raises InputError, naming the offender, if the file holds anything but arrays, strings and numbers, or is damaged.
    """
    try:
        with path.open("rb") as file:
            # latin1 is how NumPy data inside Python 2 pickles is read.
            return _unwrap(_Unpickler(file, encoding="latin1").load(), {})
    except _Refused as error:
        raise InputError(f"{path} is refused: {error}; {_ALLOWED}, so get the file again from its source.") from None
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path.") from None
    except Exception as error:  # a damaged pickle can raise almost anything
        raise InputError(f"{path} is not a readable pickle ({error}): get the file again from its source.") from error


class _Refused(Exception):
    """The pickle holds something that is not allowed; the text says what."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        builder = _BUILDERS.get(f"{module}.{name}")
        if builder is None:
            raise _Refused(f"it asks for {module}.{name}")
        return _Builder(builder)

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused(f"it asks for the external object {pid!r}")


class _Builder:
    """What a name in the pickle leads to: callable, and nothing can be set on it (BUILD would, on a function)."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable[..., Any]) -> None:
        self._build = build

    def __call__(self, *arguments: Any) -> Any:
        return self._build(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it tries to change one of NumPy's functions")


class _Dtype:
    """A plain dtype; its pickled state sets the byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise _Refused(f"it holds an array of type {code!r}")
        self.code = code
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        if state[1] not in ("<", ">", "=", "|") or any(state[2:5]):
            raise _Refused("it holds an array of a structured type")
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.code if self.code.startswith("O") else self.order + self.code)


class _Array:
    """An array being read: empty when made by `_reconstruct`, filled by its state."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(dtype, _Dtype) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise _Refused("it holds a malformed array")
    if dtype.code.startswith("O"):
        return _array_of_strings(data, shape, order)
    if isinstance(data, str):
        data = data.encode("latin1")
    if not isinstance(data, bytes | bytearray) or len(data) != math.prod(shape) * dtype.numpy().itemsize:
        raise _Refused("it holds an array whose data do not fit its shape")
    array = np.frombuffer(bytes(data) if isinstance(data, bytearray) else data, dtype.numpy())
    return array.reshape(shape, order="F" if order == "F" else "C")


def _array_of_strings(data: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(data, list) or not all(isinstance(item, bytes | str) for item in data):
        raise _Refused("it holds an array of Python objects other than strings")
    array = np.empty(len(data), object)
    array[:] = data
    return array.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    return _array(data, dtype, (), "C").item()


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _Refused("it uses _codecs.encode for something other than bytes")
    return text.encode("latin1")


_BUILDERS: dict[str, Callable[..., Any]] = {"numpy.ndarray": _Array, "numpy.dtype": _Dtype, "_codecs.encode": _encode}
for _core in ("numpy.core", "numpy._core"):
    _BUILDERS[f"{_core}.multiarray._reconstruct"] = _Array
    _BUILDERS[f"{_core}.multiarray.scalar"] = _scalar
    _BUILDERS[f"{_core}.numeric._frombuffer"] = _array


def _unwrap(value: Any, done: dict[int, Any]) -> Any:
    """Plain Python and NumPy values, each shared part visited once, so that nesting cannot multiply the work."""
    if value is None or isinstance(value, bool | int | float | str | bytes | np.ndarray):
        return value
    if id(value) in done:
        if done[id(value)] is done:
            raise _Refused("it holds a structure that contains itself")
        return done[id(value)]
    done[id(value)] = done
    done[id(value)] = result = _unwrap_container(value, done)
    return result


def _unwrap_container(value: Any, done: dict[int, Any]) -> Any:
    if isinstance(value, _Array):
        if value.value is None:
            raise _Refused("it holds an array without data")
        return value.value
    if isinstance(value, dict):
        return {_unwrap(key, done): _unwrap(item, done) for key, item in value.items()}
    if isinstance(value, list):
        return [_unwrap(item, done) for item in value]
    if isinstance(value, tuple):
        return tuple(_unwrap(item, done) for item in value)
    raise _Refused(f"it holds a {type(value).__name__.strip('_').lower()}")
