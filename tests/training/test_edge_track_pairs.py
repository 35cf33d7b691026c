"""Pairs from point tracks: files, what a crop makes of the points, and where the task uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fgvc_training.data.videos import FrameVideo, read_davis
from fgvc_training.edge.pairs import without_flow
from fgvc_training.edge.prepare import mirrored, prepare_pair, put_points
from fgvc_training.edge.settings import PairSettings
from fgvc_training.edge.track_pairs import TrackPairs, read_tracks
from fgvc_training.errors import DataError
from tiny_data import SHIFT, write_davis

HW = (72, 96)
POINTS = 40


def write_tracks(path: Path, *, good: bool = True, frames: int = 4) -> None:
    """One start, on frame 1: POINTS random points that all move by SHIFT a frame."""
    first = np.random.default_rng(0).uniform((10, 10), (60, 50), (POINTS, 2))
    xy = np.stack([first + time * SHIFT for time in range(frames)])[None].astype(np.float32)
    np.savez(path, starts=np.array([1]), xy=xy, good=np.full(xy.shape[:3], good))


@pytest.fixture
def videos(tmp_path: Path) -> list[FrameVideo]:
    write_davis(tmp_path, "one", 8)
    return read_davis(tmp_path)


def test_points_of_both_frames_move_as_the_tracks_say(videos: list[FrameVideo], tmp_path: Path) -> None:
    write_tracks(tmp_path / "one.npz")
    pair = TrackPairs(videos, tmp_path).draw(np.random.default_rng(2))
    assert pair.points.shape == (2, POINTS, 2)
    assert not pair.valid.any()
    moves = (pair.points[1] - pair.points[0]) / SHIFT
    # The same whole number of frames for every point, in one of the two orders.
    assert np.allclose(moves, moves[0, 0], atol=1e-4)
    assert 1 <= abs(round(float(moves[0, 0]))) <= 3


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_points_survive_a_crop(mirror: bool, seed: int) -> None:
    """A common shift of 6 px must stay one common shift, in the crop's feature pixels and seen in a mirror or not."""
    frames = np.zeros((2, *HW, 3), np.uint8)
    rng = np.random.default_rng(seed)
    target = rng.uniform((20, 10), (80, 60), (200, 2)).astype(np.float32)
    points = np.stack([target - np.array((6, 0), np.float32), target])
    pair = without_flow(frames, np.zeros((2, *HW), np.uint8), points)
    settings = PairSettings(size=64, area=(0.5, 0.7), photometric=None)
    ready = prepare_pair(mirrored(pair) if mirror else pair, settings, rng)
    assert ready.valid.float().mean() > 0.2
    flow = ready.flow[:, ready.valid]
    assert (flow[1].abs() < 1e-4).all()
    # A shift of 6 px of 72x96: between 64/96 and 64/45 pixels a pixel, and 4 to a feature.
    shift = flow[0].abs()
    assert float(shift.min()) == pytest.approx(float(shift.max()), abs=1e-4)
    assert 6 * 64 / 96 / 4 < float(shift.mean()) < 6 * 64 / 40 / 4
    assert bool((flow[0] > 0).all()) is mirror


def test_points_outside_a_frame_say_nothing() -> None:
    flow, valid = torch.zeros(2, 4, 5), torch.zeros(4, 5, dtype=torch.bool)
    reference = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [2.0, 2.0]])
    target = torch.tensor([[2.4, 0.6], [1.0, 1.0], [2.0, 3.5]])
    put_points(flow, valid, torch.stack((reference, target)))
    assert valid.nonzero().tolist() == [[1, 2]]
    torch.testing.assert_close(flow[:, 1, 2], torch.tensor((-1.4, 0.4)))


def test_tracks_without_shared_points_are_refused(videos: list[FrameVideo], tmp_path: Path) -> None:
    write_tracks(tmp_path / "one.npz", good=False)
    with pytest.raises(DataError, match="shared"):
        TrackPairs(videos, tmp_path).draw(np.random.default_rng(0))


def test_files_that_are_no_tracks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="self_tracks"):
        read_tracks(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match="no file of tracks"):
        read_tracks(tmp_path / "text.npz")
    np.savez(tmp_path / "odd.npz", starts=np.zeros(2), xy=np.zeros((1, 3, 4, 2)), good=np.zeros((1, 3, 4)))
    with pytest.raises(DataError, match="do not fit"):
        read_tracks(tmp_path / "odd.npz")
