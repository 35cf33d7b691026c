"""Video sources for training: YouTube-VOS, DAVIS, any folder, video files; tiny files in the official layouts."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from fgvc_training.data.files import read_rgb
from fgvc_training.data.sources import random_clip
from fgvc_training.data.video_file import VideoFile
from fgvc_training.data.videos import FrameVideo, read_davis, read_folder, read_youtube_vos
from fgvc_training.errors import DataError

HW = (6, 8)


def save_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only WebP heeds `lossless`; the other formats ignore it.
    Image.fromarray(np.full((*HW, 3), value, np.uint8)).save(path, lossless=True)


def test_youtube_vos(tmp_path: Path) -> None:
    for video, count in (("0a49f5265b", 3), ("003234408d", 2)):
        for index in range(count):
            save_image(tmp_path / "train" / "JPEGImages" / video / f"{5 * index:05d}.jpg", 10 * index)
    listed = {"0a49f5265b": ["00000.jpg", "00010.jpg"], "003234408d": ["00000", "00005"]}
    (tmp_path / "youtube2018_train.json").write_text(json.dumps(listed))
    first, second = read_youtube_vos(tmp_path, tmp_path / "youtube2018_train.json")
    assert (first.name, second.name, len(second)) == ("003234408d", "0a49f5265b", 2)
    assert second.read([0, 1])[:, 0, 0, 0].tolist() == [0, 20]
    listed["0a49f5265b"].append("00099.jpg")
    (tmp_path / "list.json").write_text(json.dumps(listed))
    with pytest.raises(DataError, match="1 listed frames of 0a49f5265b"):
        read_youtube_vos(tmp_path, tmp_path / "list.json")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="no JSON object"):
        read_youtube_vos(tmp_path, tmp_path / "list.json")


@pytest.mark.parametrize("resolution", ["480p", None])
def test_davis(tmp_path: Path, resolution: str | None) -> None:
    for name in ("boat", "bus"):
        for index in range(2):
            save_image(tmp_path / "JPEGImages" / (resolution or "") / name / f"{index:05d}.jpg", 100)
            save_image(tmp_path / "Annotations" / (resolution or "") / name / f"{index:05d}.png", 255 * index)
    boat, bus = read_davis(tmp_path, resolution=resolution)
    assert (boat.name, bus.name, len(bus)) == ("boat", "bus", 2)
    assert bus.mask(1).min() == 255
    assert not bus.mask(0).any()
    assert [video.name for video in read_davis(tmp_path, resolution=resolution, names=["bus"])] == ["bus"]
    boat.masks[0].unlink()
    with pytest.raises(DataError, match="2 frames and 1 masks"):
        read_davis(tmp_path, resolution=resolution)
    with pytest.raises(DataError, match="no sequence"):
        read_davis(tmp_path / "elsewhere")


def write_video(path: Path, count: int = 12) -> None:
    """Frame i is grey of value 20 * i, with a key frame every five and frames stored out of order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"g": "5", "bf": "2", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("indices", [[0], [3, 4], [0, 6, 11], [9, 10, 11], [11]])
def test_video_file_gives_the_frames_asked_for(tmp_path: Path, indices: list[int]) -> None:
    write_video(tmp_path / "a.mp4")
    video = VideoFile(tmp_path / "a.mp4")
    assert len(video) == 12
    frames = video.read(indices)
    assert frames.shape == (len(indices), 48, 64, 3)
    assert np.abs(frames[:, 20, 30, 1].astype(int) - 20 * np.array(indices)).max() <= 4


def test_damaged_video_file(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    (tmp_path / "text.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match="cannot be opened"):
        len(VideoFile(tmp_path / "text.mp4"))


def test_any_folder(tmp_path: Path) -> None:
    write_video(tmp_path / "phone" / "b.mp4")
    save_image(tmp_path / "frames" / "0001.png", 5)
    save_image(tmp_path / "frames" / "0002.png", 6)
    (tmp_path / "notes.txt").write_text("not a video")
    video, frames = read_folder(tmp_path)
    assert len(video) == 12
    assert frames.name == "frames"
    assert frames.read([1])[0, 0, 0, 0] == 6
    with pytest.raises(DataError, match="neither videos"):
        read_folder(tmp_path / "phone" / "absent")


def test_random_clip_keeps_its_step_and_goes_both_ways(tmp_path: Path) -> None:
    paths = tuple(tmp_path / f"{index}.png" for index in range(10))
    for index, path in enumerate(paths):
        save_image(path, index)
    video = FrameVideo("ten", paths)
    rng = np.random.default_rng(0)

    def gaps(video: FrameVideo, frames: int, steps: tuple[int, ...]) -> set[tuple[int, ...]]:
        clips = [random_clip(video, rng, frames=frames, steps=steps) for _ in range(60)]
        return {tuple(np.diff(clip[:, 0, 0, 0].astype(int)).tolist()) for clip in clips}

    assert gaps(video, 3, (1, 4)) == {(1, 1), (-1, -1), (4, 4), (-4, -4)}
    # Two frames of three leave room for a step of 2 at most.
    shorter = FrameVideo("three", paths[:3])
    assert gaps(shorter, 2, (7,)) == {(2,), (-2,)}
    with pytest.raises(DataError, match="a clip needs 4"):
        random_clip(shorter, rng, frames=4)


def test_missing_and_damaged_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image"):
        read_rgb(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_rgb(tmp_path / "a.png")
