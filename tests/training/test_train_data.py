"""PFM files and FlyingThings3D, on tiny files in the official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fgvc_training.data.files import read_pfm
from fgvc_training.data.flyingthings import FlyingThings
from fgvc_training.errors import DataError

HW = (6, 8)


def save_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only WebP heeds `lossless`; the other formats ignore it.
    Image.fromarray(np.full((*HW, 3), value, np.uint8)).save(path, lossless=True)


def save_pfm(path: Path, values: NDArray[np.float32], order: str = "<") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = b"PF" if values.ndim == 3 else b"Pf"
    header = kind + b"\n%d %d\n%s\n" % (values.shape[1], values.shape[0], b"-1.0" if order == "<" else b"1.0")
    path.write_bytes(header + values[::-1].astype(order + "f4").tobytes())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", [(3, 5, 3), (4, 2)])
def test_pfm(tmp_path: Path, order: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    save_pfm(tmp_path / "a.pfm", values, order)
    assert np.array_equal(read_pfm(tmp_path / "a.pfm"), values)


def test_damaged_pfm(tmp_path: Path) -> None:
    save_pfm(tmp_path / "a.pfm", np.zeros((3, 4, 3), np.float32))
    data = (tmp_path / "a.pfm").read_bytes()
    for damaged, reason in ((data[:-4], "damaged"), (b"P6 1 1 255\n", "no PFM file"), (b"", "no PFM file")):
        (tmp_path / "b.pfm").write_bytes(damaged)
        with pytest.raises(DataError, match=reason):
            read_pfm(tmp_path / "b.pfm")
    with pytest.raises(DataError, match="no file"):
        read_pfm(tmp_path / "c.pfm")


def write_flyingthings(root: Path, scene: str, numbers: list[int]) -> None:
    """Frame n has grey value n; its flow into the future is (n, 1), into the past (-n, 2)."""
    for number in numbers:
        save_image(root / "frames_cleanpass_webp" / "TRAIN" / scene / "left" / f"{number:04d}.webp", number)
        for direction, name, flow in (
            ("into_future", "OpticalFlowIntoFuture", (number, 1, 0)),
            ("into_past", "OpticalFlowIntoPast", (-number, 2, 0)),
        ):
            path = root / "optical_flow" / "TRAIN" / scene / direction / "left" / f"{name}_{number:04d}_L.pfm"
            save_pfm(path, np.broadcast_to(np.array(flow, np.float32), (*HW, 3)))


def test_flyingthings(tmp_path: Path) -> None:
    write_flyingthings(tmp_path, "A/0000", [6, 7, 8])
    write_flyingthings(tmp_path, "B/0012", [20, 21])
    pairs = FlyingThings(tmp_path)
    assert len(pairs) == 6
    # The flow leads from the target to the reference: from the later frame into the past, and the other way round.
    forward, backward = pairs.pair(0), pairs.pair(1)
    assert (int(forward.reference[0, 0, 0]), int(forward.target[0, 0, 0])) == (6, 7)
    assert forward.flow[0, 0].tolist() == [-7, 2]
    assert forward.flow_back is not None
    assert forward.flow_back[0, 0].tolist() == [6, 1]
    assert (int(backward.reference[0, 0, 0]), int(backward.target[0, 0, 0])) == (7, 6)
    assert backward.flow[0, 0].tolist() == [6, 1]
    assert forward.flow.shape == (*HW, 2)
    assert int(pairs.pair(5).reference[0, 0, 0]) == 21


def test_flyingthings_skips_pairs_without_flow_and_says_when_none_is_left(tmp_path: Path) -> None:
    write_flyingthings(tmp_path, "A/0000", [6, 7, 9, 10])
    past = tmp_path / "optical_flow" / "TRAIN" / "A" / "0000" / "into_past" / "left"
    (past / "OpticalFlowIntoPast_0009_L.pfm").unlink()
    assert len(FlyingThings(tmp_path)) == 4
    with pytest.raises(DataError, match="check the root"):
        FlyingThings(tmp_path, split="TEST")


def test_flow_needs_three_channels(tmp_path: Path) -> None:
    write_flyingthings(tmp_path, "A/0000", [1, 2])
    (path,) = tmp_path.rglob("OpticalFlowIntoPast_0002_L.pfm")
    save_pfm(path, np.zeros(HW, np.float32))
    with pytest.raises(DataError, match="one channel"):
        FlyingThings(tmp_path).pair(0)
