"""Keypoint files: our format and BADJA's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fgvc_deploy.errors import InputError
from fgvc_deploy.queries import check_in_frame
from fgvc_deploy.results.keypoints import read_keypoints

HW = (480, 854)


def write(folder: Path, data: Any) -> Path:
    path = folder / "joints.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def test_names_positions_and_frames(tmp_path: Path) -> None:
    path = write(tmp_path, {"keypoints": {"eye": [210, 96.5], "tail ü": {"xy": [30, 120], "frame": 4}}})
    names, queries = read_keypoints(path, HW)
    assert names == ["eye", "tail ü"]
    assert queries.dtype == np.float32
    np.testing.assert_array_equal(queries, [[0, 96.5, 210], [4, 120, 30]])
    path = write(tmp_path, {"frame": 2, "keypoints": {"a": {"xy": [1, 2]}, "b": {"xy": [3, 4], "frame": 0}}})
    np.testing.assert_array_equal(read_keypoints(path, HW).queries_tyx, [[2, 2, 1], [0, 4, 3]])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"points": {}}, 'has no "keypoints"'),
        ({"keypoints": [[1, 2]]}, 'has no "keypoints"'),
        ("3", 'has no "keypoints"'),
        ({"keypoints": {}}, "holds no keypoints"),
        ({"keypoints": {"a": [1, 2]}, "frames": 3}, "unknown entry 'frames'"),
        ({"keypoints": {"a": [1, 2, 3]}}, r"'a' is \[1, 2, 3\]; give its position as \[x, y\]"),
        ({"keypoints": {"a": "1,2"}}, "'a' is '1,2'"),
        ({"keypoints": {"a": [1, "2"]}}, "y of 'a' is '2'; give a number"),
        ({"keypoints": {"a": [10**400, 2]}}, "x of 'a' is too large"),
        ({"keypoints": {"a": [None, 2]}}, "x of 'a' is None"),
        ({"keypoints": {"a": [True, 2]}}, "x of 'a' is True"),
        ('{"keypoints": {"a": [NaN, 2]}}', "x of 'a' is nan"),
        ({"keypoints": {"a": {"frame": 3}}}, "'a' needs \"xy\""),
        ({"keypoints": {"a": {"xy": [1, 2], "t": 3}}}, "'a' needs \"xy\""),
        ({"frame": "first", "keypoints": {"a": [1, 2]}}, "frame is 'first'"),
        ('{"keypoints": {"a": [1, 2], "a": [3, 4]}}', "names 'a' twice"),
        ('{"keypoints": {', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("", "is not JSON"),
        ([1, 2], "not BADJA's joint annotations"),
        ([], "not BADJA's joint annotations"),
        ([{"image_path": "a.jpg", "joints": [], "visibility": []}], "not BADJA's joint annotations"),
        ([{"image_path": "1.jpg", "joints": [[1, 2]], "visibility": []}], "not BADJA's joint annotations"),
        ([{"image_path": "1.jpg", "joints": [[1, 2]], "visibility": [False]}], "holds no keypoints"),
    ],
)
def test_bad_files_name_the_keypoint(tmp_path: Path, data: Any, words: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(InputError, match=words) as caught:
        read_keypoints(path, HW)
    assert str(path) in str(caught.value)


def test_no_such_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read .No such file"):
        read_keypoints(tmp_path / "joints.json", HW)
    (tmp_path / "joints.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not JSON"):
        read_keypoints(tmp_path / "joints.json", HW)


def test_badja_takes_the_first_annotated_frame_and_scales(tmp_path: Path) -> None:
    late = {"image_path": "dog/00008.jpg", "joints": [[1, 1], [2, 2]], "visibility": [True, True]}
    early = {"image_path": "dog/00003.jpg", "joints": [[0, 0], [540, 960]], "visibility": [False, True]}
    names, queries = read_keypoints(write(tmp_path, [late, early]), HW)
    assert names == ["joint_01"]
    np.testing.assert_array_equal(queries, [[3, 240, 427]])


@pytest.mark.parametrize(("name", "frame", "count"), [("camel", 2, 20), ("dog", 3, 17), ("horsejump-low", 0, 20)])
def test_real_badja(data_dir: Path, name: str, frame: int, count: int) -> None:
    names, queries = read_keypoints(data_dir / "badja" / "joint_annotations" / f"{name}.json", HW)
    assert len(names) == len(queries) == count
    assert (queries[:, 0] == frame).all()
    check_in_frame(queries[:, 2:0:-1], HW)
