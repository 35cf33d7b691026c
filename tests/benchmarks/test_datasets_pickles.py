"""The restricted unpickler: what NumPy 1 and 2 write is read, and no file gets to name a function."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvc_benchmarks.datasets.pickles import load_pickle
from fgvc_deploy.errors import InputError

GOOD: dict[str, Any] = {
    "example": {
        "video": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3),
        "points": np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 2, 2),
        "occluded": np.array([[True, False], [False, False]]),
        "count": np.int64(3),
        "rate": np.float64(23.976),
        "shape": (2, [2, None, True]),
    },
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">i4"),
    "jpegs": np.array([b"\xff\xd8one", b"\xff\xd8two!"], object),
    "fixed": np.array([b"ab", b"c"]),
    "names": np.array(["ab", "ç"]),
    "scalar_array": np.array(1.5),
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b))
    return bool(a == b)


def save(folder: Path, data: bytes) -> Path:
    path = folder / "file.pkl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_numpy_2_writes(tmp_path: Path, protocol: int) -> None:
    loaded = load_pickle(save(tmp_path, pickle.dumps(GOOD, protocol)))
    assert same(GOOD, loaded)
    assert same(loaded, GOOD)


@pytest.mark.parametrize("protocol", [2, 3])
def test_reads_what_numpy_1_wrote(tmp_path: Path, protocol: int) -> None:
    """NumPy 1 named the same functions in numpy.core; in these protocols names are stored as plain lines."""
    data = pickle.dumps(GOOD, protocol).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in data
    assert b"numpy._core" not in data
    assert same(load_pickle(save(tmp_path, data)), GOOD)


def test_reads_python_2_arrays(tmp_path: Path) -> None:
    """Python 2 stored an array's bytes as a string."""
    data = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n"
        b"(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x08@'\ntb."
    )
    assert same(load_pickle(save(tmp_path, data)), np.array([1.0, 3.0]))


class Call:
    """Pickles to a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Own:
    """Any class of anyone."""


POISON = {
    "system": Call(os.system, "touch owned"),
    "eval": Call(eval, "open('owned', 'w')"),
    "exec": [GOOD, {"deep": (Call(exec, "open('owned', 'w')"),)}],
    "__import__": Call(__import__, "os"),
    "Popen": Call(subprocess.Popen, ["touch", "owned"]),
    "getattr": Call(getattr, Call(__import__, "os"), "system"),
    "load": Call(np.load, "owned.npy", None, True),
    "fromfile": Call(np.fromfile, "owned"),
    "Own": Call(Own),
}


@pytest.mark.parametrize("name", POISON)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_refuses_and_names_the_offender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, pickle.dumps(POISON[name], protocol))
    with pytest.raises(InputError, match=rf"is refused: it asks for [\w.]+\.{name};") as refusal:
        load_pickle(path)
    assert str(refusal.value).count("\n") == 0
    assert [file.name for file in tmp_path.iterdir()] == ["file.pkl"]


def test_nested_call_inside_an_array_is_refused(tmp_path: Path) -> None:
    array = np.array([Call(os.system, "true"), b"jpeg"], object)
    with pytest.raises(InputError, match=r"posix\.system"):
        load_pickle(save(tmp_path, pickle.dumps({"video": array})))


U1 = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR"
OBJECT = b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR"
SMUGGLED = {
    "changed builder": (b"cnumpy\ndtype\n}S'_build'\nNsb.", "change one of NumPy's functions"),
    "persistent id": (b"Pobject\n.", "external object 'object'"),
    "object from a buffer": (b"cnumpy._core.multiarray\nscalar\n(" + OBJECT + b"S'12345678'\ntR.", "Python objects"),
    "wrong size": (b"cnumpy._core.numeric\n_frombuffer\n(S'abc'\n" + U1 + b"(I4\ntS'C'\ntR.", "do not fit"),
    "negative shape": (b"cnumpy._core.numeric\n_frombuffer\n(S'abc'\n" + U1 + b"(I-1\ntS'C'\ntR.", "malformed array"),
    "without data": (b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.", "without data"),
    "bare function": (b"cnumpy\nndarray\n.", "holds a builder"),
    "codec": (b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.", "_codecs.encode"),
    "list of itself": (b"(lp0\ng0\na.", "contains itself"),
    "set": (pickle.dumps({1, 2}), "holds a set"),
    "structured array": (pickle.dumps(np.zeros(2, [("a", "f4")])), "array of type 'V4'"),
    "dates": (pickle.dumps(np.array(["2020-01-01"], "M8[D]")), "array of type 'M8'"),
    "complex": (pickle.dumps(np.zeros(2, complex)), "array of type 'c16'"),
    "numbers as objects": (pickle.dumps(np.array([1, 2.5], object)), "Python objects"),
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_refuses_what_is_neither_array_nor_string_nor_number(tmp_path: Path, case: str) -> None:
    data, reason = SMUGGLED[case]
    with pytest.raises(InputError, match=f"is refused: it .*{reason}"):
        load_pickle(save(tmp_path, data))


def test_nesting_cannot_multiply_the_work(tmp_path: Path) -> None:
    """Sixty lists, each holding the one before twice: 2**60 leaves if shared parts were visited again."""
    nested: list[Any] = [1]
    for _ in range(60):
        nested = [nested, nested]
    assert isinstance(load_pickle(save(tmp_path, pickle.dumps(nested))), list)


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps(GOOD)[:200], b"\x80\x05]" + b"(" * 50 + b"."])
def test_damaged_files_give_one_sentence(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match="get the file again"):
        load_pickle(save(tmp_path, data))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        load_pickle(tmp_path / "absent.pkl")
