"""Labels that the tracker makes for training: followed there and back, on a clip whose motion is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import fgvc_deploy
from fgvc_benchmarks import self_tracks
from fgvc_training.edge.track_pairs import read_tracks
from tiny_data import masks, write_davis

SHIFT = 8


def moving(count: int) -> list[NDArray[np.uint8]]:
    """Frames of 160 x 192: smooth noise that moves right by SHIFT px a frame."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(noise).resize((256, 160), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(wide[:, 64 - t * SHIFT : 256 - t * SHIFT]) for t in range(count)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("STEP", 3), ("SPAN", 4), ("POINTS", 30), ("SIZE", "native")):
        monkeypatch.setattr(self_tracks, name, value)


@pytest.mark.usefixtures("small")
def test_what_is_kept_moves_as_the_picture_does() -> None:
    tracks = self_tracks.follow_video(fgvc_deploy.load(threads=1), moving(8), None)
    assert tracks.starts.tolist() == [0, 3]
    kept = tracks.good[0].all(0)
    assert kept.sum() >= 10
    moved = tracks.xy[0, -1, kept] - tracks.xy[0, 0, kept]
    # Stride 4 and labels of 6 px: a median within a pixel; a point that agreed by chance may be off by more.
    assert np.abs(np.median(moved, axis=0) - (4 * SHIFT, 0)).max() < 1
    inside = tracks.xy[0, 0, :, 0] < 192 - 4 * SHIFT - 2
    assert kept[inside].mean() > 2 * kept[~inside].mean(), "points that leave the picture must not be kept"


@pytest.mark.usefixtures("small")
def test_half_of_the_points_start_on_the_object() -> None:
    mask = masks(1)[0] > 0
    xy = self_tracks.starting_points(mask.shape, mask, np.random.default_rng(0)).astype(int)
    on_object = mask[xy[:, 1], xy[:, 0]]
    assert on_object[:15].all()
    assert not on_object.all()


@pytest.mark.usefixtures("small")
def test_the_command_writes_files_that_training_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_davis(tmp_path, "one", 6, resolution="")
    arguments = ["--videos", tmp_path / "JPEGImages", "--masks", tmp_path / "Annotations", "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["self_tracks", *map(str, arguments)])
    self_tracks.main()
    tracks = read_tracks(tmp_path / "out" / "one.npz")
    assert tracks.xy.shape == (1, 5, 30, 2)
    written = (tmp_path / "out" / "one.npz").stat().st_mtime_ns
    self_tracks.main()
    assert (tmp_path / "out" / "one.npz").stat().st_mtime_ns == written, "a finished video is not done again"
