"""PFM files and FlyingThings3D, on tiny files in the official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fgvc_training.data.files import read_pfm
from fgvc_training.data.flyingthings import FlyingThings
from fgvc_training.errors import DataError
from flow_files import HW, save_pfm, write_flyingthings


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
