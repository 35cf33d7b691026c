"""Points files: every way to write one down, and every way to get it wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import InputError
from fgvc_deploy.results.queries import read_queries

TYX = np.array([[0, 20, 10], [3.5, 40.25, 30]], np.float32)


def csv(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "t,x,y\n0,10,20\n3.5,30,40.25\n",
        "y,t,x\n20,0,10\n40.25,3.5,30",
        "\ufeffT, X ,Y\r\n0,10,20\r\n3.5, 30 ,40.25\r\n",
        'name,x,y,t,visible\nnose,10,20,0,1\n\n   \n"tail, tip",30,40.25,3.5,0\n',
        't,x,y\n"0","10","20"\n3.5e0,3e1,40.25\n',
    ],
    ids=["plain", "other order", "BOM, case, spaces, CRLF", "more columns, blank lines", "quotes, exponents"],
)
def test_csv(tmp_path: Path, text: str) -> None:
    queries = read_queries(csv(tmp_path, text))
    assert queries.dtype == np.float32
    assert queries.flags.c_contiguous
    np.testing.assert_array_equal(queries, TYX)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0,10,20\n3,30,40\n", r"no header naming the columns t, x and y .*line 1 is '0,10,20'"),
        ("t,x\n0,10\n", "no header"),
        ("t,x,y,x\n0,10,20,30\n", "once each"),
        ("t;x;y\n0;10;20\n", "no header"),
        ("", "no header"),
        ("t,x,y\n", "holds no query points"),
        ("t,x,y\n0,10,20\n0,ten,20\n", "line 3, column x: 'ten' is not a number"),
        ("t,x,y\n0,10,\n", "line 2, column y: '' is not a number"),
        ("t,x,y\n0,10,nan\n", "line 2, column y: nan is not a position"),
        ("t,x,y\n0,inf,20\n", "line 2, column x: inf is not a position"),
        ("t,x,y\n0,1e300,20\n", "line 2, column x: 1e[+]300 is not a position"),
        ("t,x,y\n0,10\n", "line 2: 2 values under 3 columns"),
        ("t,x,y\n0,10,20,30\n", "line 2: 4 values under 3 columns"),
        ('name,t,x,y\n"two\nlines",0,10,20\na,0,?,20\n', r"line 4, column x: '\?'"),
    ],
)
def test_bad_csv_names_row_and_column(tmp_path: Path, text: str, words: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(InputError, match=words) as caught:
        read_queries(path)
    assert str(path) in str(caught.value)


def test_csv_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(np.random.default_rng(0).bytes(400))
    with pytest.raises(InputError, match="not a text file"):
        read_queries(path)


def test_arrays_in_every_order(tmp_path: Path) -> None:
    path = tmp_path / "points.npy"
    np.save(path, TYX.astype(np.float64))
    np.testing.assert_array_equal(read_queries(path), TYX)
    np.testing.assert_array_equal(read_queries(path, "tyx"), TYX)
    np.save(path, TYX[:, [0, 2, 1]])
    np.testing.assert_array_equal(read_queries(path, "txy"), TYX)
    np.save(path, TYX[:, [2, 1, 0]])
    np.testing.assert_array_equal(read_queries(path, "xyt"), TYX)
    np.save(path, np.array([[1, 2, 3]], np.int64))
    np.testing.assert_array_equal(read_queries(path), np.array([[1, 2, 3]], np.float32))


def test_npz_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tracks.npz"
    np.savez(path, tracks=np.zeros(3), queries_tyx=TYX)
    np.testing.assert_array_equal(read_queries(path), TYX)
    np.savez(path, points=TYX)
    with pytest.raises(InputError, match="no array queries_tyx, only points"):
        read_queries(path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 2)), r"shape \(4, 2\)"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((0, 3)), "holds no query points"),
        (np.array([["a", "b", "c"]]), "holds <U1"),
        (np.zeros((2, 3), complex), "complex"),
        (np.zeros((2, 3), bool), "bool"),
        (np.array([[0, 1, 2], [0, np.nan, 2]]), "row 1, column y: nan"),
        (np.array([[0, 1, 2], [3, {}, 2]], object), "not a NumPy file of plain numbers"),
    ],
)
def test_bad_arrays(tmp_path: Path, array: NDArray[Any], words: str) -> None:
    path = tmp_path / "points.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(InputError, match=words):
        read_queries(path)


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("trap"), "sprung"))


@pytest.mark.parametrize("name", ["points.npy", "points.npz"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY", pickle.dumps(_Trap())])
def test_damaged_or_dangerous_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="not a NumPy file of plain numbers"):
        read_queries(tmp_path / name)
    assert not (tmp_path / "trap").exists()


def test_order_is_only_for_arrays_without_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="drop --query-order"):
        read_queries(csv(tmp_path, "t,x,y\n0,1,2\n"), "txy")
    np.save(tmp_path / "p.npy", TYX)
    with pytest.raises(InputError, match="'yxt'; choose tyx, txy, xyt"):
        read_queries(tmp_path / "p.npy", "yxt")  # type: ignore[arg-type]


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"points\.csv cannot be read .No such file"):
        read_queries(tmp_path / "points.csv")
    with pytest.raises(InputError, match="not a points file; give"):
        read_queries(tmp_path / "points.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        read_queries(tmp_path / "folder.csv")
