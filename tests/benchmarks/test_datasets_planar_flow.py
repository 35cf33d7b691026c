"""Planar video and Middlebury flow: tiny files in their layouts, then the real data where present."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fgvc_benchmarks.datasets.flow import read_flo, read_flow_pairs
from fgvc_benchmarks.datasets.planar import read_planar, transfer
from fgvc_deploy.errors import InputError

HW = (9, 16)


def save_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_planar(root: Path, matrices: list[list[list[float]]]) -> None:
    frames = [{"frame": f"{i + 1:08d}.jpg", "H": matrix, "valid": i != 1} for i, matrix in enumerate(matrices)]
    content: dict[str, Any] = {"quad": [[1, 1], [9, 1], [9, 7], [1, 7]], "frames": frames}
    for frame in frames:
        save_image(root / "V1" / str(frame["frame"]), np.zeros((*HW, 3), np.uint8))
    (root / "V1_derived_H.json").write_text(json.dumps(content))


def test_planar(tmp_path: Path) -> None:
    write_planar(tmp_path, [[[1, 0, 0.5], [0, 1, 0], [0, 0, 1]], [[1, 0, 2.5], [0, 1, -1], [0, 0, 1]]])
    (clip,) = read_planar(tmp_path)
    points = np.array([[3.0, 4.0], [5.0, 6.0]])
    assert clip.tracks(points)[:, 0].tolist() == points.tolist()  # anchored: the first frame's error is taken out
    assert clip.tracks(points)[:, 1].tolist() == (points + np.array([2, -1])).tolist()
    assert clip.valid.tolist() == [True, False]
    (raw,) = read_planar(tmp_path, anchored=False)
    assert raw.tracks(points)[:, 1].tolist() == (points + np.array([2.5, -1])).tolist()
    grid = clip.grid(3, margin=0.25)
    assert grid.shape == (9, 2)
    assert grid[0].tolist() == [3.0, 2.5]
    assert grid[-1].tolist() == [7.0, 5.5]
    (tmp_path / "V1" / "00000002.jpg").unlink()
    with pytest.raises(InputError, match="1 frames of"):
        read_planar(tmp_path)
    (tmp_path / "V1_derived_H.json").write_text('{"frames": [{}]}')
    with pytest.raises(InputError, match="no homography file"):
        read_planar(tmp_path)


def test_transfer_divides_by_depth() -> None:
    matrix = np.array([[2.0, 0, 1], [0, 2, 0], [0, 0.5, 1]])
    np.testing.assert_allclose(transfer(np.array([[1.0, 2.0]]), matrix), [[1.5, 2.0]])


def test_planar_on_real_data(data_dir: Path) -> None:
    (clip,) = read_planar(data_dir / "planar_video")
    assert (clip.name, len(clip.frames), bool(clip.valid.all())) == ("V25_2", 50, True)
    grid = clip.grid()
    np.testing.assert_allclose(clip.tracks(grid)[:, 0], grid, atol=1e-9)
    assert clip.frames[0].shape == (720, 1280, 3)


def write_flo(path: Path, flow: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PIEH" + struct.pack("<ii", flow.shape[1], flow.shape[0]) + flow.astype("<f4").tobytes())


def test_flow_pairs(tmp_path: Path) -> None:
    flow = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    flow[1, 2, 0] = 1.7e9
    write_flo(tmp_path / "Grove" / "flow10.flo", flow)
    with pytest.raises(InputError, match=r"frame10\.png"):
        read_flow_pairs(tmp_path)
    for name in ("frame10.png", "frame11.png"):
        save_image(tmp_path / "Grove" / name, np.zeros((3, 4, 3), np.uint8))
    (pair,) = read_flow_pairs(tmp_path)
    assert np.array_equal(pair.flow, flow)
    assert np.argwhere(~pair.known).tolist() == [[1, 2]]


def test_damaged_flow(tmp_path: Path) -> None:
    write_flo(tmp_path / "a.flo", np.zeros((3, 4, 2), np.float32))
    data = (tmp_path / "a.flo").read_bytes()
    for damaged, reason in ((data[:-8], "damaged"), (b"PIEX" + data[4:], "no .flo file"), (data[:6], "no .flo file")):
        (tmp_path / "b.flo").write_bytes(damaged)
        with pytest.raises(InputError, match=reason):
            read_flo(tmp_path / "b.flo")
    with pytest.raises(InputError, match="no file"):
        read_flo(tmp_path / "c.flo")


def test_flow_on_real_data(data_dir: Path) -> None:
    pairs = {pair.name: pair for pair in read_flow_pairs(data_dir / "middlebury_flow")}
    assert set(pairs) == {"RubberWhale", "Dimetrodon", "Grove2", "Urban3"}
    for pair in pairs.values():
        assert pair.frames[0].shape[:2] == pair.flow.shape[:2]
        assert pair.known.mean() > 0.9
        assert np.abs(pair.flow[pair.known]).max() < 100
