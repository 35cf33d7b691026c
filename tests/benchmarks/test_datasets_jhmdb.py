"""JHMDB and its .mat files: tiny files in the official layout, written by hand and by SciPy."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fgvc_benchmarks.datasets.jhmdb import read_jhmdb
from fgvc_benchmarks.datasets.matfile import read_mat
from fgvc_deploy.errors import InputError


def element(kind: int, content: bytes, order: str) -> bytes:
    return struct.pack(order + "II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def mat_file(
    name: str,
    array: NDArray[np.float64],
    *,
    order: str = "<",
    compress: bool = False,
    storage: tuple[int, str] = (9, "f8"),
) -> bytes:
    """A MATLAB 5 file of one double matrix, following the published format."""
    matrix = element(6, struct.pack(order + "II", 6, 0), order)
    matrix += element(5, np.array(array.shape, order + "i4").tobytes(), order)
    # A name of at most four letters goes into its tag.
    small = struct.pack(order + "I", len(name) << 16 | 1) + name.encode().ljust(4, b"\0")
    matrix += small if len(name) <= 4 else element(1, name.encode(), order)
    matrix += element(storage[0], array.astype(order + storage[1]).tobytes(order="F"), order)
    body = element(14, matrix, order)
    if compress:
        packed = zlib.compress(body)
        body = struct.pack(order + "II", 15, len(packed)) + packed
    return (
        b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x0100) + {"<": b"IM", ">": b"MI"}[order] + body
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["pos", "pos_img"])
@pytest.mark.parametrize("storage", [(9, "f8"), (2, "u1"), (4, "u2")])
def test_reads_the_published_format(
    tmp_path: Path, order: str, compress: bool, name: str, storage: tuple[int, str]
) -> None:
    array = np.arange(30.0).reshape(2, 3, 5)
    path = tmp_path / "a.mat"
    path.write_bytes(mat_file(name, array, order=order, compress=compress, storage=storage))
    read = read_mat(path)
    assert read.keys() == {name}
    assert read[name].dtype == np.float64
    assert np.array_equal(read[name], array)


@pytest.mark.parametrize("compress", [False, True])
def test_reads_what_scipy_writes(tmp_path: Path, compress: bool) -> None:
    scipy_io = pytest.importorskip("scipy.io", reason="SciPy writes .mat files to compare with")
    arrays: dict[str, Any] = {
        "pos_img": np.random.default_rng(0).random((2, 15, 7)) * 300,
        "scale": np.arange(7.0),
        "bytes": np.arange(5, dtype=np.uint8),
        "ints": np.arange(-3, 3, dtype=np.int16),
        "single": np.float32(2.5),
    }
    skipped = {"viewpoint": "left", "cell": np.array([1, "a"], object), "complex": np.array([1j])}
    scipy_io.savemat(tmp_path / "a.mat", arrays | skipped, do_compression=compress)
    read = read_mat(tmp_path / "a.mat")
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(read[name], np.atleast_2d(array))
        assert read[name].dtype == np.asarray(array).dtype


def test_damaged_mat_files(tmp_path: Path) -> None:
    good = mat_file("pos_img", np.ones((2, 15, 4)))
    path = tmp_path / "a.mat"
    for data, reason in (
        (good[:-100], "damaged"),
        (mat_file("pos_img", np.ones((2, 15, 4)), compress=True)[:-30], "damaged"),
        (b"MATLAB 7.3 MAT-file".ljust(200), "save it again with -v7"),
        (b"text", "no MATLAB 5 file"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=reason):
            read_mat(path)
    with pytest.raises(InputError, match="no file"):
        read_mat(tmp_path / "b.mat")


def write_video(root: Path, action: str, video: str, frames: int, annotated: int) -> NDArray[np.float64]:
    folder = root / "Rename_Images" / action / video
    folder.mkdir(parents=True)
    for index in range(frames):
        Image.fromarray(np.full((4, 6, 3), index, np.uint8)).save(folder / f"{index + 1:05d}.png")
    positions = np.random.default_rng(frames).random((2, 15, annotated)) * 5 + 1
    target = root / "joint_positions" / action / video / "joint_positions.mat"
    target.parent.mkdir(parents=True)
    target.write_bytes(mat_file("pos_img", positions, compress=True))
    return positions


def test_reads_test_videos_of_split_1(tmp_path: Path) -> None:
    positions = write_video(tmp_path, "catch", "b_clip", frames=5, annotated=4)
    write_video(tmp_path, "catch", "a_clip", frames=3, annotated=3)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "catch_test_split1.txt").write_text("b_clip.avi 2\ntraining.avi 1\na_clip.avi 2 \n")
    (tmp_path / "splits" / "catch_test_split2.txt").write_text("absent.avi 2\n")
    first, second = read_jhmdb(tmp_path)
    assert (first.name, second.name) == ("catch/a_clip", "catch/b_clip")
    assert len(second.frames) == 4  # the annotation is one frame shorter than the video
    assert second.frames[3][0, 0, 0] == 3
    np.testing.assert_array_equal(second.joints, positions.transpose(1, 2, 0) - 1)


def test_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        read_jhmdb(tmp_path)
    (tmp_path / "splits").mkdir()
    split = tmp_path / "splits" / "catch_test_split1.txt"
    split.write_text("clip.avi 1\n")
    with pytest.raises(InputError, match="no test video"):
        read_jhmdb(tmp_path)
    split.write_text("clip.avi\n")
    with pytest.raises(InputError, match="no JHMDB split"):
        read_jhmdb(tmp_path)
    split.write_text("clip.avi 2\n")
    write_video(tmp_path, "catch", "clip", frames=2, annotated=2)
    (tmp_path / "joint_positions" / "catch" / "clip" / "joint_positions.mat").write_bytes(
        mat_file("pos_img", np.ones((3, 15, 2)))
    )
    with pytest.raises(InputError, match="no pos_img"):
        read_jhmdb(tmp_path)
