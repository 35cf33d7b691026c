"""Videos and photographs shrunk to folders of frames."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fgvc_training.data.files import read_rgb
from fgvc_training.data.shrink import shrink
from fgvc_training.data.videos import read_folder
from fgvc_training.errors import DataError


def write_video(path: Path, count: int) -> None:
    """Grey frames of 96x64 that get lighter by 20 each."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 96, 64
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 20 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_video_and_a_photograph_become_videos_of_the_reader(tmp_path: Path) -> None:
    write_video(tmp_path / "film.mp4", 6)
    Image.fromarray(np.full((40, 80, 3), 200, np.uint8)).save(tmp_path / "photo.png")
    out = tmp_path / "out"
    assert shrink(tmp_path / "film.mp4", out / "film", height=32, every=2) == 3
    assert shrink(tmp_path / "photo.png", out / "photo", height=32) == 1
    film, photo = read_folder(out)
    assert (film.name, len(film)) == ("film", 3)
    frames = film.read(range(3))
    assert frames.shape == (3, 32, 48, 3)
    # Every second frame, 40 grey levels apart; the codec may be off by a few.
    assert np.abs(frames.mean((1, 2, 3)) - (0, 40, 80)).max() < 5
    assert photo.read([0]).shape == (1, 32, 64, 3)


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "photo.png")
    shrink(tmp_path / "photo.png", tmp_path / "out", height=256)
    assert read_rgb(tmp_path / "out" / "00000.jpg").shape == (20, 30, 3)


def test_what_is_no_video_is_refused_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match="cannot be read"):
        shrink(tmp_path / "text.mp4", tmp_path / "out", height=256)
    assert not (tmp_path / "out").exists()
